"""Classes of which a split shows too few samples to be learnt or measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mmbert.data.quality.report import SplitFacts

#: Classes that a finding names.
NAMED_CLASSES = 20


def class_warnings(
    task: str, splits: Mapping[str, SplitFacts], holders: Mapping[str, Mapping[str, Sequence[int]]]
) -> Iterator[tuple[str, list[int]]]:
    """What is wrong with the numbers of a task's classes, and the rows that it concerns, if there are any.

    Args:
        task: its name.
        splits: facts by split, with the counts of the task's classes.
        holders: the rows that have a class, by class and by split.
    """
    train = splits["train"].labels.get(task) if "train" in splits else None
    if train is None:
        return
    alone = [name for name, count in train.items() if count == 1]
    if alone:
        rows = [row for name in alone for row in holders[name]["train"]]
        yield f"{task}: classes with a single row in train, too few to learn from: {first_names(alone)}", rows
    for split, facts in splits.items():
        counts = facts.labels.get(task, {})
        unseen = [name for name, count in counts.items() if count and not train.get(name)]
        if unseen:
            rows = [row for name in unseen for row in holders[name][split]]
            yield f"{task}: '{split}' has classes that train never shows: {first_names(unseen)}", rows
        lost = [name for name, count in train.items() if count and not counts.get(name)]
        if lost and any(counts.values()):
            yield (
                f"{task}: '{split}' has no row of classes that train shows, so says nothing of: {first_names(lost)}",
                [],
            )


def first_names(names: Sequence[str]) -> str:
    """The names, of many the first."""
    more = f" and {len(names) - NAMED_CLASSES} more" if len(names) > NAMED_CLASSES else ""
    return ", ".join(names[:NAMED_CLASSES]) + more
