"""The LightningModule that trains: the loss of a step, what is logged of it, validation, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mmbert.core.errors import TrainingError
from mmbert.core.types import Batch
from mmbert.data.loading.samplers import LazyLoader
from mmbert.data.modalities.registry import modality_of
from mmbert.model import ModelOutput, MultimodalModel
from mmbert.training.balance.base import Balance, StepLosses, means_of_processes
from mmbert.training.balance.features import SharedFeatures
from mmbert.training.balance.same_batches import SameBatches
from mmbert.training.evaluation_module import EvaluationModule
from mmbert.training.frozen_checkpoint import remove_frozen, restore_frozen
from mmbert.training.loss_weights import SAMPLES, LossWeights, WindowWeights
from mmbert.training.modality_balance.base import ModalityBalance
from mmbert.training.sharding.gradients import clip_gradients
from mmbert.training.sharding.strategy import sharded

#: model, balance and the number of optimiser steps -> what ``configure_optimizers`` returns
OptimizerMaker = Callable[[nn.Module, nn.Module, int], Any]


class FusionModule(EvaluationModule):
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
        super().__init__(model, balance)
        self.make_optimizer = make_optimizer
        self.penalty = penalty
        self.modality_balance = modality_balance
        self.fingerprints: dict[str, str] = {}
        self.stored: frozenset[str] = frozenset()  # encoders whose tokens come from the store
        self.window: WindowWeights | None = None
        self.same_batches = SameBatches() if getattr(balance, "measures_again", False) else None
        # batches are counted before they move to the device: these stay on the CPU
        self.counting = {name: task.without_weights() for name, task in self.tasks.items()}

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
            self._show_loss(window.loss_so_far(total.detach()))
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

    def _show_loss(self, loss: Tensor) -> None:
        """Shows the loss of a step of the optimiser, and hands it to the loggers once the step is whole."""
        loop, connector = self.trainer.fit_loop.epoch_loop, self.trainer._logger_connector
        logged = connector.should_update_logs and not loop._should_accumulate()
        self.publish({"train/loss": loss}, logged, shown=self.trainer.progress_bar_callback is not None)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Lightning's; where processes share out the gradients, by the norm of all of them."""
        if gradient_clip_val and sharded(self._trainer) is not None:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            clip_gradients(parameters, float(gradient_clip_val), gradient_clip_algorithm or "norm")
            return
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_fit_end(self) -> None:
        """Every process has the whole model again."""
        if (strategy := sharded(self._trainer)) is not None:
            strategy.end_sharding()

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
        self.publish(means)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Adds one batch to the validation metrics."""
        with self._loss_alone():
            output = self._measure("val", batch)
        if self.modality_balance is not None:
            self.modality_balance.validated(self, batch, output)

    def on_validation_epoch_end(self) -> None:
        """Logs ``val/TASK/METRIC``."""
        self._finish("val")

    def measured(self, split: str, means: Mapping[str, Tensor]) -> None:
        """Shows the balance of modalities what validation gave."""
        if split == "val" and self.modality_balance is not None and not self.trainer.sanity_checking:
            self.modality_balance.validation_ended(means)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leaves out what does not change."""
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

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule over all steps of the run."""
        return self.make_optimizer(self.model, self.balance, int(self.trainer.estimated_stepping_batches))
