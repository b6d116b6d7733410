"""Removes cells on purpose: which modality each sample of each split loses, and what a run records of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mmbert.data.modalities.base import Modality
from mmbert.data.splits.missing import Missing, present_cells
from mmbert.data.tables.fingerprint import FINGERPRINT_LENGTH
from mmbert.data.tables.table import Table


def remove_cells(
    missing: Missing,
    table: Table,
    rows: Mapping[str, np.ndarray],
    columns: Mapping[str, str],
    inputs: Mapping[str, Modality],
    label: str | None,
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
    """Draws what the samples of every split lose. Modalities that are dropped everywhere count as present here.

    Args:
        missing: how much is lost, and by which mechanism.
        table: where the rows are.
        rows: (n,) int64 by split.
        columns: the table's column by encoder name.
        inputs: what each encoder reads.
        label: the column of classes that stands for ``column=None``.

    Returns:
        (rows of the table,) bool by encoder name, True = removed; and the realised shares by split, see
        ``Missing.realised``.
    """
    taken: dict[str, np.ndarray] = {}
    realised: dict[str, dict[str, float]] = {}
    for split, numbers in rows.items():
        if not missing.touches(split):
            continue
        there = present_cells(table, numbers, columns)
        drawn = missing.draw(table, numbers, columns, inputs, label, there)
        realised[split] = missing.realised(drawn, there, list(columns))
        for name, lost in zip(columns, drawn.T, strict=True):
            taken.setdefault(name, np.zeros(len(table), bool))[numbers[lost]] = True
    return taken, realised


def removal_facts(
    missing: Missing, taken: Mapping[str, np.ndarray], realised: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """What a run records: the mechanism, the realised shares, and a fingerprint of the cells; nothing without a rate.

    Args:
        missing: how much was to be lost, and by which mechanism.
        taken: the removed cells, see ``remove_cells``.
        realised: the shares by split, see ``remove_cells``.
    """
    if not missing.rate:
        return {}
    declared = {"mechanism": missing.mechanism, "rate": missing.rate, "seed": missing.seed}
    return {"missing": {**declared, "realised": realised}, "missing_fingerprint": taken_fingerprint(taken)}


def taken_fingerprint(taken: Mapping[str, np.ndarray]) -> str:
    """Of which rows (table's,) bool lost which modality, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(taken):
        digest.update(f"{name}:{len(taken[name])}:".encode())
        digest.update(np.packbits(taken[name]).tobytes())
    return digest.hexdigest()[:FINGERPRINT_LENGTH]
