"""Multilabel: any number of C properties at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection

from mmbert.core.errors import DataError, nearest
from mmbert.core.masks import blank
from mmbert.core.ranges import AnyOf, Many, OneOf, Range
from mmbert.core.types import Loss, OutputSpec, State, Tensors
from mmbert.data.labels import by_rows, missing_hint, split_labels
from mmbert.tasks.base import Head, Task
from mmbert.tasks.class_options import (
    ClassIndex,
    checked_classes,
    checked_smoothing,
    checked_weights,
    count_of,
    joined_counts,
    natural_order,
)
from mmbert.tasks.confidence_metrics import PropertyBrierScore, PropertyCalibrationError, PropertyLogLoss
from mmbert.tasks.metrics import ExactMatch, MacroAUROC, MacroAveragePrecision, MultilabelMacroF1, samples
from mmbert.tasks.temperature import fit_property_temperature

#: The lowest probability of float32 by which a property holds.
BARELY_YES = float(np.nextafter(np.float32(0.5), np.float32(1)))


class Multilabel(Task):
    """A yes or no for each of C properties, trained with binary cross-entropy.

    Targets: ``label`` (B, C) float of 0 and 1, NaN throughout where missing; outputs: ``logits`` (B, C).

    Metrics: ``map`` (mean average precision over properties with a positive sample), ``f1`` (macro, at probability
    0.5, over properties that occur among labels or predictions), ``auroc`` (macro, over properties that some
    labelled samples have and others have not), ``exact_match`` (share of samples with every property right); of the
    probabilities of all properties together ``nll``, ``brier``, ``ece``.

    Args:
        in_dim: width H of the fused vector.
        column: the table's column with the labels: lists, lists as JSON or Python write them, or names joined by
            ``separator``. An empty list says that no property holds, an empty cell that nobody labelled the sample.
        classes: the C names in the order of the logits; learnt from the train split.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        hidden_dim: width of a hidden layer in the head; 0 = a linear head.
        dropout: on the head's input and on its hidden layer.
        class_weights: factor on the loss of a property's positive samples (torch's ``pos_weight``): None;
            ``"balanced"``, that is negatives / positives in the train split; or C numbers in the order of ``classes``.
        label_smoothing: e in [0, 1): targets become 1 - e/2 and e/2.
        class_counts: train samples that have the property; learnt, read by ``"balanced"``.
        labelled_count: labelled train samples; learnt, read by ``"balanced"``.
        separator: what stands between the names in a plain text cell.
        calibrate: ``"temperature"`` = one number, fitted on the validation split after training, divides all logits
            (Guo et al. 2017, arXiv:1706.04599). No answer changes, their probabilities do.

    Raises:
        ConfigError: no class, one named twice, or an option outside its range.
    """

    kind = "multilabel"
    main_metric = "map"
    shown_metrics = ("map", "f1", "auroc", "exact_match")
    temperature: Tensor

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
        labelled_count: int | None = None,
        separator: str = "|",
        calibrate: Annotated[str | None, OneOf("temperature")] = None,
    ) -> None:
        super().__init__(in_dim, column, weight, lr_scale)
        self.classes = self.init_args["classes"] = checked_classes(classes, column, least=1)
        self.separator = separator
        self._index = ClassIndex(self.classes)
        self.label_smoothing = checked_smoothing(label_smoothing, column)
        balanced = None
        if class_counts is not None and labelled_count is not None:
            balanced = balanced_positive_weights(self.classes, self._index.counts(class_counts), labelled_count)
        weights = checked_weights(class_weights, balanced, self.classes, column)
        self.positive_weights: Tensor | None
        self.register_buffer("positive_weights", weights, persistent=False)  # the loss's business, not the model's
        self.head = Head(in_dim, len(self.classes), hidden_dim, dropout)
        self.tunes = calibrate is not None
        self.register_buffer("temperature", torch.ones(()), persistent=self.tunes)

    @property
    def output_spec(self) -> OutputSpec:
        """Logits of a sigmoid each."""
        plain = self.positive_weights is None and not self.label_smoothing
        return OutputSpec("multilabel", len(self.classes), plain_loss=plain, column=self.column or "")

    @classmethod
    def fit_labels(cls, cells: Iterable[Any], column: str, separator: str = "|") -> dict[str, Any]:
        """``classes`` in natural order, ``class_counts`` and ``labelled_count``, from the train split's cells.

        Raises:
            DataError: no cell is labelled, no cell names a property, or a cell cannot be read.
        """
        names: list[str] = []
        labelled = 0
        for cell in cells:
            if cell is None:
                continue
            try:
                held = split_labels(cell, separator)
            except DataError as error:
                raise DataError(f"Column '{column}': {error}") from error
            check_no_vector(held, column)
            names += joined_counts(held)  # a name that comes twice holds once
            labelled += 1
        counts = joined_counts(names)
        if not labelled:
            raise DataError(f"Column '{column}' has no label in the train split: every cell is empty.")
        if not counts:
            raise DataError(f"Column '{column}' names no property in the train split: every list is empty.")
        classes = natural_order(counts)
        return {
            "classes": classes,
            "class_counts": {name: counts[name] for name in classes},
            "labelled_count": labelled,
        }

    @classmethod
    def check_cell(cls, cell: Any) -> None:
        """Refuses what looks like a list and is none, and lists of lists."""
        split_labels(cell)

    def encode(
        self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None
    ) -> list[int] | None:
        """Which of the C properties hold.

        Raises:
            DataError: a name is none of them, or the cell cannot be read.
        """
        cell = cells[self.columns[0]]
        if cell is None:
            return None
        names = split_labels(cell, self.separator)
        places = []
        for name in names:
            place = self._index.find(name)
            if place is None:
                known = nearest(name, self.classes)
                raise DataError(f"the label '{name}' never occurs in the train split{missing_hint(name)}. {known}")
            places.append(place)
        return places

    @by_rows
    def collate(self, targets: Sequence[list[int] | None]) -> Tensors:
        """``label`` (B, C) float."""
        label = torch.zeros(len(targets), len(self.classes))
        for row, indices in enumerate(targets):
            label[row, slice(None) if indices is None else indices] = torch.nan if indices is None else 1.0
        return {"label": label}

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool; a sample counts when all its properties are known."""
        return ~targets["label"].isnan().any(1)

    def decode(self, targets: Tensors) -> list[list[str] | None]:
        """The names that hold."""
        return [None if all(value != value for value in row) else self._names(row) for row in targets["label"].tolist()]

    def _names(self, row: Sequence[float]) -> list[str]:
        """Those of C probabilities, or of 0 and 1, that are above a half."""
        return [name for name, value in zip(self.classes, row, strict=True) if value > 0.5]

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """pooled (B, H) -> ``logits`` (B, C)."""
        return {"logits": self.head(state.fused.pooled)}

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """Binary cross-entropy, of each sample the mean over properties."""
        labelled = self.labelled(targets)
        logits, truth = blank(outputs["logits"].float(), labelled), blank(targets["label"].float(), labelled)
        smooth = truth * (1 - self.label_smoothing) + self.label_smoothing / 2
        each = F.binary_cross_entropy_with_logits(logits, smooth, pos_weight=self.positive_weights, reduction="none")
        return Loss(blank(each.mean(1), labelled).sum(), labelled.sum())

    def target_probability(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,): mean probability of what is true of each property before calibration, or 0."""
        labelled = self.labelled(targets)
        truth = blank(targets["label"].float(), labelled)
        probability = outputs["logits"].float().sigmoid()
        return blank((truth * probability + (1 - truth) * (1 - probability)).mean(1), labelled)

    def probabilities(self, outputs: Tensors) -> Tensor:
        """(B, C), calibrated."""
        logits = outputs["logits"].float()
        found = (logits / self.temperature).sigmoid()
        # a high temperature must not round an answer that is barely yes to one half, which is no
        return torch.where(logits.sigmoid() > 0.5, found.clamp(min=BARELY_YES), found)

    def tuning_data(self, state: State, outputs: Tensors, targets: Tensors) -> list[np.ndarray | None]:
        """Of each labelled sample its logits and which properties hold, (2, C)."""
        pairs = torch.stack([outputs["logits"].float(), targets["label"].float()], 1).cpu().numpy()
        labelled = self.labelled(targets).tolist()
        return [pair if known else None for pair, known in zip(pairs, labelled, strict=True)]

    def tune(self, samples: Sequence[np.ndarray]) -> dict[str, float]:
        """Fits the temperature."""
        logits, truth = np.stack(samples, 1)
        self.temperature.fill_(fit_property_temperature(logits, truth))
        return {"temperature": float(self.temperature)}

    def make_metrics(self) -> MetricCollection:
        """See the class."""
        size = len(self.classes)
        return MetricCollection(
            {
                "map": MacroAveragePrecision(),
                "f1": MultilabelMacroF1(size),
                "auroc": MacroAUROC(),
                "exact_match": ExactMatch(size),
                "nll": PropertyLogLoss(),
                "brier": PropertyBrierScore(),
                "ece": PropertyCalibrationError(),
            },
            compute_groups=[["map", "auroc", "nll", "brier", "ece"], ["f1"], ["exact_match"]],
        )

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the labelled samples of a batch."""
        labelled = self.labelled(targets)
        metrics.update(self.probabilities({"logits": outputs["logits"][labelled]}), targets["label"][labelled].long())

    def undefined_metrics(self, targets: Tensors) -> dict[str, str]:
        """``map`` and ``f1`` without any property, ``auroc`` without one that some samples have and others have not."""
        found = targets["label"][self.labelled(targets)] > 0.5  # (n, C)
        if not len(found):
            return {}
        if not found.any():
            return dict.fromkeys(("map", "f1", "auroc"), f"{samples(len(found), 'labelled')} without any property")
        if not (found.any(0) & ~found.all(0)).any():
            return {"auroc": "there is no property that some labelled samples have and others have not"}
        return {}

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction``, the names with p > 0.5, and ``probabilities``, {name: p}."""
        probabilities = self.probabilities({"logits": outputs["logits"].detach()}).tolist()
        return [
            {"prediction": self._names(row), "probabilities": dict(zip(self.classes, row, strict=True))}
            for row in probabilities
        ]


def check_no_vector(names: Sequence[str], column: str) -> None:
    """Refuses a cell such as ``[1, 0, 1]``, whose places stand for the properties: as names, 0 and 1 mean nothing.

    Raises:
        DataError: the names are zeros and ones, and one of them comes twice.
    """
    if len(set(names)) < len(names) and set(names) <= {"0", "1"}:
        raise DataError(
            f"Column '{column}': [{', '.join(names)}] looks like a 0 or 1 for each property. "
            'Write the names of those that hold instead: ["one", "another"].'
        )


def balanced_positive_weights(classes: Sequence[str], counts: Mapping[str, int], labelled: int) -> list[float]:
    """Negatives / positives for each property, either counted as 1 if there is none."""
    return [max(labelled - count_of(name, counts), 1) / count_of(name, counts) for name in classes]
