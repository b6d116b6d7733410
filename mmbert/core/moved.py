"""Class paths that were changed: configs of earlier runs, and users' own YAML, may still hold the old ones."""

from __future__ import annotations

#: New beginnings of class paths by old ones: a package or module with the dot after it, or a whole path.
MOVED = {
    "mmbert.training.balance_modalities.": "mmbert.training.modality_balance.",
    "mmbert.training.balance.FixedBalance": "mmbert.training.balance.fixed.FixedBalance",
    "mmbert.training.balance.UncertaintyBalance": "mmbert.training.balance.uncertainty.UncertaintyBalance",
    "mmbert.training.balance.aggregation.PCGradBalance": "mmbert.training.balance.stateful_aggregation.PCGradBalance",
    "mmbert.training.balance.aggregation.GradVacBalance": "mmbert.training.balance.stateful_aggregation.GradVacBalance",
    "mmbert.training.balance.aggregation.NashMTLBalance": "mmbert.training.balance.stateful_aggregation.NashMTLBalance",
}


def current_path(path: str) -> str:
    """The path by which a class can be imported now; paths that were not changed stay as they are."""
    for old, new in MOVED.items():
        if path.startswith(old):
            return new + path.removeprefix(old)
    return path


def first_path(path: str) -> str:
    """The path that a class had first: what names a class for good, such as the hash of a job, names it by this."""
    for old, new in MOVED.items():
        if path.startswith(new):
            return old + path.removeprefix(new)
    return path
