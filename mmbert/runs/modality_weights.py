"""What weight a fusion gives each modality as training goes on: curves from the means behind each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: By name of what the fusion tells, then by modality: ``[(epochs trained, mean over validation), …]``.
Gates = dict[str, dict[str, list[tuple[int, float]]]]


def gates_over_epochs(by_epoch: Sequence[Mapping[str, Any]]) -> Gates:
    """``val_by_epoch`` of a run's ``diagnostics.json`` -> curves; an epoch that has no mean of a modality has no point.

    Args:
        by_epoch: ``{"epoch": 0, NAME: {"modalities": […], "mean": […]}}`` an epoch, in any order. What is measured
            behind epoch 0 stands at 1, as in the learning curves.
    """
    found: Gates = {}
    for one in sorted(by_epoch, key=lambda one: int(one["epoch"])):
        for name, part in one.items():
            if name == "epoch":
                continue
            for modality, mean in zip(part["modalities"], part["mean"], strict=True):
                if mean is not None:
                    curve = found.setdefault(name, {}).setdefault(modality, [])
                    curve.append((int(one["epoch"]) + 1, float(mean)))
    return found
