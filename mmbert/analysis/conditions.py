"""A model measured under many conditions in one pass: each batch is encoded once, then fused and decoded for each.

A condition says which modalities of which samples are there, and how damaged each is. What is encoded, clean or
damaged, is the same for all; a modality that is taken away becomes an empty mask, as one that a sample never had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import SumMetric

from mmbert.analysis.degraded import DegradedBatch
from mmbert.core.types import Batch, Encoded, Inputs, rows_of
from mmbert.model import MultimodalModel
from mmbert.training.module import StageMetrics


@dataclass(frozen=True)
class Condition:
    """Under what a model is measured.

    Attributes:
        facts: what it is called, for whoever reads the numbers.
        kept: (M,) bool, the modalities that every sample keeps; or (table's rows, M), those that each one does.
        levels: by encoder name the number of its level of damage, from 0; the others are as they are.
    """

    facts: dict[str, Any]
    kept: np.ndarray
    levels: Mapping[str, int] = field(default_factory=dict)

    def kept_of(self, rows: Tensor) -> Tensor:
        """(B,) rows of the table -> (B, M) bool; a copy that fills up a batch (-1) keeps everything."""
        if self.kept.ndim == 1:
            return torch.from_numpy(self.kept).to(rows.device).expand(len(rows), -1)
        kept = torch.from_numpy(self.kept[rows.clamp(min=0).cpu().numpy()]).to(rows.device)
        return kept | (rows < 0).unsqueeze(1)


class ConditionsModule(pl.LightningModule):
    """Measures every task under every condition.

    A sample of which a condition leaves nothing is left out of it; ``samples`` says how many remain.

    Args:
        model: as it was trained.
        conditions: in the order in which they are told.
    """

    def __init__(self, model: MultimodalModel, conditions: Sequence[Condition]) -> None:
        super().__init__()
        self.model = model
        self.conditions = list(conditions)
        self.stages = nn.ModuleList([StageMetrics(model.named_tasks()) for _ in self.conditions])
        self.counts = nn.ModuleList([SumMetric() for _ in self.conditions])
        self.told: list[dict[str, Any]] = []

    def test_step(self, batch: Batch, index: int) -> None:
        """Encodes a batch once, clean and at every level of damage, and decodes it under each condition."""
        encoders, reached = self.model.named_encoders(), self.model.fusion.injects_into
        levels = [batch.inputs, *(batch.degraded if isinstance(batch, DegradedBatch) else [])]  # the first is clean
        encoded = [{name: encoders[name](x) for name, x in inputs.items() if name != reached} for inputs in levels]
        for condition, stage, count in zip(self.conditions, self.stages, self.counts, strict=True):
            kept = condition.kept_of(batch.rows)
            place = {name: condition.levels.get(name, -1) + 1 for name in self.model.fusion.dims}
            chosen = {name: encoded[place[name]][name] for name in place if name != reached}
            if reached is not None:
                chosen = self._with_reached(levels[place[reached]], chosen, kept)
            rows, left = remaining(chosen, kept)
            if not len(rows):
                continue
            targets = rows_of(batch.targets, rows)
            outputs = self.model.decode(left, targets=targets).outputs
            stage.update(self.model.named_tasks(), outputs, targets)  # type: ignore[operator]
            count.update((batch.rows[rows] >= 0).sum())  # type: ignore[operator]

    def _with_reached(
        self, inputs: Mapping[str, Inputs], others: Mapping[str, Encoded], kept: Tensor
    ) -> dict[str, Encoded]:
        """Adds the modality whose encoder the fusion reaches into; what is kept (B, M) of the others is part of it."""
        dims = list(self.model.fusion.dims)
        left = {name: x.kept(kept[:, dims.index(name)]) for name, x in others.items()}
        last = self.model.encode_injected(inputs, left)
        return {name: others.get(name, last) for name in dims}

    def on_test_epoch_end(self) -> None:
        """Gathers the numbers of all processes."""
        self.told = []
        for condition, stage, count in zip(self.conditions, self.stages, self.counts, strict=True):
            metrics = {name: float(value) for name, value in stage.compute().items()}  # type: ignore[operator]
            self.told.append({**condition.facts, "samples": int(count.compute()), "metrics": metrics})  # type: ignore[operator]


def remaining(encoded: Mapping[str, Encoded], kept: Tensor) -> tuple[Tensor, dict[str, Encoded]]:
    """The samples that have anything left, and what that is.

    Args:
        encoded: of B samples, by modality, M of them.
        kept: (B, M) bool.

    Returns:
        (n,) int64 places in the batch, and the modalities of these samples; what was taken has an empty mask.
    """
    present = torch.stack([part.present for part in encoded.values()], 1) & kept  # (B, M)
    some = present.any(1)
    rows = some.nonzero().squeeze(1)
    left = {name: part.kept(kept[:, place]) for place, (name, part) in enumerate(encoded.items())}
    return rows, left if bool(some.all()) else rows_of(left, rows)
