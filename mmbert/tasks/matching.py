"""Matching: does the picture belong to the text? Some samples get another sample's, and the head says which.

    loss = binary cross-entropy of σ(w · z)      z: the fused vector, of the pair that the model has read

Paper: Lu et al. 2019, "ViLBERT", arXiv:1908.02265 (multimodal alignment); Li et al. 2021, "Align before Fuse",
arXiv:2107.07651 (image-text matching). Differs from the latter: the other sample is drawn evenly from the batch and is
no hard negative, since it takes its place before anything is encoded. Any modality can be the one that is exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import xxhash
from torch import Tensor
from torchmetrics import MetricCollection

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import UNLABELLED, Inputs, Loss, State, Tensors, map_leaves
from mmbert.data.augment.augmentation import sample_random
from mmbert.data.tables.cells import cell_text
from mmbert.tasks.base import Head, Task
from mmbert.tasks.metrics import Accuracy, MacroAUROC

#: The two answers, in the order of the probabilities.
MATCHING_ANSWERS = ("mismatch", "match")


class Matching(Task):
    """Whether a modality is the sample's own or another sample's.

    Targets: ``match`` (B,) int64, 1 own, 0 another's, UNLABELLED for samples without the modality; outputs: ``logits``
    (B,), and ``paired`` (B,) bool, whether there is something that it could match: another modality.

    Metrics: ``accuracy`` and ``auroc``.

    Args:
        in_dim: width H of the fused vector.
        dims: width by modality.
        swap: the encoder whose input is exchanged.
        duplicates: a column (a caption, a product): samples with equal cells are no mismatches of each other. Samples
            whose exchanged inputs are equal never are.
        share: of the samples, those that get another's.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        hidden_dim: width of a hidden layer in the head; 0 = none.
        dropout: on the head's input.

    Raises:
        ConfigError: there is no such encoder, or it is the only one.
    """

    kind = "matching"
    main_metric = "auroc"

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
    ) -> None:
        super().__init__(in_dim, None, weight, lr_scale)
        if swap not in dims:
            raise ConfigError(f"swap={swap}: matching exchanges what an encoder reads. {nearest(swap, dims)}")
        if len(dims) < 2:
            raise ConfigError(f"matching needs another modality beside '{swap}', which it could match.")
        self.swap, self.share = swap, share
        self.changes_inputs = (swap,)
        if duplicates is not None:
            self.columns = (duplicates,)
        self.head = Head(in_dim, 1, hidden_dim, dropout)

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> int:
        """A number that is equal for samples with equal cells; 0 = the cell is empty, or no column is read."""
        cell = cells[self.columns[0]] if self.columns else None
        return 0 if cell is None else xxhash.xxh3_64_intdigest(cell_text(cell).encode("utf-8")) >> 1 or 1

    def collate(self, targets: Sequence[Any]) -> Tensors:
        """``counted`` (B,) bool and ``same`` (B,) int64."""
        return {**super().collate(targets), "same": torch.tensor([target or 0 for target in targets])}

    def change_inputs(
        self, inputs: Mapping[str, Inputs], draws: Sequence[int], targets: Tensors
    ) -> tuple[dict[str, Inputs], Tensors]:
        """Gives some samples another's input; a sample for which there is no other keeps its own."""
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

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool; False throughout where no inputs were changed, as in evaluation beside other tasks."""
        return targets["match"] != UNLABELLED if "match" in targets else torch.zeros_like(targets["counted"])

    def decode(self, targets: Tensors) -> list[Any]:
        """``match``, ``mismatch``, or None."""
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

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """Binary cross-entropy over pairs."""
        pairs = self._counted_pairs(outputs, targets)
        logits = blank(outputs["logits"].float(), pairs)
        match = targets["match"].clamp(min=0).float() if "match" in targets else torch.zeros_like(logits)
        each = F.binary_cross_entropy_with_logits(logits, match, reduction="none")
        return Loss(blank(each, pairs).sum(), pairs.sum())

    def make_metrics(self) -> MetricCollection:
        """``accuracy`` and ``auroc``."""
        return MetricCollection(
            {"accuracy": Accuracy(2), "auroc": MacroAUROC()}, compute_groups=[["accuracy"], ["auroc"]]
        )

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the pairs of a batch."""
        pairs = self._counted_pairs(outputs, targets)
        if "match" in targets:
            metrics.update(probabilities(outputs)[pairs], targets["match"][pairs])

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction``, and ``probabilities`` of both answers; None where there is no pair."""
        answers: list[dict[str, Any]] = []
        for shares, paired in zip(probabilities(outputs).tolist(), outputs["paired"].tolist(), strict=True):
            known = dict(zip(MATCHING_ANSWERS, shares, strict=True))
            answers.append(
                {"prediction": max(known, key=known.__getitem__), "probabilities": known}
                if paired
                else {"prediction": None, "probabilities": None}
            )
        return answers


def probabilities(outputs: Tensors) -> Tensor:
    """(B, 2) float32: of a mismatch, and of a match."""
    match = outputs["logits"].detach().float().sigmoid()
    return torch.stack([1 - match, match], 1)


def digests(inputs: Inputs) -> list[str]:
    """A hash of what each of B samples has in an input, padding included."""
    parts = [tensor.contiguous().reshape(len(tensor), -1) for _, tensor in sorted(inputs.items())]
    return [
        xxhash.xxh3_64_hexdigest(b"|".join(part[row].numpy().tobytes() for part in parts))
        for row in range(len(inputs["mask"]))
    ]
