"""Retrieval: the modalities of a sample find each other in one space; no label is needed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import combinations, permutations
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
import xxhash
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Loss, State, Tensors
from mmbert.data.labels import by_rows
from mmbert.tasks.base import Head, Task
from mmbert.tasks.contrastive.batch import NO_CELL, SharedBatch, shared_batch
from mmbert.tasks.contrastive.losses import info_nce, sigmoid_loss
from mmbert.tasks.retrieval_metrics import SCORES, RankMemo, RankScore, RetrievalScore

#: The largest scale of similarities, as in CLIP.
LARGEST_SCALE = 100.0
#: What SigLIP's scale and bias begin with.
SIGLIP_SCALE, SIGLIP_BIAS = 10.0, -10.0
#: Fingerprints are kept in 62 bits, 0 being none.
FINGERPRINTS = 2**62


class Retrieval(Task):
    """One vector of length 1 for each modality of a sample, near to those of its other modalities.

    The loss is the mean over all pairs of modalities and all samples that have both, compared with the samples of the
    same step that have both, of all processes in training. Samples that share a cell (a caption, a picture's file, or
    the cell of ``column``) are right answers for each other. A sample with one modality adds nothing.

    Targets: ``counted`` (B,) bool, ``cells`` (B, K) int64, fingerprints of the cells of the M modalities and of
    ``column``; outputs: ``vectors`` (B, M, E), zeros where a modality is missing, and ``present`` (B, M) bool.

    Metrics: ``recall_at_1``, ``recall_at_5``, ``recall_at_10``, ``median_rank`` and ``mrr`` (mean reciprocal rank),
    each for every direction (``text_to_image_mrr``) and as the mean over directions. The gallery is the whole split.

    Args:
        in_dim: width H of the fused vector, which is not read.
        dims: width by modality.
        column: a further column in which the same cell makes samples right answers for each other.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        embed_dim: E.
        hidden_dim: width of a hidden layer in each modality's projection; 0 = a linear one.
        dropout: on the input of the projections and on their hidden layers.
        loss: ``infonce`` or ``siglip``.
        temperature: of InfoNCE at the beginning; it is learnt, and stays above 1 / 100.
        embeddings: predictions hold the vectors too; else the similarities of a sample's modalities alone.
        input_columns: the table's column by modality.

    Raises:
        ConfigError: there is only one modality, or an option is outside its range.
    """

    kind = "retrieval"
    quotes_samples = False
    main_metric = "mrr"
    compares_samples = True

    def __init__(
        self,
        in_dim: int,
        dims: Mapping[str, int],
        column: str | None = None,
        weight: float = 1.0,
        lr_scale: float = 1.0,
        embed_dim: Annotated[int, Range(1)] = 128,
        hidden_dim: Annotated[int, Range(0)] = 0,
        dropout: Annotated[float, Range(0, below=1)] = 0.0,
        loss: Literal["infonce", "siglip"] = "infonce",
        temperature: Annotated[float, Range(1 / LARGEST_SCALE)] = 0.07,
        embeddings: bool = False,
        input_columns: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(in_dim, column, weight, lr_scale)
        if len(dims) < 2:
            raise ConfigError(
                f"Retrieval is between modalities, and there is only {', '.join(dims)}. Add one, such as image=tiny."
            )
        self.modalities = list(dims)
        self.set_input_columns(input_columns or {})
        self.loss_name, self.embeddings = loss, embeddings
        self.project = nn.ModuleDict(
            {name: nn.Sequential(nn.LayerNorm(d), Head(d, embed_dim, hidden_dim, dropout)) for name, d in dims.items()}
        )
        begin = SIGLIP_SCALE if loss == "siglip" else 1 / temperature
        self.log_scale = nn.Parameter(torch.tensor(math.log(begin)))
        self.bias = nn.Parameter(torch.tensor(SIGLIP_BIAS)) if loss == "siglip" else None

    def set_input_columns(self, columns: Mapping[str, str]) -> None:
        """The columns whose equal cells make samples right answers for each other; with ``column``."""
        self.input_columns = {name: columns[name] for name in self.modalities if name in columns}
        more = [] if self.column is None else [self.column]
        self.columns = tuple(dict.fromkeys([*self.input_columns.values(), *more]))

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> tuple[int, ...]:
        """Fingerprints of the cells of each modality, and of ``column``."""
        named = [self.input_columns.get(name) for name in self.modalities]
        return tuple(NO_CELL if name is None else fingerprint(cells.get(name)) for name in [*named, self.column])

    @by_rows
    def collate(self, targets: Sequence[tuple[int, ...] | None]) -> Tensors:
        """``counted`` (B,) bool and ``cells`` (B, M + 1) int64."""
        nothing = (NO_CELL,) * (len(self.modalities) + 1)
        return {
            "counted": torch.tensor([target is not None for target in targets], dtype=torch.bool),
            "cells": torch.tensor(
                [nothing if target is None else target for target in targets], dtype=torch.int64
            ).view(-1, len(nothing)),
        }

    def embed(self, name: str, encoded: Encoded) -> Tensor:
        """The vectors of one modality: pooled (B, D) -> (B, E) of length 1, zeros where it is missing."""
        projected = self.project[name](blank(encoded.pooled, encoded.present))
        return blank(F.normalize(projected.float(), dim=-1), encoded.present)

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """pooled (B, D) of each modality -> ``vectors`` (B, M, E) and ``present`` (B, M) bool."""
        parts = {name: state.encoded[name] for name in self.modalities}
        vectors = torch.stack([self.embed(name, encoded) for name, encoded in parts.items()], 1)
        return {"vectors": vectors, "present": torch.stack([encoded.present for encoded in parts.values()], 1)}

    def scale(self) -> Tensor:
        """() the factor on similarities, at most ``LARGEST_SCALE`` with InfoNCE."""
        if self.loss_name == "siglip":
            return self.log_scale.exp()
        largest = math.log(LARGEST_SCALE)
        return self.log_scale.clamp(0, largest).exp()

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """Mean over pairs of modalities and samples, in training over all processes; see ``SharedBatch.loss``."""
        if self.training and self.loss_name == "infonce":
            with torch.no_grad():  # the parameter itself, as CLIP does: beyond the limit it would get no gradient
                self.log_scale.clamp_(0, math.log(LARGEST_SCALE))
        known = outputs["present"] & targets["counted"].unsqueeze(1)
        vectors = blank(outputs["vectors"].float(), known)
        batch = shared_batch(vectors, known, targets["cells"], targets["counted"], gather=self.training)
        same = batch.same()
        total = vectors.sum() * 0 + sum((p * 0).sum() for p in self.parameters())
        pairs, takes_part = torch.zeros((), device=vectors.device), torch.zeros_like(targets["counted"])
        with torch.autocast(vectors.device.type, enabled=False):  # similarities times 100 are coarse in half precision
            for first, second in combinations(range(len(self.modalities)), 2):
                both = batch.known[:, first] & batch.known[:, second]
                lost = self._lost(batch, first, second, same, both)
                total = total + blank(lost, both[batch.own]).sum()
                pairs = pairs + both.sum()
                takes_part = takes_part | both[batch.own]
        return batch.loss(total, pairs, takes_part)

    def _lost(self, batch: SharedBatch, first: int, second: int, same: Tensor, both: Tensor) -> Tensor:
        """(B,): the loss of this process's samples between two modalities."""
        one, other = batch.vectors[:, first], batch.vectors[:, second]
        if self.bias is not None:
            return sigmoid_loss(one[batch.own], other, same, both, self.scale(), self.bias)
        there = info_nce(one[batch.own], other, same, both, self.scale())
        return (there + info_nce(other[batch.own], one, same, both, self.scale())) / 2

    def make_metrics(self) -> MetricCollection:
        """``recall_at_1`` and the others, over directions and for each, ``image_to_text_recall_at_1``."""
        numbers = {name: i for i, name in enumerate(self.modalities)}
        directions = {f"{a}_to_{b}_": [(numbers[a], numbers[b])] for a, b in permutations(self.modalities, 2)}
        chosen = {"": [pair for pairs in directions.values() for pair in pairs], **directions}
        memo = RankMemo()
        kinds = {score: RankScore if score == "median_rank" else RetrievalScore for score in SCORES}
        metrics: dict[str, Metric | MetricCollection] = {
            f"{name}{score}": kind(score, pairs, memo)
            for name, pairs in chosen.items()
            for score, kind in kinds.items()
        }
        return MetricCollection(metrics, compute_groups=[list(metrics)])

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the counted samples of a batch."""
        counted = targets["counted"]
        metrics.update(outputs["vectors"][counted].float(), outputs["present"][counted], targets["cells"][counted])

    def metric_notes(self, metrics: MetricCollection) -> dict[str, str]:
        """How many items each gallery has."""
        sizes = getattr(metrics["mrr"], "gallery_sizes", [])
        named = ", ".join(f"{size} of {name}" for name, size in zip(self.modalities, sizes, strict=False))
        return {"mrr": f"galleries: {named}; ties count against the model"} if sizes else {}

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction``: cosines of the sample's modalities, ``{"text-image": 0.31}``; on request ``embeddings``."""
        vectors, present = outputs["vectors"].detach().float(), outputs["present"]
        similar = (vectors @ vectors.mT).tolist()
        answers = []
        for row, there in enumerate(present.tolist()):
            names = [(i, name) for i, name in enumerate(self.modalities) if there[i]]
            pairs = {f"{a}-{b}": similar[row][i][j] for (i, a), (j, b) in combinations(names, 2)}
            answer: dict[str, Any] = {"prediction": pairs}
            if self.embeddings:
                answer = {
                    "prediction": {"similarity": pairs, "vectors": {n: vectors[row, i].tolist() for i, n in names}}
                }
            answers.append(answer)
        return answers


def fingerprint(cell: Any) -> int:
    """A cell as a number in [1, 2^62), equal for equal cells; ``NO_CELL`` for an empty one."""
    if cell is None:
        return NO_CELL
    if isinstance(cell, bytes):
        content = cell
    else:
        content = (cell if isinstance(cell, str) else json.dumps(cell, default=repr, sort_keys=True)).encode()
    return xxhash.xxh3_64_intdigest(content) % (FINGERPRINTS - 1) + 1
