"""Ordinal regression: one of C classes with an order; a wrong answer near the right one is better than a far one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.masks import blank
from mmbert.core.ranges import AnyOf, Many, OneOf, Range
from mmbert.core.types import Loss, State, Tensors
from mmbert.data.labels import finite_number
from mmbert.data.tables.cells import cell_text
from mmbert.tasks.base import Head
from mmbert.tasks.class_options import ClassIndex, count_of, joined_counts, natural_order
from mmbert.tasks.one_class import OneClass
from mmbert.tasks.rank_metrics import QuadraticKappa, RankCorrelation, RankError

#: Probability that a class has at least, where the thresholds leave it none.
LEAST_SHARE = 1e-30


class Ordinal(OneClass):
    """CORAL: for each of C - 1 thresholds whether the label lies above it, all of them from one score.

        P(y > k) = σ(w · z + b_k),   k = 0 ... C - 2
        loss = - Σ_k λ_k [ log P(y > k) · 1{y > k} + log(1 - P(y > k)) · 1{y ≤ k} ]

    The answer is the number of thresholds with P(y > k) > 1/2. As the weights are shared, the optimal b_k fall in k,
    so that no answer contradicts itself; what training leaves of such a contradiction is cut off in the classes'
    probabilities, the differences of neighbouring P(y > k).

    Paper: Cao, Mirjalili and Raschka 2020, "Rank consistent ordinal regression for neural networks with application to
    age estimation", arXiv:1901.07884. It has no word on the probabilities of classes.

    Targets: ``label`` (B,) int64, UNLABELLED where missing; outputs: ``logits`` (B, C - 1), of P(y > k).

    Metrics: ``mae`` (in ranks), ``qwk`` (Cohen's kappa with quadratic weights), ``spearman`` (of ranks), and those of
    ``mmbert.tasks.classification``.

    Args:
        in_dim: width H of the fused vector.
        column: the table's column with the labels.
        classes: the C names from low to high; learnt from the train split where they are numbers.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        hidden_dim: width of a hidden layer before the score; 0 = none.
        dropout: on the head's input and on its hidden layer.
        importance_weights: λ_k: None = 1; ``"balanced"``, the paper's √M_k / max_i √M_i with M_k = max(S_k, N - S_k),
            S_k of N labelled train samples lying above k; or C - 1 numbers.
        class_counts: labelled train samples by class; learnt from the train split, read by ``"balanced"``.
        top_k: numbers k of which ``top_K_accuracy`` is measured, those below C.
        shown_metrics: those that the table at the end and the learning curves show; None = all.
        calibrate: ``"temperature"``, as in classification; the answers stay.
        abstain_below: a sample whose answer has a lower probability is not answered; None = all are.
        coverage: instead, the share of the validation split that is answered; the threshold follows from it.

    Raises:
        ConfigError: fewer than two classes, one named twice, or an option outside its range.
    """

    main_metric = "mae"
    higher_is_better = False

    def __init__(
        self,
        in_dim: int,
        column: str,
        classes: Sequence[str],
        weight: float = 1.0,
        lr_scale: float = 1.0,
        hidden_dim: Annotated[int, Range(0)] = 0,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        importance_weights: Annotated[str | Sequence[float] | None, AnyOf(OneOf("balanced"), Many(Range(0)))] = None,
        class_counts: Mapping[str, int] | None = None,
        top_k: Annotated[Sequence[int], Many(Range(1))] = (3,),
        shown_metrics: Sequence[str] | None = ("accuracy", "mae", "qwk", "spearman"),
        calibrate: Annotated[str | None, OneOf("temperature")] = None,
        abstain_below: Annotated[float | None, Range(0, 1)] = None,
        coverage: Annotated[float | None, Range(above=0, at_most=1)] = None,
    ) -> None:
        super().__init__(
            in_dim, column, classes, weight, lr_scale, top_k, shown_metrics, calibrate, abstain_below, coverage
        )
        size = len(self.classes)
        self.head = Head(in_dim, 1, hidden_dim, dropout)
        self.head[-1].register_parameter("bias", None)  # the thresholds are the biases
        self.thresholds = nn.Parameter(torch.linspace(1, -1, size - 1) if size > 2 else torch.zeros(1))
        weights = self._importance(importance_weights, class_counts)
        self.importance: Tensor
        self.register_buffer("importance", weights, persistent=False)  # the loss's business, not the model's

    def _importance(self, wanted: str | Sequence[float] | None, counts: Mapping[str, int] | None) -> Tensor:
        """(C - 1,) float32.

        Raises:
            ConfigError: there is nothing to balance by, or a wrong number of weights.
        """
        size = len(self.classes)
        if wanted is None:
            return torch.ones(size - 1)
        if wanted == "balanced":
            if counts is None:
                raise ConfigError(
                    f"importance_weights=balanced on column '{self.column}' needs class_counts, which training learns "
                    "from the train split. Outside of training pass the result of Task.fit_labels."
                )
            known = ClassIndex(self.classes).counts(counts)
            return coral_importance([count_of(name, known) for name in self.classes])
        if isinstance(wanted, str) or len(wanted) != size - 1:
            raise ConfigError(
                f"importance_weights on column '{self.column}': give balanced, null, or {size - 1} numbers, one for "
                f"each step between neighbours of {', '.join(self.classes)}."
            )
        return torch.tensor([float(weight) for weight in wanted])

    @classmethod
    def fit_labels(cls, cells: Iterable[Any], column: str, classes: Sequence[Any] | None = None) -> dict[str, Any]:
        """``classes`` by value and ``class_counts``, from the train split's cells.

        Args:
            cells: the column's values in the train split; None where a label is missing.
            column: its name.
            classes: their order, if the config gives it.

        Raises:
            DataError: no cell is labelled, all carry the same label, or they are words of an order that nobody gave.
        """
        counts = joined_counts(cell_text(cell) for cell in cells if cell is not None)
        names = natural_order(counts)
        if len(names) < 2:
            found = f"the same label '{names[0]}' throughout" if names else "no label in"
            raise DataError(f"Column '{column}' has {found} the train split: there is no order to learn.")
        words = [name for name in names if finite_number(name) is None]
        if words and classes is None:
            raise DataError(
                f"Column '{column}' holds words such as '{words[0]}', whose order nobody can know. Name the classes "
                f"from low to high: tasks.NAME.classes=[{','.join(names[:4])}{',...' if len(names) > 4 else ''}]"
            )
        return {"classes": names, "class_counts": {name: counts[name] for name in names}}

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """pooled (B, H) -> ``logits`` (B, C - 1)."""
        return {"logits": self.head(state.fused.pooled) + self.thresholds}

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """The paper's, a sum over thresholds."""
        labelled = self.labelled(targets)
        logits = blank(outputs["logits"].float(), labelled)
        above = targets["label"].unsqueeze(1) > torch.arange(logits.shape[1], device=logits.device)
        each = F.binary_cross_entropy_with_logits(logits, above.float(), reduction="none") * self.importance
        return Loss(blank(each.sum(1), labelled).sum(), labelled.sum())

    def class_logits(self, outputs: Tensors) -> Tensor:
        """(B, C): log-probabilities of the classes, log(P(y > c - 1) - P(y > c)), without rounding to 0.

        σ(a) - σ(b) = σ(a) · σ(-b) · (1 - exp(b - a)), where a is at least b.
        """
        # torch.cummin, which ONNX lacks, threshold by threshold
        falling = torch.stack(list(accumulate(outputs["logits"].float().unbind(1), torch.minimum)), 1)
        upper, lower = falling[:, :-1], falling[:, 1:]
        between = -torch.expm1(lower - upper)
        inner = F.logsigmoid(upper) + F.logsigmoid(-lower) + between.clamp(min=LEAST_SHARE).log()
        return torch.cat([F.logsigmoid(-falling[:, :1]), inner, F.logsigmoid(falling[:, -1:])], 1)

    def predicted(self, outputs: Tensors) -> Tensor:
        """(B,): how many thresholds the label is thought to lie above."""
        return (outputs["logits"] > 0).sum(1)

    def make_metrics(self) -> MetricCollection:
        """Those of classes, and ``mae``, ``qwk``, ``spearman``."""
        ranks: dict[str, Metric] = {"mae": RankError(), "qwk": QuadraticKappa(), "spearman": RankCorrelation()}
        return self.metrics_of_classes(ranks)

    def undefined_metrics(self, targets: Tensors) -> dict[str, str]:
        """Those of classes, and ``qwk`` and ``spearman``, where all labelled samples are of one class."""
        found = super().undefined_metrics(targets)
        return {**found, **dict.fromkeys(("qwk", "spearman"), found["mcc"])} if found else {}


def coral_importance(counts: Sequence[int]) -> Tensor:
    """The paper's weights of thresholds: C samples by class, from low to high -> (C - 1,) in (0, 1]."""
    samples = torch.tensor(counts, dtype=torch.float64)
    below = samples.cumsum(0)[:-1]
    larger = torch.maximum(below, samples.sum() - below).sqrt()
    return (larger / larger.max()).float()
