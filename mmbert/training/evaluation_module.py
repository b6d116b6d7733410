"""The LightningModule that measures a model: metrics, losses and predictions of a split."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from mmbert.core.types import Batch, Loss
from mmbert.model import ModelOutput, MultimodalModel
from mmbert.runs.predictions import PredictionTable
from mmbert.tasks.base import Task
from mmbert.training.balance.fixed import FixedBalance
from mmbert.training.epoch_means import EpochMeans
from mmbert.training.modality_shares import ModalityShares
from mmbert.training.stage_metrics import StageMetrics
from mmbert.training.tuning_samples import TuningSamples

#: How the names of a fusion's own losses begin.
AUXILIARY = "fusion/"
#: The plain mean of the tasks' losses on a split, where there are several tasks.
MEAN_LOSS = "mean_loss"


class EvaluationModule(pl.LightningModule):
    """Measures a ``MultimodalModel`` on test splits; ``FusionModule`` trains it, too, and measures validation.

    Args:
        model: encoders, fusion and tasks.
        balance: makes the total of the tasks' losses.
    """

    def __init__(self, model: MultimodalModel, balance: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.balance = balance
        self.fixed_balance = FixedBalance(model.named_tasks())
        self.stages = nn.ModuleDict({"val": StageMetrics(self.tasks)})
        self.means = {"train": EpochMeans(), "val": EpochMeans()}
        self.shares = {"val": ModalityShares(list(model.fusion.dims))}
        self.monitored: Sequence[str] = ()  # names of metrics that callbacks read; NaN where they have no value
        self.notes: dict[str, str] = {}  # how a metric of an evaluated split was computed, by its name
        self.test_split = "test"
        self.beside: dict[str, float] = {}  # what callbacks have logged with the numbers of the next validation
        self.numbers: dict[str, float] = {}  # of the split that ``begin_test`` named, once it is measured
        self.predictions: PredictionTable | None = None
        self.tuning: TuningSamples | None = None  # while it is there, test batches are gathered and not measured

    @property
    def tasks(self) -> dict[str, Task]:
        """The tasks by name."""
        return self.model.named_tasks()

    def forward(self, batch: Batch, diagnostics: bool | Literal["shares"] = False) -> ModelOutput:
        """A batch -> the model's output."""
        output: ModelOutput = self.model(batch.inputs, diagnostics, batch.targets)
        return output

    def begin_test(self, split: str) -> PredictionTable:
        """Names the split that the next ``trainer.test`` measures; returns the table its predictions go to."""
        self.test_split, self.numbers = split, {}
        self.stages[split] = StageMetrics(self.tasks).to(self.device)
        self.means[split] = EpochMeans()
        self.shares[split] = ModalityShares(list(self.model.fusion.dims))
        quoting = [name for name, task in self.tasks.items() if task.quotes_samples]
        self.predictions = PredictionTable({name: task.kind for name, task in self.tasks.items()}, quoting)
        return self.predictions

    def test_step(self, batch: Batch, index: int) -> None:
        """Adds one batch to the test metrics and to the table of predictions."""
        if self.tuning is not None:
            self.tuning.add(self.tasks, self(batch), batch)
            return
        output = self._measure(self.test_split, batch)
        if self.predictions is not None:
            targets = {name: task.decode(batch.targets[name]) for name, task in self.tasks.items()}
            state = output.aligned(batch.alignments)
            answers = {name: task.predict(state, output.outputs[name]) for name, task in self.tasks.items()}
            self.predictions.add(batch.rows.tolist(), answers, targets)

    def on_test_epoch_end(self) -> None:
        """Leaves ``SPLIT/TASK/METRIC`` in ``numbers``."""
        if self.tuning is None:
            self._finish(self.test_split)

    def _stage(self, name: str) -> StageMetrics:
        stage = self.stages[name]
        assert isinstance(stage, StageMetrics)
        return stage

    @contextmanager
    def _loss_alone(self) -> Iterator[None]:
        """Between epochs: tasks whose metrics are costly give their loss alone, unless one of them is monitored."""
        read = {name.split("/")[1] for name in self.monitored if name.count("/") == 2 and not name.endswith("/loss")}
        spared = [task for name, task in self.tasks.items() if not task.measured_each_epoch and name not in read]
        for task in self.tasks.values():
            task.between_epochs, task.loss_only = True, task in spared
        try:
            yield
        finally:
            for task in self.tasks.values():
                task.between_epochs = task.loss_only = False

    def measured(self, split: str, means: Mapping[str, Tensor]) -> None:
        """Called with the means of a split's losses, by name, before its numbers are logged."""

    def _measure(self, split: str, batch: Batch) -> ModelOutput:
        output = self(batch, "shares" if self.model.has_diagnostics else False)
        self.shares[split].add(batch, output.fused.diagnostics)
        self._losses(split, batch, output)
        self._stage(split).update(self.tasks, output.outputs, batch.targets)
        return output

    def _finish(self, split: str) -> None:
        """Logs a split's metrics and losses; the total is the balance of the tasks' means, however it was batched."""
        stage, means = self._stage(split), self.means[split].compute()
        self.measured(split, means)
        values = {**stage.compute(), **means, **self._total(means)}
        self.notes |= {f"{split}/{key}": note for key, note in stage.notes(self.tasks).items()}
        self.publish({**{f"{split}/{key}": value for key, value in values.items()}, **self.beside})
        self.beside = {}
        if split == "val" and self.trainer.state.fn == "fit":
            # callbacks would take the value of an earlier epoch for one that is left out
            lacking = [name for name in self.monitored if name.removeprefix("val/") in stage.names - values.keys()]
            self.publish(dict.fromkeys(lacking, torch.tensor(math.nan)), logged=False)
        stage.reset()

    def publish(self, values: Mapping[str, Tensor | float], logged: bool = True, shown: bool = False) -> None:
        """Lets callbacks read numbers, under the names that ``callback_metrics`` has them by.

        In a fit and in a test this stands in for Lightning's ``log_dict``, which takes a millisecond for a number: more
        than the arithmetic of a step over stored vectors. A test's go to ``numbers`` instead of loggers.

        Args:
            values: scalars by name.
            logged: hand them to the loggers too.
            shown: show them beside the progress bar.
        """
        trainer = self.trainer
        if trainer.state.fn not in ("fit", "test"):
            self.log_dict(values, prog_bar=shown, logger=logged)
            return
        if trainer.sanity_checking:
            return
        if trainer.state.fn == "test":
            self.numbers |= {name: float(value) for name, value in values.items()}
            return
        connector = trainer._logger_connector
        numbers = {name: torch.as_tensor(value).detach() for name, value in values.items()}
        connector._callback_metrics.update(numbers)
        if shown:
            connector._progress_bar_metrics.update({name: float(value) for name, value in numbers.items()})
        if logged:
            self.write(numbers)

    def write(self, values: Mapping[str, Tensor]) -> None:
        """Hands numbers to the loggers now.

        Lightning would do so after all hooks, and a checkpoint made in a hook would lack what had been measured.
        """
        if not values:
            return
        step = self.trainer.fit_loop.epoch_loop._batches_that_stepped
        scalars = {name: float(value) for name, value in values.items()} | {"epoch": self.current_epoch}
        for logger in self.loggers:
            logger.log_metrics(scalars, step)
            if not all(name.startswith("train/") for name in values):  # what closes an epoch
                logger.save()

    def _total(self, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``loss`` of an evaluated split, and ``loss_sum``; nothing where no sample is labelled for any task.

        ``loss_sum`` is what ``balance=fixed`` would make of the tasks' losses: a balance that learns changes what its
        total means as it learns, and only this sum can be compared between runs. ``mean_loss``, where there are several
        tasks, is the plain mean over those that are trained (their weight is not 0) and labelled on the split.
        """
        losses = {name: means[f"{name}/loss"] for name in self.tasks if f"{name}/loss" in means}
        if not losses:
            return {}
        counts = {name: float(name in losses) for name in self.tasks}
        nothing = torch.zeros((), device=self.device)
        means_of_tasks = {name: losses.get(name, nothing) for name in counts}
        total, _ = self.balance(means_of_tasks, counts)
        plain, _ = self.fixed_balance(means_of_tasks, counts)
        for name, value in means.items():
            if name.startswith(AUXILIARY):
                total, plain = total + value, plain + value
        found = {"loss": total.detach(), "loss_sum": plain.detach()}
        trained = [loss for name, loss in losses.items() if self.fixed_balance.weights[name]]
        if len(self.tasks) > 1 and trained:
            found[MEAN_LOSS] = torch.stack(trained).mean()
        return found

    def _losses(self, split: str, batch: Batch, output: ModelOutput) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Each task's mean loss and how much is labelled for it; both go into the split's means."""
        losses, counts, means = {}, {}, self.means[split]
        for name, task in self.tasks.items():
            loss: Loss = task.loss(output.outputs[name], batch.targets[name])
            losses[name], counts[name] = loss.mean, float(loss.count)
            means.add(f"{name}/loss", losses[name], counts[name])
        real = int((batch.rows >= 0).sum())
        for name, value in output.fused.auxiliary_losses.items():
            means.add(f"{AUXILIARY}{name}", value, real)
        return losses, counts
