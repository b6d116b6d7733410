"""The LightningModule: encode, fuse, judge, log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn

from mmbert.core.types import Batch
from mmbert.model import ModelOutput, MultimodalModel
from mmbert.tasks.base import Task
from mmbert.training.predictions import PredictionTable

#: model, balance and the number of optimiser steps -> what ``configure_optimizers`` returns
OptimizerMaker = Callable[[nn.Module, nn.Module, int], Any]


class StageMetrics(nn.Module):
    """One set of every task's metrics for one split.

    Args:
        tasks: by name.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        super().__init__()
        self.sets = nn.ModuleDict({name: task.make_metrics() for name, task in tasks.items()})

    def update(self, tasks: Mapping[str, Task], outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
        """Adds a batch: outputs by task, (B, C) or (B,); targets by task."""
        for name, task in tasks.items():
            task.update(self.sets[name], outputs[name], targets[name])  # type: ignore[arg-type]

    def compute(self) -> dict[str, Tensor]:
        """``{"answer/accuracy": value}``; what is undefined (nobody was labelled) is left out, never a 0."""
        values = {
            f"{name}/{key}": value
            for name, metrics in self.sets.items()
            for key, value in metrics.compute().items()  # type: ignore[operator]
        }
        return {key: value for key, value in values.items() if not value.isnan()}

    def reset(self) -> None:
        """Forgets everything, for the next epoch."""
        for metrics in self.sets.values():
            metrics.reset()  # type: ignore[operator]


class FusionModule(pl.LightningModule):
    """Trains a ``MultimodalModel``.

    Args:
        model: encoders, fusion and tasks.
        balance: ``({task: loss}, {task: labelled}) -> (total, logs)``.
        make_optimizer: called when the number of optimiser steps is known.
        penalty: an extra loss on the model's weights (L1), or None.
    """

    def __init__(
        self,
        model: MultimodalModel,
        balance: nn.Module,
        make_optimizer: OptimizerMaker,
        penalty: Callable[[nn.Module], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.balance = balance
        self.make_optimizer = make_optimizer
        self.penalty = penalty
        self.stages = nn.ModuleDict({"val": StageMetrics(self.tasks)})
        self.test_split = "test"
        self.predictions: PredictionTable | None = None

    @property
    def tasks(self) -> dict[str, Task]:
        """The tasks by name."""
        return self.model.named_tasks()

    def forward(self, batch: Batch) -> ModelOutput:
        """A batch -> the model's output."""
        output: ModelOutput = self.model(batch.inputs)
        return output

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Scalar loss of one batch: the tasks' balanced, plus auxiliary losses and the penalty."""
        output = self(batch)
        total = self._losses("train", batch, output, on_step=True)
        if self.penalty is not None:
            total = total + self.penalty(self.model)
        return total

    def validation_step(self, batch: Batch, index: int) -> None:
        """Adds one batch to the validation metrics."""
        output = self(batch)
        self._losses("val", batch, output)
        self._stage("val").update(self.tasks, output.outputs, batch.targets)

    def on_validation_epoch_end(self) -> None:
        """Logs ``val/TASK/METRIC``."""
        self._finish("val")

    def begin_test(self, split: str) -> PredictionTable:
        """Names the split that the next ``trainer.test`` measures; returns the table its predictions go to."""
        self.test_split = split
        self.stages[split] = StageMetrics(self.tasks).to(self.device)
        self.predictions = PredictionTable()
        return self.predictions

    def test_step(self, batch: Batch, index: int) -> None:
        """Adds one batch to the test metrics and to the table of predictions."""
        output = self(batch)
        self._losses(self.test_split, batch, output)
        self._stage(self.test_split).update(self.tasks, output.outputs, batch.targets)
        if self.predictions is not None:
            self.predictions.add(batch.rows, self.tasks, output.outputs, batch.targets)

    def on_test_epoch_end(self) -> None:
        """Logs ``SPLIT/TASK/METRIC``."""
        self._finish(self.test_split)

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule over all steps of the run."""
        return self.make_optimizer(self.model, self.balance, int(self.trainer.estimated_stepping_batches))

    def _stage(self, name: str) -> StageMetrics:
        stage = self.stages[name]
        assert isinstance(stage, StageMetrics)
        return stage

    def _finish(self, split: str) -> None:
        stage = self._stage(split)
        self.log_dict({f"{split}/{key}": value for key, value in stage.compute().items()}, prog_bar=False)
        stage.reset()

    def _losses(self, split: str, batch: Batch, output: ModelOutput, on_step: bool = False) -> Tensor:
        """Balanced sum of the tasks' losses, logged; a task's mean counts each labelled sample once."""
        losses, counts = {}, {}
        for name, task in self.tasks.items():
            losses[name] = task.loss(output.outputs[name], batch.targets[name])
            counts[name] = int(task.labelled(batch.targets[name]).sum())
        total, weights = self.balance(losses, counts)
        for name, value in output.fused.auxiliary_losses.items():
            total = total + value
            self.log(f"{split}/fusion/{name}", value, on_step=False, on_epoch=True, batch_size=len(batch))
        for name, value in losses.items():
            if counts[name]:
                self.log(f"{split}/{name}/loss", value.detach(), on_step=False, on_epoch=True, batch_size=counts[name])
        if on_step:
            for key, value in weights.items():
                self.log(f"{split}/{key}", value, on_step=False, on_epoch=True, batch_size=len(batch))
            self.log(
                f"{split}/loss", total.detach(), on_step=True, on_epoch=False, prog_bar=True, batch_size=len(batch)
            )
        else:
            self.log(f"{split}/loss", total.detach(), on_step=False, on_epoch=True, batch_size=len(batch))
        return total


def trainable(module: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def count_parameters(module: nn.Module) -> int:
    """How many numbers the module holds as parameters."""
    return sum(p.numel() for p in module.parameters())
