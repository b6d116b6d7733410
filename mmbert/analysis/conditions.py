"""Evaluates a model under many conditions in one pass: each batch is encoded once, then fused for each condition.

A condition is which modalities each sample keeps, and how damaged each of them is. The encodings, clean and damaged,
are shared by all conditions; a modality that is taken away gets an empty mask, as one that a sample never had.
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
from mmbert.training.stage_metrics import StageMetrics


@dataclass(frozen=True)
class Condition:
    """A condition under which a model is evaluated.

    Attributes:
        facts: its description, which is stored with the results.
        kept: (M,) bool, the modalities that every sample keeps; or (table's rows, M), those that each sample keeps.
        levels: by encoder name the index of its level of damage, from 0; other encoders read clean inputs.
    """

    facts: dict[str, Any]
    kept: np.ndarray
    levels: Mapping[str, int] = field(default_factory=dict)

    def kept_of(self, rows: Tensor) -> Tensor:
        """(B,) rows of the table -> (B, M) bool; a padding sample (-1) keeps everything."""
        if self.kept.ndim == 1:
            return torch.from_numpy(self.kept).to(rows.device).expand(len(rows), -1)
        kept = torch.from_numpy(self.kept[rows.clamp(min=0).cpu().numpy()]).to(rows.device)
        return kept | (rows < 0).unsqueeze(1)


class ConditionsModule(pl.LightningModule):
    """Measures every task under every condition.

    A sample of which a condition keeps no modality is left out of it; ``samples`` is the number of the others.

    Args:
        model: a trained one.
        conditions: in the order of the results.

    Attributes:
        results: after the epoch, for each condition its facts, ``samples`` and ``metrics``.
    """

    def __init__(self, model: MultimodalModel, conditions: Sequence[Condition]) -> None:
        super().__init__()
        self.model = model
        self.conditions = list(conditions)
        self.stages = nn.ModuleList([StageMetrics(model.named_tasks()) for _ in self.conditions])
        self.counts = nn.ModuleList([SumMetric() for _ in self.conditions])
        self.results: list[dict[str, Any]] = []

    def test_step(self, batch: Batch, index: int) -> None:
        """Encodes a batch once, clean and at every level of damage, and updates the metrics of each condition."""
        encoders, injected = self.model.named_encoders(), self.model.fusion.injects_into
        levels = [batch.inputs, *(batch.degraded if isinstance(batch, DegradedBatch) else [])]  # the first is clean
        encoded = [{name: encoders[name](x) for name, x in inputs.items() if name != injected} for inputs in levels]
        for condition, stage, count in zip(self.conditions, self.stages, self.counts, strict=True):
            kept = condition.kept_of(batch.rows)
            place = {name: condition.levels.get(name, -1) + 1 for name in self.model.fusion.dims}
            chosen = {name: encoded[place[name]][name] for name in place if name != injected}
            if injected is not None:
                chosen = with_injected(self.model, levels[place[injected]], chosen, kept)
            rows, left = remaining_samples(chosen, kept)
            if not len(rows):
                continue
            targets = rows_of(batch.targets, rows)
            outputs = self.model.decode(left, targets=targets).outputs
            stage.update(self.model.named_tasks(), outputs, targets)  # type: ignore[operator]
            count.update((batch.rows[rows] >= 0).sum())  # type: ignore[operator]

    def on_test_epoch_end(self) -> None:
        """Computes the metrics over all processes."""
        self.results = []
        for condition, stage, count in zip(self.conditions, self.stages, self.counts, strict=True):
            metrics = {name: float(value) for name, value in stage.compute().items()}  # type: ignore[operator]
            self.results.append({**condition.facts, "samples": int(count.compute()), "metrics": metrics})  # type: ignore[operator]


def with_injected(
    model: MultimodalModel, inputs: Mapping[str, Inputs], others: Mapping[str, Encoded], kept: Tensor
) -> dict[str, Encoded]:
    """Adds the modality with layer injection, encoded with what is kept (B, M) of the other modalities."""
    dims = list(model.fusion.dims)
    left = {name: x.kept(kept[:, dims.index(name)]) for name, x in others.items()}
    last = model.encode_injected(inputs, left)
    return {name: others.get(name, last) for name in dims}


def remaining_samples(encoded: Mapping[str, Encoded], kept: Tensor) -> tuple[Tensor, dict[str, Encoded]]:
    """The samples that keep at least one modality.

    Args:
        encoded: of B samples, by modality, M of them.
        kept: (B, M) bool.

    Returns:
        (n,) int64 places in the batch, and the modalities of these n samples; what was taken away has an empty mask.
    """
    present = torch.stack([part.present for part in encoded.values()], 1) & kept  # (B, M)
    some = present.any(1)
    rows = some.nonzero().squeeze(1)
    left = {name: part.kept(kept[:, place]) for place, (name, part) in enumerate(encoded.items())}
    return rows, left if bool(some.all()) else rows_of(left, rows)
