"""Near-duplicates across modalities: rows alike in all of their modalities, or in one, and what they differ in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DuplicateGroup:
    """Rows that are alike.

    Attributes:
        rows: places of n > 1 rows.
        alike: the modalities that are nearly the same in all of them.
        unlike: the modalities that differ, or that only some of them have.
        splits: that they lie in.
        labels: by task, the labels that they carry, where these differ.
    """

    rows: list[int]
    alike: list[str]
    unlike: list[str]
    splits: list[str]
    labels: dict[str, list[str]]

    @property
    def weight(self) -> tuple[bool, bool, int, int]:
        """How bad it is: the same sample with several labels, then in several splits, then the more rows."""
        return not self.unlike and bool(self.labels), not self.unlike, len(self.splits), len(self.rows)


def groups_of_duplicates(
    groups: Mapping[str, np.ndarray], splits: Sequence[str], labels: Mapping[str, Sequence[str | None]]
) -> list[DuplicateGroup]:
    """Groups of near-duplicates, the worst first: those alike in every modality, and those alike in one.

    Rows that share one modality alone (a picture with several captions, a sentence from a template) are ordinary in
    many data sets; such a group is listed where its labels differ or its splits do.

    Args:
        groups: by modality, (N,) int64 of ``alike_groups``.
        splits: of N rows.
        labels: by task, of N rows, None = unlabelled.
    """
    codes = np.stack([groups[name] for name in groups], 1)  # (N, M)
    whole = same_rows([tuple(row.tolist()) if (row >= 0).any() else None for row in codes])
    joint = {frozenset(rows) for rows in whole}
    found = [described(rows, groups, splits, labels) for rows in whole]
    for name, of_rows in groups.items():
        for rows in same_rows([code if code >= 0 else None for code in of_rows.tolist()]):
            if frozenset(rows) in joint:
                continue
            group = described(rows, groups, splits, labels)
            if group.labels or len(group.splits) > 1:
                found.append(DuplicateGroup(rows, [name], [m for m in groups if m != name], group.splits, group.labels))
    return sorted(found, key=lambda group: group.weight, reverse=True)


def same_rows(keys: Sequence[object]) -> list[list[int]]:
    """Places of equal keys that are not None, where there are several."""
    held: dict[object, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        if key is not None:
            held[key].append(place)
    return [places for places in held.values() if len(places) > 1]


def described(
    rows: list[int],
    groups: Mapping[str, np.ndarray],
    splits: Sequence[str],
    labels: Mapping[str, Sequence[str | None]],
) -> DuplicateGroup:
    """What rows have in common, and what not."""
    same = {name: len(set(of[rows].tolist())) == 1 for name, of in groups.items()}
    lacked = [name for name, of in groups.items() if (of[rows] < 0).all()]
    differ = {}
    for task, of_rows in labels.items():
        held = sorted({label for row in rows if (label := of_rows[row]) is not None})
        if len(held) > 1:
            differ[task] = held
    return DuplicateGroup(
        rows,
        [name for name in groups if same[name] and name not in lacked],
        [name for name in groups if not same[name]],
        list(dict.fromkeys(splits[row] for row in rows)),
        differ,
    )
