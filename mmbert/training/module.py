"""The LightningModule: runs the model on batches, takes losses and metrics, logs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor, nn

from mmbert.core.errors import TrainingError
from mmbert.core.types import Batch, Loss, Tensors
from mmbert.data.loading.samplers import LazyLoader
from mmbert.data.modalities.registry import modality_of
from mmbert.model import ModelOutput, MultimodalModel
from mmbert.runs.predictions import PredictionTable
from mmbert.tasks.base import Task
from mmbert.training.balance.base import Balance, StepLosses, means_of_processes
from mmbert.training.balance.features import SharedFeatures
from mmbert.training.balance.fixed import FixedBalance
from mmbert.training.balance.same_batches import SameBatches
from mmbert.training.epoch_means import EpochMeans
from mmbert.training.frozen_checkpoint import remove_frozen, restore_frozen
from mmbert.training.loss_weights import SAMPLES, LossWeights, WindowWeights
from mmbert.training.modality_balance.base import ModalityBalance
from mmbert.training.modality_shares import ModalityShares
from mmbert.training.tuning_samples import TuningSamples

#: model, balance and the number of optimiser steps -> what ``configure_optimizers`` returns
OptimizerMaker = Callable[[nn.Module, nn.Module, int], Any]

#: How the names of a fusion's own losses begin.
AUXILIARY = "fusion/"
#: The plain mean of the tasks' losses on a split, where there are several tasks.
MEAN_LOSS = "mean_loss"


class StageMetrics(nn.Module):
    """One set of every task's metrics for one split.

    Args:
        tasks: by name.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        super().__init__()
        self.sets = nn.ModuleDict({name: task.make_metrics() for name, task in tasks.items()})

    def update(self, tasks: Mapping[str, Task], outputs: Mapping[str, Tensors], targets: Mapping[str, Tensors]) -> None:
        """Adds a batch: outputs and targets by task."""
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

    def notes(self, tasks: Mapping[str, Task]) -> dict[str, str]:
        """``{"answer/bleu": how it was computed}`` of the metrics of which tasks say so; once they are computed."""
        return {
            f"{name}/{key}": note
            for name, task in tasks.items()
            for key, note in task.metric_notes(self.sets[name]).items()  # type: ignore[arg-type]
        }

    @property
    def names(self) -> set[str]:
        """``answer/accuracy`` of every metric, those that are undefined too."""
        return {f"{name}/{key}" for name, metrics in self.sets.items() for key in metrics}  # type: ignore[attr-defined]

    def reset(self) -> None:
        """Forgets everything, for the next epoch."""
        for metrics in self.sets.values():
            metrics.reset()  # type: ignore[operator]


class FusionModule(pl.LightningModule):
    """Trains a ``MultimodalModel``.

    Args:
        model: encoders, fusion and tasks.
        balance: ``({task: mean loss}, {task: count}) -> (total, logs)``, or a ``Balance``.
        make_optimizer: called when the number of optimiser steps is known.
        penalty: an extra loss on the model's weights (L1), or None.
        modality_balance: what keeps modalities from outshining each other, or None; the trainer has it as a callback.
    """

    def __init__(
        self,
        model: MultimodalModel,
        balance: nn.Module,
        make_optimizer: OptimizerMaker,
        penalty: Callable[[nn.Module], Tensor] | None = None,
        modality_balance: ModalityBalance | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.balance = balance
        self.fixed_balance = FixedBalance(model.named_tasks())
        self.make_optimizer = make_optimizer
        self.penalty = penalty
        self.modality_balance = modality_balance
        self.stages = nn.ModuleDict({"val": StageMetrics(self.tasks)})
        self.means = {"train": EpochMeans(), "val": EpochMeans()}
        self.shares = {"val": ModalityShares(list(model.fusion.dims))}
        self.monitored: Sequence[str] = ()  # names of metrics that callbacks read; NaN where they have no value
        self.notes: dict[str, str] = {}  # how a metric of an evaluated split was computed, by its name
        self.test_split = "test"
        self.predictions: PredictionTable | None = None
        self.tuning: TuningSamples | None = None  # while it is there, test batches are gathered and not measured
        self.fingerprints: dict[str, str] = {}
        self.window: WindowWeights | None = None
        self.same_batches = SameBatches() if getattr(balance, "measures_again", False) else None
        # batches are counted before they move to the device: these stay on the CPU
        self.counting = {name: task.without_weights() for name, task in self.tasks.items()}

    @property
    def tasks(self) -> dict[str, Task]:
        """The tasks by name."""
        return self.model.named_tasks()

    def forward(self, batch: Batch, diagnostics: bool | Literal["shares"] = False) -> ModelOutput:
        """A batch -> the model's output."""
        output: ModelOutput = self.model(batch.inputs, diagnostics, batch.targets)
        return output

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Scalar loss of one batch: the tasks' balanced, plus auxiliary losses and the penalty (``LossWeights``)."""
        window = self.weights
        window.next_batch()
        if self.same_batches is not None:
            self.same_batches.add(batch)
        output, features = self._trained_output(batch)
        losses, counts = self._losses("train", batch, output)
        losses = self._with_decisions(losses, counts, batch, output)
        weighed = {name: loss * window.weight(name) for name, loss in losses.items()}
        totals = {name: window.count(name, count) for name, count in counts.items()}
        if isinstance(self.balance, Balance):
            scale = self._loss_scale()
            total, logs = self.balance.step_loss(
                StepLosses(losses, counts, weighed, totals, window.share, features, scale)
            )
        else:
            total, logs = self.balance(weighed, totals, window.share)
        if self.modality_balance is not None:
            total = self.modality_balance.trained_loss(self, batch, output, total)
        for value in output.fused.auxiliary_losses.values():
            total = total + value * window.weight(SAMPLES)
        for key, value in logs.items():
            self.means["train"].add(key, value, len(batch))
        self._note_padding(batch)
        if any(totals.values()):
            self._show_loss(window.loss_so_far(total.detach()), len(batch))
        if self.penalty is not None:
            total = total + window.share * self.penalty(self.model)
        self._refuse_nan(total, losses, batch)
        return total

    def _trained_output(self, batch: Batch) -> tuple[ModelOutput, SharedFeatures | None]:
        """The model's output, and what its heads have read if the balance is at the fused features."""
        if not getattr(self.balance, "at_features", False):
            return self(batch), None
        state = self.model.state(self.model.encode(batch.inputs), inputs=batch.inputs)
        features = SharedFeatures(state)
        output = self.model.answer(features.state, targets=batch.targets)
        return replace(output, fused=state.fused, encoded=state.encoded), features

    def compile_model(self) -> None:
        """``torch.compile``: the model as one; encoders and fusion each where the balance needs what lies between."""
        if not getattr(self.balance, "at_features", False):
            self.model.compile()
            return
        for part in (*self.model.encoders.values(), self.model.fusion):
            part.compile()

    def _loss_scale(self) -> float:
        """By which mixed precision multiplies the loss before it goes backward."""
        plugin = None if self._trainer is None else self.trainer.precision_plugin
        scaler = getattr(plugin, "scaler", None)
        return 1.0 if scaler is None else float(scaler.get_scale())

    def optimizer_step(self, *args: Any, **options: Any) -> None:
        """Lightning's, after which the balance may look at what the step has done."""
        super().optimizer_step(*args, **options)
        if isinstance(self.balance, Balance):
            self.balance.stepped(self._losses_again)
        if self.same_batches is not None:
            self.same_batches.clear()

    def _losses_again(self) -> dict[str, float]:
        """The mean losses of the step's batches over all processes, with the weights as they are now."""
        assert self.same_batches is not None
        sums = {name: torch.zeros((), device=self.device) for name in self.tasks}
        counts = dict.fromkeys(self.tasks, 0.0)
        with self.same_batches.again(self.model), self.trainer.precision_plugin.train_step_context():
            for batch in self.same_batches.batches:
                output = self(batch)
                for name, task in self.tasks.items():
                    loss = task.loss(output.outputs[name], batch.targets[name])
                    if (count := float(loss.count)) > 0:
                        sums[name] += loss.mean.float() * count
                        counts[name] += count
        means = {name: total / max(counts[name], 1e-12) for name, total in sums.items()}
        return {name: float(mean) for name, mean in means_of_processes(means, counts).items()}

    def _show_loss(self, loss: Tensor, size: int) -> None:
        """Shows the loss of a step of the optimiser, and hands it to the loggers once the step is whole."""
        self.log("train/loss", loss, prog_bar=True, logger=False, batch_size=size)
        loop, connector = self.trainer.fit_loop.epoch_loop, self.trainer._logger_connector
        if connector.should_update_logs and not loop._should_accumulate():
            self._write({"train/loss": loss})

    def on_train_start(self) -> None:
        """Lets the loader show the batches of each step of the optimiser before they come."""
        if isinstance(loader := self.trainer.train_dataloader, LazyLoader):
            loader.look_ahead = self.window = WindowWeights(self.trainer, self._counts)

    def on_train_end(self) -> None:
        """The loader may be used for other things."""
        if isinstance(loader := self.trainer.train_dataloader, LazyLoader):
            loader.look_ahead = self.window = None

    @property
    def weights(self) -> LossWeights:
        """Of the current batch's losses."""
        return LossWeights() if self.window is None else self.window.current

    def _counts(self, batch: Batch) -> dict[str, float]:
        """How much of a batch, on the CPU, each loss stands for."""
        counts = {name: float(task.count(batch.targets[name])) for name, task in self.counting.items()}
        more = {} if self.modality_balance is None else self.modality_balance.counts(self.counting, batch)
        return {SAMPLES: float((batch.rows >= 0).sum()), **counts, **more}

    def _with_decisions(
        self, losses: Mapping[str, Tensor], counts: Mapping[str, float], batch: Batch, output: ModelOutput
    ) -> dict[str, Tensor]:
        """What is trained of each task: its loss on the joined output, and what a decision adds or takes instead."""
        trained = dict(losses)
        decision_heads = self.model.named_decision_heads()
        for name, decision_output in output.decisions.items():
            heads = decision_heads[name]
            terms = heads.losses(self.tasks[name], decision_output, batch.targets[name], self.current_epoch, batch.rows)
            for key, value in terms.items():
                self.means["train"].add(f"{name}/loss/{key}", value, counts[name])
            own = [] if heads.decision.replaces_loss else [losses[name]]
            trained[name] = torch.stack([value.float() for value in [*own, *terms.values()]]).sum()
        return trained

    def _note_padding(self, batch: Batch) -> None:
        """Which share of what each encoder reads is padding or missing, ``padding/ENCODER``."""
        for name, encoder in self.model.named_encoders().items():
            if modality_of(encoder).logs_padding:
                mask = batch.inputs[name]["mask"]
                self.means["train"].add(f"padding/{name}", 1 - mask.float().mean(), mask.numel())

    def _refuse_nan(self, total: Tensor, losses: Mapping[str, Tensor], batch: Batch) -> None:
        """Stops before a step that would spoil every weight. Infinity may pass: loss scaling skips such a step."""
        if not bool(total.isnan()):
            return
        guilty = [name for name, loss in losses.items() if bool(loss.isnan())] or ["the balance, fusion or penalty"]
        rows = ", ".join(str(row + 1) for row in batch.rows.tolist())
        raise TrainingError(
            f"The loss is not a number at step {self.global_step} of epoch {self.current_epoch + 1} "
            f"({', '.join(guilty)}); the batch's rows are {rows}. The checkpoints from before are kept. Try a lower "
            "optimizer.lr, trainer.gradient_clip_val=0.5 or trainer.precision=32-true, and look at the rows' values."
        )

    def on_train_epoch_end(self) -> None:
        """Logs the epoch's means, ``train/TASK/loss``."""
        measured = self.means["train"].compute()
        if self.modality_balance is not None:
            self.modality_balance.epoch_ended(measured)
        if isinstance(self.balance, Balance):
            self.balance.epoch_ended(measured)
        means = {f"train/{key}": value for key, value in measured.items()}
        self.log_dict(means, logger=False)
        self._write(means)

    def _write(self, values: Mapping[str, Tensor]) -> None:
        """Hands numbers to the loggers now.

        Lightning would do so after all hooks, and a checkpoint made in a hook would lack what had been measured.
        """
        step = self.trainer.fit_loop.epoch_loop._batches_that_stepped
        for logger in self.loggers:
            logger.log_metrics({name: float(v) for name, v in values.items()} | {"epoch": self.current_epoch}, step)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Adds one batch to the validation metrics."""
        with self._loss_alone():
            output = self._measure("val", batch)
        if self.modality_balance is not None:
            self.modality_balance.validated(self, batch, output)

    def on_validation_epoch_end(self) -> None:
        """Logs ``val/TASK/METRIC``."""
        self._finish("val")

    def begin_test(self, split: str) -> PredictionTable:
        """Names the split that the next ``trainer.test`` measures; returns the table its predictions go to."""
        self.test_split = split
        self.stages[split] = StageMetrics(self.tasks).to(self.device)
        self.means[split] = EpochMeans()
        self.shares[split] = ModalityShares(list(self.model.fusion.dims))
        self.predictions = PredictionTable({name: task.kind for name, task in self.tasks.items()})
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
        """Logs ``SPLIT/TASK/METRIC``."""
        if self.tuning is None:
            self._finish(self.test_split)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leaves out what does not change."""
        if not self._is_sharded():
            remove_frozen(checkpoint, self.model.named_encoders(), self.fingerprints)
        decision_heads = self.model.named_decision_heads()
        checkpoint["decisions"] = {name: heads.decision.training_state() for name, heads in decision_heads.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what was left out.

        Raises:
            TrainingError: it is no longer what it was.
        """
        restore_frozen(checkpoint, self.model.named_encoders(), self)
        for name, heads in self.model.named_decision_heads().items():
            heads.decision.load_training_state(checkpoint.get("decisions", {}).get(name, {}))

    def _is_sharded(self) -> bool:
        """Whether each process holds a part of the weights alone; what it can see of them is then no whole."""
        return self._trainer is not None and isinstance(self.trainer.strategy, FSDPStrategy)

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule over all steps of the run."""
        return self.make_optimizer(self.model, self.balance, int(self.trainer.estimated_stepping_batches))

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

    def _measure(self, split: str, batch: Batch) -> ModelOutput:
        output = self(batch, "shares" if self.model.has_diagnostics else False)
        self.shares[split].add(batch, output.fused.diagnostics)
        self._losses(split, batch, output)
        self._stage(split).update(self.tasks, output.outputs, batch.targets)
        return output

    def _finish(self, split: str) -> None:
        """Logs a split's metrics and losses; the total is the balance of the tasks' means, however it was batched."""
        stage, means = self._stage(split), self.means[split].compute()
        if split == "val" and self.modality_balance is not None and not self.trainer.sanity_checking:
            self.modality_balance.validation_ended(means)
        values = {**stage.compute(), **means, **self._total(means)}
        self.notes |= {f"{split}/{key}": note for key, note in stage.notes(self.tasks).items()}
        self.log_dict({f"{split}/{key}": value for key, value in values.items()}, prog_bar=False)
        if split == "val" and self.trainer.state.fn == "fit":
            # callbacks would take the value of an earlier epoch for one that is left out
            lacking = [name for name in self.monitored if name.removeprefix("val/") in stage.names - values.keys()]
            self.log_dict(dict.fromkeys(lacking, torch.tensor(math.nan)), prog_bar=False, logger=False)
        stage.reset()

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


def count_trainable(module: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def count_parameters(module: nn.Module) -> int:
    """How many numbers the module holds as parameters."""
    return sum(p.numel() for p in module.parameters())
