"""The module of ``privacy=dp``: a step clips each sample's gradient, sums, adds noise and divides by a fixed number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mmbert.core.errors import ConfigError, TrainingError
from mmbert.core.types import Batch
from mmbert.model import MultimodalModel
from mmbert.training.module import FusionModule, OptimizerMaker
from mmbert.training.private.budget import Budget, PrivateOptions, plan_budget
from mmbert.training.private.sample_gradients import SampleGradients, SampleLoss, SampleLosses

#: Tells the noise's random numbers from others of the same seed.
NOISE_STREAM = 0x6E01_5E00
#: Where a checkpoint keeps the budget.
PRIVATE_STATE = "mmbert_private"


class PrivateModule(FusionModule):
    """Trains fusion and heads by DP-SGD; opacus clips and adds the noise.

    Validation is as ever, without noise. Lightning's automatic optimisation stays: the optimiser's closure computes
    the samples' gradients, and opacus' ``DPOptimizer`` makes of them the gradient that the optimiser steps with.

    Args:
        model: as of ``FusionModule``.
        balance: a ``FixedBalance``.
        make_optimizer: as of ``FusionModule``.
        options: of the budget.
        samples: N, of the train split.
        batch_size: the expected one.
        seed: of the noise, unless ``options.secure``.

    Attributes:
        budget: once the number of steps is known.
        say: is called with what a user should know.
    """

    def __init__(
        self,
        model: MultimodalModel,
        balance: nn.Module,
        make_optimizer: OptimizerMaker,
        options: PrivateOptions,
        samples: int,
        batch_size: int,
        seed: int,
        say: Callable[[str], None] = print,
    ) -> None:
        super().__init__(model, balance, make_optimizer)
        self.options = options
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.say = say
        self.budget: Budget | None = None
        loss = SampleLoss(model, self.fixed_balance.weights, live_encoders(model))
        object.__setattr__(self, "gradients", SampleGradients(loss))  # not registered: it holds the model once more
        self._dp: Any = None

    def plan(self, steps: float) -> Budget:
        """Finds the noise for so many steps, once.

        Raises:
            ConfigError: their number is not known, or no noise will do.
        """
        if steps != int(steps) if np.isfinite(steps) else True:
            raise ConfigError("privacy=dp must know the number of steps: set trainer.max_epochs or trainer.max_steps.")
        if self.budget is None or self.budget.planned_steps != int(steps):
            self.budget = plan_budget(self.options, self.samples, self.batch_size, int(steps))
        return self.budget

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule as ever, the optimiser known to opacus too."""
        budget = self.plan(float(self.trainer.estimated_stepping_batches))
        made = super().configure_optimizers()
        self._dp = private_optimizer(made["optimizer"], budget, self.options.secure)
        self.say(
            f"privacy   DP-SGD with ε ≤ {budget.epsilon:g}, δ = {budget.delta:.3g}: noise multiplier "
            f"{budget.noise_multiplier:.4g}, rate {budget.sample_rate:.4g}, {budget.planned_steps:,} steps, samples "
            f"clipped to {budget.max_grad_norm:g} ({budget.accountant})"
            + ("" if self.options.secure else "; seeded noise, not for a release: privacy.secure=true")
        )
        return made

    def on_train_start(self) -> None:
        """There is no window of batches: each is a step, divided by the expected size."""

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Leaves each sample's gradient at the parameters; returns the batch's mean loss, without a graph."""
        gradients: SampleGradients = self.gradients  # type: ignore[assignment]
        parameters = gradients.parameters()
        if not bool((batch.rows >= 0).any()):
            for parameter in parameters.values():
                parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))  # type: ignore[attr-defined]
            return torch.zeros((), device=self.device)
        gradients.loss.epoch = self.current_epoch
        decided = gradients.vectorised
        tree = gradients.loss.encode(batch)
        found, losses = gradients.of(tree)
        if decided is not False and gradients.vectorised is False:
            self.say(f"privacy   samples are differentiated one by one, which is slower: {gradients.reason}")
        total = losses.total.mean()
        means = {name: loss.mean() for name, loss in losses.losses.items()}
        self._refuse_nan(total, means, replace(batch, rows=tree["rows"]))
        for name, parameter in parameters.items():
            parameter.grad_sample = found[name]  # type: ignore[attr-defined]
        self._note(losses, batch)
        return total

    def _note(self, losses: SampleLosses, batch: Batch) -> None:
        """The epoch's means; they are for whoever trains, and no part of what ε covers."""
        for name, loss in losses.losses.items():
            count = float((losses.counts[name] > 0).sum())
            self.means["train"].add(f"{name}/loss", loss.sum() / max(count, 1), count)
        self._note_padding(batch)
        self._show_loss(losses.total.mean())

    def backward(self, loss: Tensor, *args: Any, **options: Any) -> None:
        """Nothing: the samples' gradients are there."""

    def configure_gradient_clipping(self, optimizer: Optimizer, *args: Any, **options: Any) -> None:
        """Nothing: ``trainer.gradient_clip_val`` clips batches; here each sample is clipped."""

    def optimizer_step(
        self, epoch: int, batch_index: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Lightning's, with gradients that opacus has clipped, summed, made noisy and divided.

        Raises:
            TrainingError: the planned steps are used up.
        """
        assert self.budget is not None
        if self.global_step >= self.budget.planned_steps:
            raise TrainingError(f"The privacy budget is spent: all {self.budget.planned_steps:,} steps were taken.")

        def closure() -> Any:
            result = optimizer_closure() if optimizer_closure is not None else None
            self.make_private()
            return result

        super().optimizer_step(epoch, batch_index, optimizer, closure)

    def make_private(self) -> None:
        """The samples' gradients at the parameters become the step's gradient.

        The noise depends on the seed and the step alone, so that a resumed run draws no other for the same step.
        """
        dp = self._dp
        if not self.options.secure:
            entropy = np.random.SeedSequence([abs(self.seed), self.global_step, NOISE_STREAM]).generate_state(
                1, np.uint64
            )[0]
            dp.generator.manual_seed(int(entropy >> np.uint64(1)))
        dp.pre_step()
        for parameter in dp.params:
            parameter.grad_sample = parameter.summed_grad = None

    def private_facts(self) -> dict[str, Any]:
        """What was spent, of what mechanism."""
        assert self.budget is not None
        gradients: SampleGradients = self.gradients  # type: ignore[assignment]
        more = {"secure": self.options.secure, "vectorised": gradients.vectorised}
        return {**self.budget.facts(self.global_step), **more}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the mechanism too."""
        super().on_save_checkpoint(checkpoint)
        if self.budget is not None:
            checkpoint[PRIVATE_STATE] = self.budget.facts(self.global_step)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses to go on by another mechanism: ε would no longer be that of all steps.

        Raises:
            TrainingError: it is another one.
        """
        super().on_load_checkpoint(checkpoint)
        before = checkpoint.get(PRIVATE_STATE)
        if before is None or self.budget is None:
            return
        now = self.budget.facts(0)
        for name in ("noise_multiplier", "sample_rate", "max_grad_norm", "planned_steps", "samples"):
            if before[name] != now[name]:
                raise TrainingError(
                    f"The run was begun with {name}={before[name]}, but would go on with {now[name]}: its ε would "
                    "not be that of one mechanism. Put the options and data back, or start a new run."
                )


def live_encoders(model: MultimodalModel) -> tuple[str, ...]:
    """The encoders that are trained in part, and the one that the fusion changes from within."""
    return tuple(
        name
        for name, encoder in model.named_encoders().items()
        if name == model.fusion.injects_into or any(p.requires_grad for p in encoder.parameters())
    )


def private_optimizer(optimizer: Optimizer, budget: Budget, secure: bool) -> Any:
    """opacus' wrapper of an optimiser, of which the step's clipping, noise and division are used."""
    from opacus.optimizers import DPOptimizer

    device = optimizer.param_groups[0]["params"][0].device
    generator = torch.Generator(device=device)
    if secure:
        generator.seed()
    return DPOptimizer(
        optimizer,
        noise_multiplier=budget.noise_multiplier,
        max_grad_norm=budget.max_grad_norm,
        expected_batch_size=budget.batch_size,
        generator=generator,
        secure_mode=secure,
    )
