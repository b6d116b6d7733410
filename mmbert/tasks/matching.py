"""Matching: does the picture belong to the text? Some samples get another sample's, and the head says which.

    loss = binary cross-entropy of σ(w · z)      z: the fused vector, of the pair that the model has read

Papers: Lu et al. 2019, "ViLBERT", arXiv:1908.02265 (multimodal alignment); Li et al. 2021, "Align before Fuse",
arXiv:2107.07651 (image-text matching, hard negatives). ``random`` negatives take their place before anything is
encoded, drawn evenly from the batch, and all tasks read them. ``hard`` ones do so after, drawn in proportion to the
similarity in the space of a retrieval task, and this task alone reads them: the model fuses twice. Differs from Li et
al.: one negative a sample, of the modality ``swap``, not one of each; similarities are those of the trained encoders,
without a momentum copy; samples that share a caption, a picture's file or the cell of ``duplicates`` are no negatives
of each other. Any modality can be the one that is exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import torch
import torch.nn.functional as F
import xxhash
from torch import Tensor
from torchmetrics import MetricCollection

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import UNLABELLED, Encoded, Inputs, Loss, State, Tensors, map_leaves
from mmbert.data.augment.augmentation import sample_random
from mmbert.data.labels import by_rows
from mmbert.data.tables.cells import cell_text
from mmbert.tasks.base import Head, Task
from mmbert.tasks.contrastive.batch import NO_CELL, same_cells
from mmbert.tasks.contrastive.hard_negatives import hard_negatives
from mmbert.tasks.metrics import Accuracy, MacroAUROC
from mmbert.tasks.retrieval import Retrieval, fingerprint

#: The two answers, in the order of the probabilities.
MATCHING_ANSWERS = ("mismatch", "match")


class Matching(Task):
    """Whether a modality is the sample's own or another sample's.

    Targets: ``match`` (B,) int64, 1 own, 0 another's, UNLABELLED for samples without the modality; outputs: ``logits``
    (B,), and ``paired`` (B,) bool, whether there is something that it could match: another modality. With hard
    negatives: targets ``cells`` (B, K) int64, fingerprints; the outputs are of each sample's own pair, and
    ``exchanged_logits`` (B,) and ``exchanged`` (B,) bool of the pair with another's.

    Metrics: ``accuracy`` and ``auroc``.

    Args:
        in_dim: width H of the fused vector.
        dims: width by modality.
        swap: the encoder whose input is exchanged.
        duplicates: a column (a caption, a product): samples with equal cells are no mismatches of each other. Samples
            whose exchanged inputs are equal never are.
        share: of the samples, those that get another's; with hard negatives each is judged with its own and another's.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        hidden_dim: width of a hidden layer in the head; 0 = none.
        dropout: on the head's input.
        negatives: ``random`` or ``hard``; in evaluation a hard one is the nearest.
        similarity: with hard negatives, the name of the retrieval task that says how near; None = the only one.
        input_columns: the table's column by modality.

    Raises:
        ConfigError: there is no such encoder, or it is the only one.
    """

    kind = "matching"
    quotes_samples = False
    main_metric = "auroc"
    target_score_name = "probability of the right one of match and mismatch"
    chance = 0.5

    def __init__(
        self,
        in_dim: int,
        dims: Mapping[str, int],
        swap: str = "image",
        duplicates: str | None = None,
        share: Annotated[float, Range(above=0, below=1)] = 0.5,
        weight: float = 1.0,
        lr_scale: float = 1.0,
        hidden_dim: Annotated[int, Range(0)] = 0,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        negatives: Literal["random", "hard"] = "random",
        similarity: str | None = None,
        input_columns: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(in_dim, None, weight, lr_scale)
        if swap not in dims:
            raise ConfigError(f"swap={swap}: matching exchanges what an encoder reads. {nearest(swap, dims)}")
        if len(dims) < 2:
            raise ConfigError(f"matching needs another modality beside '{swap}', which it could match.")
        self.swap, self.share = swap, share
        self.exchanges = self.compares_samples = negatives == "hard"
        self.changes_inputs = () if self.exchanges else (swap,)
        self.modalities, self.duplicates, self.similarity = list(dims), duplicates, similarity
        self.nearness: dict[str, Retrieval] = {}  # the retrieval task; a plain dictionary: its weights are its own
        self.set_input_columns(input_columns or {})
        self.head = Head(in_dim, 1, hidden_dim, dropout)

    def set_input_columns(self, columns: Mapping[str, str]) -> None:
        """With hard negatives, the columns whose equal cells make samples no negatives of each other."""
        more = [] if self.duplicates is None else [self.duplicates]
        self.input_columns = {name: columns[name] for name in self.modalities if name in columns}
        read = list(self.input_columns.values()) if self.exchanges else []
        self.columns = tuple(dict.fromkeys([*read, *more]))

    def connect_tasks(self, tasks: Mapping[str, Task]) -> None:
        """With hard negatives, finds the retrieval task in whose space they are near.

        Raises:
            ConfigError: there is none, or there are several and none is named.
        """
        if not self.exchanges:
            return
        found = {name: task for name, task in tasks.items() if isinstance(task, Retrieval)}
        if not found:
            raise ConfigError(
                "tasks: negatives=hard of matching needs a retrieval task, whose similarities say which are hard: "
                "+task@tasks.pairs=retrieval."
            )
        if self.similarity is not None and self.similarity not in found:
            raise ConfigError(
                f"similarity={self.similarity}: no retrieval task is called so. {nearest(self.similarity, found)}"
            )
        if self.similarity is None and len(found) > 1:
            raise ConfigError(f"tasks: several retrieval tasks: name one of {', '.join(found)} by similarity.")
        self.nearness = {"by": found[self.similarity or next(iter(found))]}

    def without_weights(self) -> Self:
        """See ``Task``."""
        light = super().without_weights()
        light.nearness = {}
        return light

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> Any:
        """A number that is equal for samples with equal cells; 0 = the cell is empty, or no column is read.

        With hard negatives such a number for each modality, and for ``duplicates``.
        """
        if self.exchanges:
            named = [*(self.input_columns.get(name) for name in self.modalities), self.duplicates]
            return tuple(NO_CELL if name is None else fingerprint(cells.get(name)) for name in named)
        cell = cells[self.columns[0]] if self.columns else None
        return 0 if cell is None else xxhash.xxh3_64_intdigest(cell_text(cell).encode("utf-8")) >> 1 or 1

    @by_rows
    def collate(self, targets: Sequence[Any]) -> Tensors:
        """``counted`` (B,) bool and ``same`` (B,) int64; with hard negatives ``cells`` (B, K) int64."""
        if self.exchanges:
            nothing = (NO_CELL,) * (len(self.modalities) + 1)
            cells = torch.tensor([target or nothing for target in targets], dtype=torch.int64).view(-1, len(nothing))
            return {**super().collate(targets), "cells": cells}
        return {**super().collate(targets), "same": torch.tensor([target or 0 for target in targets])}

    def change_inputs(
        self, inputs: Mapping[str, Inputs], draws: Sequence[int], targets: Tensors
    ) -> tuple[dict[str, Inputs], Tensors]:
        """Gives some samples another's input; a sample for which there is no other keeps its own.

        With hard negatives nothing is changed.
        """
        if self.exchanges:
            return {}, {}
        read = inputs[self.swap]
        usable = read["mask"].flatten(1).any(1) & targets["counted"]
        content, same = digests(read), targets["same"].tolist()
        source, match = torch.arange(len(draws)), torch.where(usable, 1, UNLABELLED)
        for row, draw in enumerate(draws):
            random = sample_random(draw, "tasks.matching")
            if not usable[row] or random.random() >= self.share:
                continue
            others = [
                other
                for other in usable.nonzero().flatten().tolist()
                if content[other] != content[row] and (not same[row] or same[other] != same[row])
            ]
            if others:
                source[row], match[row] = others[random.integers(len(others))], 0
        return {self.swap: map_leaves(read, lambda tensor: tensor[source])}, {"match": match}

    def exchanged(self, state: State, targets: Tensors) -> tuple[dict[str, Encoded], Tensor]:
        """Each sample with the ``swap`` of another that is near to its other modalities; its own if there is none."""
        source, found = self.hard_sources(state, targets)
        return {**state.encoded, self.swap: state.encoded[self.swap].rows(source)}, found

    @torch.no_grad()
    def hard_sources(self, state: State, targets: Tensors) -> tuple[Tensor, Tensor]:
        """(B,) int64, whose ``swap`` each sample gets, and (B,) bool, whether it is another's."""
        retrieval = self.nearness["by"]
        own = state.encoded[self.swap]
        others = [name for name in self.modalities if name != self.swap]
        known = torch.stack([state.encoded[name].present for name in others], 1)  # (B, M - 1)
        vectors = torch.stack([retrieval.embed(name, state.encoded[name]) for name in others], 1)
        means = vectors.sum(1) / known.sum(1, keepdim=True).clamp(min=1)  # mean cosine with those that are there
        similar = retrieval.scale().float() * (means @ retrieval.embed(self.swap, own).T)
        takes, gives = targets["counted"] & own.present & known.any(1), targets["counted"] & own.present
        allowed = takes.unsqueeze(1) & gives.unsqueeze(0) & ~same_cells(targets["cells"], targets["cells"])
        allowed = allowed & ~torch.eye(len(takes), dtype=torch.bool, device=takes.device)
        source, found = hard_negatives(similar, allowed, draw=self.training)
        return torch.where(found, source, torch.arange(len(found), device=found.device)), found

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool; False throughout where no inputs were changed, as in evaluation beside other tasks."""
        if self.exchanges:
            return targets["counted"]
        return targets["match"] != UNLABELLED if "match" in targets else torch.zeros_like(targets["counted"])

    def decode(self, targets: Tensors) -> list[Any]:
        """``match``, ``mismatch``, or None; with hard negatives what the table holds, which is a match."""
        if self.exchanges:
            return [MATCHING_ANSWERS[1] if counted else None for counted in targets["counted"].tolist()]
        if "match" not in targets:
            return super().decode(targets)
        return [None if found == UNLABELLED else MATCHING_ANSWERS[found] for found in targets["match"].tolist()]

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """pooled (B, H) -> ``logits`` (B,), ``paired`` (B,) bool."""
        others = [x.present for name, x in state.encoded.items() if name != self.swap]
        paired = state.encoded[self.swap].present & torch.stack(others).any(0)
        return {"logits": self.head(state.fused.pooled).squeeze(1), "paired": paired}

    def _counted_pairs(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,) bool: labelled samples that have something to match."""
        return self.labelled(targets) & outputs["paired"]

    def _pairs(self, outputs: Tensors, targets: Tensors) -> list[tuple[Tensor, Tensor, Tensor]]:
        """What is judged: logits (B,), whether they are of a match (B,) float, and which of them count (B,) bool."""
        own = self._counted_pairs(outputs, targets)
        if not self.exchanges:
            logits = outputs["logits"]
            match = targets["match"].clamp(min=0).float() if "match" in targets else torch.zeros_like(logits)
            return [(logits, match, own)]
        kept = [(outputs["logits"], torch.ones_like(outputs["logits"]), own)]
        if "exchanged" in outputs:
            logits = outputs["exchanged_logits"]
            kept.append((logits, torch.zeros_like(logits), own & outputs["exchanged"]))
        return kept

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """Binary cross-entropy over samples; of one that has a pair with its own and with another's, their mean."""
        total = torch.zeros_like(outputs["logits"], dtype=torch.float32)
        pairs = torch.zeros_like(total, dtype=torch.int64)  # (B,) that count of a sample
        for logits, match, counted in self._pairs(outputs, targets):
            each = F.binary_cross_entropy_with_logits(blank(logits.float(), counted), match.float(), reduction="none")
            total, pairs = total + blank(each, counted), pairs + counted
        return Loss((total / pairs.clamp(min=1)).sum(), (pairs > 0).sum())

    @property
    def answers_in(self) -> tuple[str, ...]:
        """See ``Task``; beside it another modality is needed, which ``target_probability`` sees to."""
        return (self.swap,)

    def target_probability(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,): of a match where it is the sample's own, of a mismatch where it is another's; 0 without a pair."""
        logits, match, counted = self._pairs(outputs, targets)[0]
        right = torch.where(match > 0.5, logits.float(), -logits.float()).sigmoid()
        return blank(right, counted)

    def make_metrics(self) -> MetricCollection:
        """``accuracy`` and ``auroc``."""
        return MetricCollection(
            {"accuracy": Accuracy(2), "auroc": MacroAUROC()}, compute_groups=[["accuracy"], ["auroc"]]
        )

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the pairs of a batch."""
        if self.exchanges or "match" in targets:
            for logits, match, counted in self._pairs(outputs, targets):
                metrics.update(probabilities(logits)[counted], match[counted].long())

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction``, and ``probabilities`` of both answers; None where there is no pair."""
        answers: list[dict[str, Any]] = []
        for shares, paired in zip(probabilities(outputs["logits"]).tolist(), outputs["paired"].tolist(), strict=True):
            known = dict(zip(MATCHING_ANSWERS, shares, strict=True))
            answers.append(
                {"prediction": max(known, key=known.__getitem__), "probabilities": known}
                if paired
                else {"prediction": None, "probabilities": None}
            )
        return answers


def probabilities(logits: Tensor) -> Tensor:
    """(B,) -> (B, 2) float32: of a mismatch, and of a match."""
    match = logits.detach().float().sigmoid()
    return torch.stack([1 - match, match], 1)


def digests(inputs: Inputs) -> list[str]:
    """A hash of what each of B samples has in an input, padding included."""
    parts = [tensor.contiguous().reshape(len(tensor), -1) for _, tensor in sorted(inputs.items())]
    return [
        xxhash.xxh3_64_hexdigest(b"|".join(part[row].numpy().tobytes() for part in parts))
        for row in range(len(inputs["mask"]))
    ]
