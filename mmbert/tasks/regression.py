"""Regression: a number a sample, in the table's own unit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.core.masks import blank
from mmbert.core.precision import exact_dtype
from mmbert.core.ranges import OneOf, Range
from mmbert.core.types import Loss, OutputSpec, State, Tensors
from mmbert.data.labels import as_number, by_rows
from mmbert.tasks.base import Head, Task
from mmbert.tasks.metrics import MAE, R2, RMSE, Pearson, Spearman, samples

#: element-wise losses on standardised values
LOSSES: dict[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.huber_loss}


class Regression(Task):
    """A real number. The head learns it in units of the train labels' spread; outputs and metrics are in the table's.

    Targets: ``label`` (B,) float64 in the table's unit, NaN where missing; outputs: ``value`` (B,) float64.
    float32 knows no number between 1700000000 and 1700000128: errors of seconds in times of day would vanish.

    Metrics: ``mae`` and ``rmse`` in the table's unit, ``pearson``, ``spearman``, ``r2``.

    Args:
        in_dim: width H of the fused vector.
        column: the table's column with the numbers.
        mean: mean of the train labels, in the table's unit; learnt from the train split.
        std: their standard deviation (population), above 0; learnt from the train split.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        hidden_dim: width of a hidden layer in the head; 0 = a linear head.
        dropout: on the head's input and on its hidden layer.
        loss: ``mse``, ``l1`` or ``huber`` (quadratic within one standard deviation, linear beyond), each of
            standardised values, so that the loss has no unit and tasks can be summed.

    Raises:
        ConfigError: an unknown loss, or a spread that is not above 0.
    """

    kind = "regression"
    main_metric = "mae"
    higher_is_better = False

    def __init__(
        self,
        in_dim: int,
        column: str,
        mean: float = 0.0,
        std: float = 1.0,
        weight: float = 1.0,
        lr_scale: float = 1.0,
        hidden_dim: Annotated[int, Range(0)] = 0,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        loss: Annotated[str, OneOf("mse", "l1", "huber")] = "mse",
    ) -> None:
        super().__init__(in_dim, column, weight, lr_scale)
        if loss not in LOSSES:
            raise ConfigError(f"loss='{loss}' on column '{column}' is unknown. {nearest(loss, LOSSES)}")
        if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise ConfigError(f"mean={mean}, std={std} on column '{column}': they must be finite, and std above 0.")
        self.loss_name = loss
        self.learnt_from = (float(mean), float(std))
        self.mean: Tensor
        self.std: Tensor
        # saved with the weights: the head's numbers mean nothing without them
        self.register_buffer("mean", torch.tensor(float(mean), dtype=torch.float64))
        self.register_buffer("std", torch.tensor(float(std), dtype=torch.float64))
        self.head = Head(in_dim, 1, hidden_dim, dropout)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Regression:
        """Moves the task; the unit of its labels stays exact where the weights become bfloat16."""
        unit = {name: self._buffers.pop(name) for name in ("mean", "std")}
        super()._apply(fn, recurse)
        device = next(self.parameters()).device
        for name, value in unit.items():
            assert value is not None
            unset = value.is_meta or device.type == "meta"
            self._buffers[name] = fn(value) if unset else value.to(device, exact_dtype(device))
        return self

    @property
    def output_spec(self) -> OutputSpec:
        """Numbers around the train labels' mean."""
        centre, scale = self.learnt_from
        return OutputSpec("regression", 1, centre, scale, column=self.column or "", output="value")

    @classmethod
    def fit_labels(cls, cells: Iterable[Any], column: str) -> dict[str, Any]:
        """``mean`` and ``std`` of the train split's cells; a column that never varies gets a spread of 1.

        Raises:
            DataError: no cell is labelled, or one is no finite number.
        """
        try:
            values = [as_number(cell) for cell in cells if cell is not None]
        except DataError as error:
            raise DataError(
                f"Column '{column}': {error}. Leave a missing label empty; for words use task=classification."
            ) from error
        if not values:
            raise DataError(f"Column '{column}' has no label in the train split: every cell is empty.")
        numbers = torch.tensor(values, dtype=torch.float64)
        mean, std = float(numbers.mean()), float(numbers.std(correction=0))
        # rounding alone can leave a constant column a spread of 1e-16
        return {"mean": mean, "std": std if numbers.min() < numbers.max() else 1.0}

    @classmethod
    def check_cell(cls, cell: Any) -> None:
        """Refuses what is no finite number."""
        as_number(cell)

    @property
    def likelihood(self) -> str:
        """Which noise the loss assumes; ``balance=uncertainty`` reads it."""
        return {"mse": "gaussian", "l1": "laplace", "huber": "huber"}[self.loss_name]

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> float | None:
        """The number.

        Raises:
            DataError: the cell is no finite number.
        """
        cell = cells[self.columns[0]]
        return None if cell is None else as_number(cell)

    @by_rows
    def collate(self, targets: Sequence[float | None]) -> Tensors:
        """``label`` (B,) float64."""
        numbers = [math.nan if target is None else target for target in targets]
        return {"label": torch.tensor(numbers, dtype=torch.float64)}

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool."""
        return ~targets["label"].isnan()

    def decode(self, targets: Tensors) -> list[float | None]:
        """Numbers."""
        return [None if math.isnan(value) else value for value in targets["label"].tolist()]

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """pooled (B, H) -> ``value`` (B,) float64 in the table's unit; float32 on Apple GPUs."""
        standard: Tensor = self.head(state.fused.pooled).squeeze(-1)
        return {"value": standard.to(exact_dtype(standard.device)) * self.std + self.mean}

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """The chosen loss of standardised values."""
        labelled = self.labelled(targets)
        total = LOSSES[self.loss_name](*self._residual(outputs, targets, labelled), reduction="sum")
        return Loss(total, labelled.sum())

    def _residual(self, outputs: Tensors, targets: Tensors, labelled: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) what is wrong, in standard deviations of the train labels, 0 where there is no label; and zeros."""
        # blanked before the difference is taken: NaN - x would reach the gradient
        value, label = blank(outputs["value"], labelled), blank(targets["label"], labelled)
        difference = ((value - label) / self.std).float()
        return difference, torch.zeros_like(difference)

    def target_probability(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,): density of the noise that the loss assumes over its peak, 0 where there is no label.

        With ``mse`` exp(-r²/2), with ``l1`` and ``huber`` exp(-loss); r in standard deviations of the train labels.
        """
        labelled = self.labelled(targets)
        each = LOSSES[self.loss_name](*self._residual(outputs, targets, labelled), reduction="none")
        return blank(torch.exp(-(each / 2 if self.loss_name == "mse" else each)), labelled)

    def make_metrics(self) -> MetricCollection:
        """``mae``, ``rmse``, ``pearson``, ``spearman``, ``r2``."""
        return MetricCollection(
            {
                "mae": MAE(),
                "rmse": RMSE(),
                "pearson": Pearson(),
                "spearman": Spearman(),
                "r2": R2(),
            },
            compute_groups=[["mae", "rmse", "pearson", "spearman", "r2"]],
        )

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the labelled samples of a batch."""
        labelled = self.labelled(targets)
        metrics.update(outputs["value"][labelled], targets["label"][labelled])

    def undefined_metrics(self, targets: Tensors) -> dict[str, str]:
        """``pearson``, ``spearman`` and ``r2`` where all labels are the same number."""
        found = targets["label"][self.labelled(targets)]
        if not len(found) or found.min() != found.max():
            return {}
        reason = f"{samples(len(found), 'labelled')} at {float(found[0]):g}"
        return dict.fromkeys(("pearson", "spearman", "r2"), reason)

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction``, a number in the table's unit."""
        return [{"prediction": value} for value in outputs["value"].detach().tolist()]
