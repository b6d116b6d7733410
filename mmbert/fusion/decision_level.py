"""Decision-level fusion: each task has a head for every view of a sample, and a decision joins the heads' outputs.

A strategy that works this way names its ``views`` and builds one ``Decision`` for each task. The model gives the task
one head a view, and the decision makes one output of theirs, of the same kind as any head's: logits, or numbers in the
table's unit. Losses, metrics and predictions read that joined output as they read any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.types import UNLABELLED, OutputSpec


@dataclass(frozen=True)
class DecisionOutput:
    """The outputs of one task's heads for a batch, and the output that the decision makes of them.

    Attributes:
        outputs: (B, V, C), one a view; meaningless where a sample lacks the view.
        present: (B, V) bool.
        joined: (B, C).
    """

    outputs: Tensor
    present: Tensor
    joined: Tensor


@dataclass(frozen=True)
class Truth:
    """What a decision may read to compute its losses in training.

    Attributes:
        target: (B,) or (B, C), as ``OutputSpec.kind`` says.
        labelled: (B,) bool.
        loss: the task's: outputs (B, C) and targets -> the mean over labelled samples, 0 if there is none.
        epoch: the current one, counted from 0.
        rows: (B,) int64, the samples' rows in their table; negative for copies that only fill up a batch.
    """

    target: Tensor
    labelled: Tensor
    loss: Callable[[Tensor, Tensor], Tensor]
    epoch: int
    rows: Tensor


class Decision(nn.Module):
    """Base of what joins the outputs of one task's heads. A subclass implements ``forward``.

    Args:
        spec: what the outputs are.
        views: V names, in the order of the outputs.
        view_weight: factor on the views' own losses in training; 0 = only the joined output is trained.

    Attributes:
        replaces_loss: whether ``losses`` is all that is trained, and not the task's loss on the joined output too.
        has_shares: whether ``shares`` is implemented.
    """

    replaces_loss: ClassVar[bool] = False
    has_shares: ClassVar[bool] = False

    def __init__(self, spec: OutputSpec, views: Sequence[str], view_weight: float = 0.0) -> None:
        super().__init__()
        if not view_weight >= 0:
            raise ConfigError(f"fusion.view_weight={view_weight} must not be negative.")
        self.spec = spec
        self.views = tuple(views)
        self.view_weight = view_weight

    def forward(self, outputs: Tensor, present: Tensor) -> Tensor:
        """outputs (B, V, C), present (B, V) bool with a True in every row -> (B, C)."""
        raise NotImplementedError

    def shares(self, outputs: Tensor, present: Tensor) -> Tensor:
        """The weight of each view in the joined output, (B, V), for diagnostics; arguments as of ``forward``."""
        raise NotImplementedError

    def losses(self, output: DecisionOutput, truth: Truth) -> dict[str, Tensor]:
        """What training adds to the task's loss on the joined output (or takes instead: ``replaces_loss``), by name.

        Each is a scalar that stands for the labelled samples of the batch, so that means over an epoch are exact;
        without any labelled sample it is 0. As it is here: each view's own loss, times ``view_weight``.
        """
        if not self.view_weight:
            return {}
        return {name: self.view_weight * loss for name, loss in view_losses(output, truth, self.views).items()}

    def training_state(self) -> dict[str, Tensor]:
        """State that ``losses`` keeps between batches: saved in checkpoints, not in a saved model."""
        return {}

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """Restores what ``training_state`` returned."""


def view_losses(output: DecisionOutput, truth: Truth, views: Sequence[str]) -> dict[str, Tensor]:
    """The task's loss on each view by itself, ``view/NAME``: 1/N Σ over labelled samples that have it, N all labelled.

    Their sum is the mean over labelled samples of the sum of the losses of their views.
    """
    found = {}
    total = truth.labelled.sum().clamp(min=1)
    for number, name in enumerate(views):
        here = output.present[:, number]
        loss = truth.loss(output.outputs[:, number], without_labels(truth.target, ~here))
        found[f"view/{name}"] = loss * (truth.labelled & here).sum().to(loss.dtype) / total
    return found


def without_labels(target: Tensor, hidden: Tensor) -> Tensor:
    """target (B, ...) with the label of each sample for which hidden (B,) is True taken away."""
    hidden = hidden.reshape(-1, *[1] * (target.ndim - 1))
    return target.masked_fill(hidden, torch.nan if target.is_floating_point() else UNLABELLED)


def precise(values: Tensor) -> Tensor:
    """In float32 at least: sums of logarithms of probabilities are too coarse in half precision."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def refuse_kind(spec: OutputSpec, strategy: str, known: Sequence[str], why: str) -> None:
    """Refuses outputs that a strategy cannot join.

    Raises:
        ConfigError: ``spec.kind`` is none of ``known``.
    """
    if spec.kind not in known:
        raise ConfigError(
            f"fusion={strategy} cannot join the outputs of the {spec.kind} task on column '{spec.column}': {why} "
            "Leave the task out (tasks.NAME=null), or take fusion=late_mean, late_weighted or stacking."
        )
