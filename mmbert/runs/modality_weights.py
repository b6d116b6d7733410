"""Curves of the weight that a fusion gives each modality, epoch by epoch, from ``diagnostics.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: By name of the diagnostic, then by modality: ``[(epochs trained, mean over validation), …]``.
WeightCurves = dict[str, dict[str, list[tuple[int, float]]]]


def curves_over_epochs(by_epoch: Sequence[Mapping[str, Any]]) -> WeightCurves:
    """``val_by_epoch`` of a run's ``diagnostics.json`` -> curves; an epoch that has no mean of a modality has no point.

    Args:
        by_epoch: ``{"epoch": 0, NAME: {"modalities": […], "mean": […]}}`` an epoch, in any order. What is measured at
            the end of epoch 0 stands at 1, as in the learning curves.
    """
    curves: WeightCurves = {}
    for epoch in sorted(by_epoch, key=lambda epoch: int(epoch["epoch"])):
        for name, part in epoch.items():
            if name == "epoch":
                continue
            for modality, mean in zip(part["modalities"], part["mean"], strict=True):
                if mean is not None:
                    points = curves.setdefault(name, {}).setdefault(modality, [])
                    points.append((int(epoch["epoch"]) + 1, float(mean)))
    return curves
