"""Classification: one of C classes a sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection

from mmbert.core.errors import DataError, nearest
from mmbert.core.masks import blank
from mmbert.core.ranges import AnyOf, Many, OneOf, Range
from mmbert.core.types import UNLABELLED, Loss, OutputSpec, State, Tensors
from mmbert.data.labels import finite_number, is_decorated_number, missing_hint
from mmbert.data.tables.cells import cell_text
from mmbert.tasks.base import Head, Task
from mmbert.tasks.class_options import (
    MANY_CLASSES,
    ClassIndex,
    checked_classes,
    checked_smoothing,
    checked_weights,
    count_of,
    joined_counts,
    natural_order,
)
from mmbert.tasks.metrics import Accuracy, MacroAUROC, MacroF1, samples


class Classification(Task):
    """One label out of C, trained with cross-entropy.

    Cells are compared by the rule of ``mmbert.data.tables.cells``, so 7, "7" and "7.0" are one class.

    Targets: ``label`` (B,) int64, UNLABELLED where missing; outputs: ``logits`` (B, C).

    Metrics: ``accuracy`` (micro), ``f1`` (macro, over classes that occur among labels or predictions), ``auroc``
    (macro, one class against the rest, over classes that some labelled samples have and others have not).

    Args:
        in_dim: width H of the fused vector.
        column: the table's column with the labels.
        classes: the C names in the order of the logits; learnt from the train split.
        weight: share of this task in a multi-task loss.
        hidden_dim: width of a hidden layer in the head; 0 = a linear head.
        dropout: on the head's input and on its hidden layer.
        class_weights: None; ``"balanced"``, that is N / (C · n_c) for a class with n_c of the N labelled train
            samples; or C numbers in the order of ``classes``. As in torch, the loss is then a weighted mean.
        label_smoothing: share of the target that is spread evenly over all classes, in [0, 1).
        class_counts: labelled train samples by class; learnt from the train split, read by ``"balanced"``.

    Raises:
        ConfigError: fewer than two classes, one named twice, or an option outside its range.
    """

    kind = "classification"
    main_metric = "accuracy"

    def __init__(
        self,
        in_dim: int,
        column: str,
        classes: Sequence[str],
        weight: float = 1.0,
        hidden_dim: Annotated[int, Range(0)] = 0,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        class_weights: Annotated[str | Sequence[float] | None, AnyOf(OneOf("balanced"), Many(Range(0)))] = None,
        label_smoothing: Annotated[float, Range(0, below=1)] = 0.0,
        class_counts: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(in_dim, column, weight)
        self.classes = checked_classes(classes, column, least=2)
        self._index = ClassIndex(self.classes)
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

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> int | None:
        """The cell's class, 0 to C - 1.

        Raises:
            DataError: there is no such class.
        """
        cell = cells[self.columns[0]]
        if cell is None:
            return None
        name = cell_text(cell)
        place = self._index.find(name)
        if place is None:
            known = nearest(name, self.classes)
            raise DataError(f"the label '{name}' is no class of the train split{missing_hint(name)}. {known}")
        return place

    def collate(self, targets: Sequence[int | None]) -> Tensors:
        """``label`` (B,) int64."""
        return {"label": torch.tensor([UNLABELLED if target is None else target for target in targets])}

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool."""
        return targets["label"] != UNLABELLED

    def count(self, targets: Tensors) -> Tensor:
        """() labelled samples, or the sum of their class weights."""
        labelled = self.labelled(targets)
        if self.class_weights is None:
            return labelled.sum()
        return blank(self.class_weights[targets["label"].clamp(min=0)], labelled).sum()

    def decode(self, targets: Tensors) -> list[str | None]:
        """Class names."""
        return [None if i == UNLABELLED else self.classes[i] for i in targets["label"].tolist()]

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

    def target_probability(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,): the probability of the right class, 0 where there is no label."""
        probabilities = outputs["logits"].float().softmax(-1)
        right = probabilities.gather(1, targets["label"].clamp(min=0).unsqueeze(1)).squeeze(1)
        return blank(right, self.labelled(targets))

    def make_metrics(self) -> MetricCollection:
        """``accuracy``, ``f1``, ``auroc``."""
        size = len(self.classes)
        # groups spelt out: those that torchmetrics finds by itself depend on the values of the first batch
        return MetricCollection(
            {"accuracy": Accuracy(size), "f1": MacroF1(size), "auroc": MacroAUROC()},
            compute_groups=[["accuracy"], ["f1"], ["auroc"]],
        )

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the labelled samples of a batch."""
        labelled = self.labelled(targets)
        metrics.update(outputs["logits"][labelled].float().softmax(-1), targets["label"][labelled])

    def undefined_metrics(self, targets: Tensors) -> dict[str, str]:
        """``auroc`` where all labelled samples are of one class."""
        found = targets["label"][self.labelled(targets)]
        if len(found.unique()) != 1:
            return {}
        return {"auroc": f"{samples(len(found), 'labelled')} of the class '{self.classes[int(found[0])]}'"}

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction``, a class name, and ``probabilities``, {class: p}."""
        probabilities = outputs["logits"].detach().float().softmax(-1)
        return [
            {"prediction": self.classes[best], "probabilities": dict(zip(self.classes, row, strict=True))}
            for best, row in zip(probabilities.argmax(-1).tolist(), probabilities.tolist(), strict=True)
        ]


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
