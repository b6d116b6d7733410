"""Classification: one of C classes a sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import torch.nn.functional as F
from torch import Tensor

from mmbert.core.errors import DataError
from mmbert.core.masks import blank
from mmbert.core.ranges import AnyOf, Many, OneOf, Range
from mmbert.core.types import UNLABELLED, Loss, OutputSpec, State, Tensors
from mmbert.data.labels import finite_number, is_decorated_number
from mmbert.data.tables.cells import cell_text
from mmbert.tasks.base import Head
from mmbert.tasks.class_options import (
    MANY_CLASSES,
    checked_smoothing,
    checked_weights,
    count_of,
    joined_counts,
    natural_order,
)
from mmbert.tasks.one_class import OneClass

#: What the table at the end of a run shows of a task with classes; the rest is in metrics.json.
USUAL_METRICS = ("accuracy", "f1", "auroc")


class Classification(OneClass):
    """One label out of C, trained with cross-entropy.

    Cells are compared by the rule of ``mmbert.data.tables.cells``, so 7, "7" and "7.0" are one class.

    Targets: ``label`` (B,) int64, UNLABELLED where missing; outputs: ``logits`` (B, C).

    Metrics: ``accuracy``, ``f1`` (macro, over classes that occur among labels or predictions), ``f1_weighted``,
    ``f1_micro``, ``balanced_accuracy``, ``mcc``, ``cohen_kappa``; ``auroc`` (macro, one class against the rest, over
    classes that some labelled samples have and others have not), ``top_3_accuracy``; ``nll``, ``brier``, ``ece``,
    ``aurc``; with ``abstain_below`` or ``coverage`` also ``coverage`` and ``selective_accuracy``. All others count
    every labelled sample, answered or not.

    Args:
        in_dim: width H of the fused vector.
        column: the table's column with the labels.
        classes: the C names in the order of the logits; learnt from the train split.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        hidden_dim: width of a hidden layer in the head; 0 = a linear head.
        dropout: on the head's input and on its hidden layer.
        class_weights: None; ``"balanced"``, that is N / (C · n_c) for a class with n_c of the N labelled train
            samples; or C numbers in the order of ``classes``. As in torch, the loss is then a weighted mean.
        label_smoothing: share of the target that is spread evenly over all classes, in [0, 1).
        class_counts: labelled train samples by class; learnt from the train split, read by ``"balanced"``.
        top_k: numbers k of which ``top_K_accuracy`` is measured, those below C.
        shown_metrics: those that the table at the end and the learning curves show; None = all.
        calibrate: ``"temperature"`` = one number, fitted on the validation split after training, divides all logits
            (Guo et al. 2017, arXiv:1706.04599). No answer changes, their probabilities do.
        abstain_below: a sample whose answer has a lower probability is not answered; None = all are.
        coverage: instead, the share of the validation split that is answered; the threshold follows from it.

    Raises:
        ConfigError: fewer than two classes, one named twice, or an option outside its range.
    """

    def __init__(
        self,
        in_dim: int,
        column: str,
        classes: Sequence[str],
        weight: float = 1.0,
        lr_scale: float = 1.0,
        hidden_dim: Annotated[int, Range(0)] = 0,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        class_weights: Annotated[str | Sequence[float] | None, AnyOf(OneOf("balanced"), Many(Range(0)))] = None,
        label_smoothing: Annotated[float, Range(0, below=1)] = 0.0,
        class_counts: Mapping[str, int] | None = None,
        top_k: Annotated[Sequence[int], Many(Range(1))] = (3,),
        shown_metrics: Sequence[str] | None = USUAL_METRICS,
        calibrate: Annotated[str | None, OneOf("temperature")] = None,
        abstain_below: Annotated[float | None, Range(0, 1)] = None,
        coverage: Annotated[float | None, Range(above=0, at_most=1)] = None,
    ) -> None:
        super().__init__(
            in_dim, column, classes, weight, lr_scale, top_k, shown_metrics, calibrate, abstain_below, coverage
        )
        self.label_smoothing = checked_smoothing(label_smoothing, column)
        counts = None if class_counts is None else self._index.counts(class_counts)
        balanced = None if counts is None else balanced_class_weights(self.classes, counts)
        weights = checked_weights(class_weights, balanced, self.classes, column)
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", weights, persistent=False)  # the loss's business, not the model's
        self.head = Head(in_dim, len(self.classes), hidden_dim, dropout)

    @property
    def output_spec(self) -> OutputSpec:
        """Logits of one softmax."""
        plain = self.class_weights is None and not self.label_smoothing
        return OutputSpec("classification", len(self.classes), plain_loss=plain, column=self.column or "")

    @classmethod
    def fit_labels(cls, cells: Iterable[Any], column: str) -> dict[str, Any]:
        """``classes`` in natural order and ``class_counts``, from the train split's cells.

        Raises:
            DataError: no cell is labelled, all carry the same label, or the column holds a quantity.
        """
        counts = joined_counts(cell_text(cell) for cell in cells if cell is not None)
        if not counts:
            raise DataError(f"Column '{column}' has no label in the train split: every cell is empty.")
        if len(counts) == 1:
            raise DataError(
                f"Column '{column}' has the same label '{next(iter(counts))}' throughout the train split: "
                "there is nothing to tell apart."
            )
        total = sum(counts.values())
        if len(counts) > max(MANY_CLASSES, total / 2) and is_quantity(counts):
            raise DataError(
                f"Column '{column}' holds {len(counts)} different numbers in {total} labelled train samples: "
                "a quantity rather than classes. Use task=regression (for a task by name: task@tasks.NAME=regression)."
            )
        classes = natural_order(counts)
        return {"classes": classes, "class_counts": {name: counts[name] for name in classes}}

    def count(self, targets: Tensors) -> Tensor:
        """() labelled samples, or the sum of their class weights."""
        labelled = self.labelled(targets)
        if self.class_weights is None:
            return labelled.sum()
        return blank(self.class_weights[targets["label"].clamp(min=0)], labelled).sum()

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """pooled (B, H) -> ``logits`` (B, C)."""
        return {"logits": self.head(state.fused.pooled)}

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """Cross-entropy; with class weights its mean is the one weighted by them, as ``F.cross_entropy`` has it."""
        labelled = self.labelled(targets)
        logits = blank(outputs["logits"].float(), labelled)  # an unlabelled sample's logits never reach a gradient
        total = F.cross_entropy(
            logits,
            targets["label"],
            weight=self.class_weights,
            ignore_index=UNLABELLED,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        return Loss(total, self.count(targets))

    def class_logits(self, outputs: Tensors) -> Tensor:
        """(B, C)."""
        return outputs["logits"].float()


def balanced_class_weights(classes: Sequence[str], counts: Mapping[str, int]) -> list[float]:
    """N / (C · n_c) for each class: every class then has the same total weight."""
    total = sum(count_of(name, counts) for name in classes)
    return [total / (len(classes) * count_of(name, counts)) for name in classes]


def is_quantity(names: Iterable[str]) -> bool:
    """Whether all names are numbers, if only to a person (``0,5``), and some are not whole."""
    numbers = {name: finite_number(name) for name in names}
    whole = [number is not None and number.is_integer() for number in numbers.values()]
    known = all(number is not None or is_decorated_number(name) for name, number in numbers.items())
    return known and not all(whole)
