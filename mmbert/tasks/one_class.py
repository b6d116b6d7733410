"""What all tasks share whose samples have one of C classes: labels, metrics, calibration, abstention, predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.core.masks import blank
from mmbert.core.risk_coverage import threshold_for
from mmbert.core.types import UNLABELLED, State, Tensors
from mmbert.data.labels import by_rows, missing_hint
from mmbert.data.tables.cells import cell_text
from mmbert.tasks.base import Task
from mmbert.tasks.class_counts import (
    Accuracy,
    BalancedAccuracy,
    CohenKappa,
    MacroF1,
    MatthewsCorrelation,
    MicroF1,
    WeightedF1,
)
from mmbert.tasks.class_options import ClassIndex, checked_classes
from mmbert.tasks.confidence_metrics import (
    BrierScore,
    CalibrationError,
    Coverage,
    NegativeLogLikelihood,
    RiskCoverageArea,
    SelectiveAccuracy,
    TopKAccuracy,
)
from mmbert.tasks.metrics import MacroAUROC, samples
from mmbert.tasks.temperature import fit_temperature


class OneClass(Task):
    """Base of tasks with one class a sample.

    A subclass gives ``class_logits``, (B, C), whose softmax are the classes' probabilities. Targets: ``label`` (B,)
    int64, UNLABELLED where missing. Cells are compared by the rule of ``mmbert.data.tables.cells``, so 7, "7" and
    "7.0" are one class.

    Args:
        in_dim: width H of the fused vector.
        column: the table's column with the labels.
        classes: C names.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        top_k: numbers k of which ``top_K_accuracy`` is measured, those below C.
        shown_metrics: of ``make_metrics``, those that the table at the end and the learning curves show; None = all.
        calibrate: ``"temperature"`` = the logits are divided by a number that is fitted on the validation split.
        abstain_below: in ``predict`` a sample whose answer has a lower probability has no answer; None = all have one.
        coverage: instead, the share of the validation split that is answered; the threshold follows from it.

    Raises:
        ConfigError: fewer than two classes, one named twice, an unknown metric, or options that exclude each other.
    """

    kind = "classification"
    main_metric = "accuracy"

    def __init__(
        self,
        in_dim: int,
        column: str,
        classes: Sequence[str],
        weight: float,
        lr_scale: float,
        top_k: Sequence[int],
        shown_metrics: Sequence[str] | None,
        calibrate: str | None,
        abstain_below: float | None,
        coverage: float | None,
    ) -> None:
        super().__init__(in_dim, column, weight, lr_scale)
        self.classes = self.init_args["classes"] = checked_classes(classes, column, least=2)
        self._index = ClassIndex(self.classes)
        self.top_k = sorted({int(k) for k in top_k if k < len(self.classes)})
        self.calibrate = calibrate
        self.abstain_below = abstain_below
        self.coverage = coverage
        if abstain_below is not None and coverage is not None:
            raise ConfigError(
                f"The task on column '{column}' has abstain_below={abstain_below} and coverage={coverage}: the one is "
                "the threshold of the answers, the other finds it on the validation split. Give one of them."
            )
        # saved with the model only where they are fitted: models that were saved before have neither
        self.tunes = self.tunes or calibrate is not None or coverage is not None
        self.temperature: Tensor
        self.threshold: Tensor
        self.register_buffer("temperature", torch.ones(()), persistent=calibrate is not None)
        self.register_buffer("threshold", torch.zeros(()), persistent=coverage is not None)
        if shown_metrics is not None:
            known = [str(name) for name in self.make_metrics()]
            for name in shown_metrics:
                if name not in known:
                    raise ConfigError(f"shown_metrics of column '{column}': no '{name}'. {nearest(name, known)}")
            abstaining = [name for name in ("coverage", "selective_accuracy") if name in known]
            self.shown_metrics = (*shown_metrics, *abstaining)

    # labels

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

    @by_rows
    def collate(self, targets: Sequence[int | None]) -> Tensors:
        """``label`` (B,) int64."""
        return {"label": torch.tensor([UNLABELLED if target is None else target for target in targets])}

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool."""
        return targets["label"] != UNLABELLED

    def decode(self, targets: Tensors) -> list[str | None]:
        """Class names."""
        return [None if i == UNLABELLED else self.classes[i] for i in targets["label"].tolist()]

    # probabilities

    def class_logits(self, outputs: Tensors) -> Tensor:
        """(B, C) float32, whose softmax are the probabilities before calibration."""
        raise NotImplementedError

    def predicted(self, outputs: Tensors) -> Tensor:
        """(B,) int64, the class that is answered; calibration does not change it."""
        return self.class_logits(outputs).argmax(-1)

    def probabilities(self, outputs: Tensors) -> Tensor:
        """(B, C), calibrated."""
        return (self.class_logits(outputs) / self.temperature).softmax(-1)

    def target_probability(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,): the probability of the right class before calibration, 0 where there is no label."""
        probabilities = self.class_logits(outputs).softmax(-1)
        right = probabilities.gather(1, targets["label"].clamp(min=0).unsqueeze(1)).squeeze(1)
        return blank(right, self.labelled(targets))

    @property
    def answers_from(self) -> float:
        """The probability below which a sample has no answer; 0 = all have one."""
        return float(self.threshold) if self.abstain_below is None else self.abstain_below

    # what is chosen on the validation split

    def tuning_data(self, state: State, outputs: Tensors, targets: Tensors) -> list[tuple[np.ndarray, int, int] | None]:
        """Of each labelled sample its logits (C,), the class that is answered, and the right one."""
        logits = self.class_logits(outputs).cpu().numpy()
        pairs = zip(self.predicted(outputs).tolist(), targets["label"].tolist(), strict=True)
        return [
            None if truth == UNLABELLED else (row, answer, truth)
            for row, (answer, truth) in zip(logits, pairs, strict=True)
        ]

    def tune(self, samples: Sequence[tuple[np.ndarray, int, int]]) -> dict[str, float]:
        """Fits the temperature, and then the threshold at which the share ``coverage`` of the samples is answered."""
        logits, answers, truth = (np.array(part) for part in zip(*samples, strict=True))
        chosen = {}
        if self.calibrate is not None:
            self.temperature.fill_(fit_temperature(logits, truth))
            chosen["temperature"] = float(self.temperature)
        if self.coverage is not None:
            outputs = torch.as_tensor(logits, device=self.temperature.device)
            probabilities = (outputs / self.temperature).softmax(-1).cpu().numpy()
            confidence = probabilities[np.arange(len(answers)), answers]
            self.threshold.fill_(threshold_for(confidence, self.coverage))
            chosen["threshold"] = float(self.threshold)
        return chosen

    # metrics and predictions

    def make_metrics(self) -> MetricCollection:
        """Those of predicted classes, of probabilities and of confidences."""
        return self.metrics_of_classes()

    def metrics_of_classes(self, more: Mapping[str, Metric] | None = None) -> MetricCollection:
        """All metrics of classes; each group of them keeps its samples once.

        Args:
            more: a subclass's own, one group.
        """
        size = len(self.classes)
        counts: dict[str, Metric] = {
            "accuracy": Accuracy(size),
            "f1": MacroF1(size),
            "f1_weighted": WeightedF1(size),
            "f1_micro": MicroF1(size),
            "balanced_accuracy": BalancedAccuracy(size),
            "mcc": MatthewsCorrelation(size),
            "cohen_kappa": CohenKappa(size),
        }
        stored: dict[str, Metric] = {
            "auroc": MacroAUROC(),
            **{f"top_{k}_accuracy": TopKAccuracy(k) for k in self.top_k},
            "nll": NegativeLogLikelihood(),
            "brier": BrierScore(),
        }
        confidences: dict[str, Metric] = {"ece": CalibrationError(), "aurc": RiskCoverageArea()}
        if self.abstain_below is not None or self.coverage is not None:
            lowest = self.answers_from
            confidences |= {"coverage": Coverage(lowest), "selective_accuracy": SelectiveAccuracy(lowest)}
        # groups spelt out: those that torchmetrics finds by itself depend on the values of the first batch
        parts = [counts, stored, confidences, *([] if more is None else [more])]
        every: dict[str, Any] = {name: metric for part in parts for name, metric in part.items()}
        return MetricCollection(every, compute_groups=[list(part) for part in parts])

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the labelled samples of a batch."""
        labelled = self.labelled(targets)
        known = {name: output[labelled] for name, output in outputs.items()}
        metrics.update(self.probabilities(known), targets["label"][labelled], predicted=self.predicted(known))

    def undefined_metrics(self, targets: Tensors) -> dict[str, str]:
        """``auroc``, ``mcc`` and ``cohen_kappa`` where all labelled samples are of one class."""
        found = targets["label"][self.labelled(targets)]
        if len(found.unique()) != 1:
            return {}
        reason = f"{samples(len(found), 'labelled')} of the class '{self.classes[int(found[0])]}'"
        return dict.fromkeys(("auroc", "mcc", "cohen_kappa"), reason)

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction``, a class name or None where the task abstains, and ``probabilities``, {class: p}."""
        given = {name: output.detach() for name, output in outputs.items()}
        probabilities, lowest = self.probabilities(given), self.answers_from
        return [
            {
                "prediction": self.classes[best] if row[best] >= lowest else None,
                "probabilities": dict(zip(self.classes, row, strict=True)),
            }
            for best, row in zip(self.predicted(given).tolist(), probabilities.tolist(), strict=True)
        ]
