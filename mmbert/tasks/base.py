"""The contract of a task: a head, its loss and its metrics in one object, and the label column it reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from mmbert.core.init_args import SavesInitArgs
from mmbert.core.ranges import Range
from mmbert.core.types import Fused, OutputSpec
from mmbert.data.labels import LabelCodec


class Task(SavesInitArgs, nn.Module):
    """Base of all tasks.

    A subclass sets ``labels`` (how cells become targets and back) and ``main_metric`` (its key in
    ``make_metrics``), and implements the methods below. The task knows *what* is measured, training knows *when*.

    Args:
        in_dim: width H of what the head reads.
        column: the table's column with the labels.
        weight: share of this task in the summed loss (``balance=fixed``).
    """

    reads_tokens: ClassVar[bool] = False
    main_metric: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    labels: LabelCodec

    def __init__(self, in_dim: int, column: str, weight: Annotated[float, Range(0)] = 1.0) -> None:
        super().__init__()
        self.in_dim = in_dim
        self.column = column
        self.weight = weight

    @property
    def output_spec(self) -> OutputSpec | None:
        """What the outputs are, so that those of several heads can be joined; None = they cannot be."""
        return None

    @classmethod
    def fit_labels(cls, cells: Iterable[Any], column: str) -> dict[str, Any]:
        """Arguments of ``__init__`` that follow from the train split's label cells (classes, mean and spread).

        Args:
            cells: the column's values in the train split; None where a label is missing.
            column: its name, for messages.

        Raises:
            DataError: no cell carries a label, or a cell is not of the task's type.
        """
        raise NotImplementedError

    def forward(self, fused: Fused) -> Tensor:
        """The head: logits (B, C) for classes, (B,) for numbers."""
        raise NotImplementedError

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Scalar: the mean loss over labelled samples; 0 with a graph (never NaN) if nobody is labelled."""
        raise NotImplementedError

    def labelled(self, target: Tensor) -> Tensor:
        """(B,) bool: which samples carry a label for this task."""
        raise NotImplementedError

    def target_probability(self, output: Tensor, target: Tensor) -> Tensor:
        """(B,) in [0, 1]: how much is given to the right answer, 0 where there is no label.

        exp(-loss) of each sample by itself; a task that knows a probability says that.
        """
        told = output.new_zeros(len(output), dtype=torch.float32)
        for row in self.labelled(target).nonzero().flatten().tolist():
            told[row] = torch.exp(-self.loss(output[row : row + 1], target[row : row + 1])).clamp(max=1)
        return told

    def make_metrics(self) -> MetricCollection:
        """A fresh set of metrics; training keeps one for each stage."""
        raise NotImplementedError

    def update(self, metrics: MetricCollection, output: Tensor, target: Tensor) -> None:
        """Adds a batch to the metrics, labelled samples alone."""
        raise NotImplementedError

    def predictions(self, output: Tensor) -> dict[str, list[Any]]:
        """What the head says, in the labels' own words: ``prediction`` (B) and, for classes, ``probabilities`` (B)."""
        raise NotImplementedError


class Head(nn.Sequential):
    """Fused vector -> logits: linear, or with one hidden layer.

    Args:
        in_dim: width H.
        out_dim: number of outputs.
        hidden_dim: width of the hidden layer; 0 = a single linear layer.
        dropout: on the head's input and on the hidden layer.
    """

    def __init__(self, in_dim: int, out_dim: int, hidden_dim: int = 0, dropout: float = 0.0) -> None:
        if hidden_dim:
            super().__init__(
                nn.Dropout(dropout),
                nn.Linear(in_dim, hidden_dim),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(hidden_dim, out_dim),
            )
        else:
            super().__init__(nn.Dropout(dropout), nn.Linear(in_dim, out_dim))
