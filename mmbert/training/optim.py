"""AdamW over named parameter groups, an optional L1 penalty, and learning-rate schedules by step.

Weight decay, and L1, act on weight matrices, kernels and embeddings. They spare biases, the parameters of norm
layers, every other tensor of one dimension or none, and the balance's own parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from mmbert.core.errors import ConfigError
from mmbert.core.ranges import CountOrShare, Many, Range
from mmbert.encoders.base import Encoder

#: What ``warmup`` may be.
WARMUP = CountOrShare("a whole number of steps (500) or a share of all steps below 1 (0.1)", below_one=True)


class Schedule(Protocol):
    """What the config group ``scheduler`` builds."""

    def build(self, optimizer: Optimizer, total_steps: int) -> LRScheduler:
        """The schedule of one run of ``total_steps`` optimiser steps."""
        ...


@dataclass(frozen=True)
class AdamWOptimizer:
    """Options of AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101).

    Attributes:
        lr: peak learning rate; an encoder's, and a task's, is ``lr`` times its ``lr_scale``.
        weight_decay: decoupled decay, in units of the learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        l1: factor on the sum of absolute weights that is added to the loss; 0 = none.
        fused: one kernel for all parameters; None = wherever all of them lie on a device that has it.

    Raises:
        ConfigError: an option lies outside its range.
    """

    lr: Annotated[float, Range(above=0)] = 3e-3
    weight_decay: Annotated[float, Range(0)] = 0.01
    betas: Annotated[tuple[float, float], Many(Range(0, below=1), length=2)] = (0.9, 0.999)
    eps: Annotated[float, Range(above=0)] = 1e-8
    l1: Annotated[float, Range(0)] = 0.0
    fused: bool | None = None

    def __post_init__(self) -> None:
        for name, value in {"lr": self.lr, "eps": self.eps}.items():
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"optimizer.{name}={value} must be finite and above 0.")
        for name, value in {"weight_decay": self.weight_decay, "l1": self.l1}.items():
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"optimizer.{name}={value} must be finite and not negative.")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"optimizer.betas={list(self.betas)} must be two numbers, each at least 0 and below 1.")

    def build(
        self, model: nn.Module, balance: nn.Module | None, total_steps: int, schedule: Schedule
    ) -> dict[str, Any]:
        """What Lightning's ``configure_optimizers`` returns: the optimiser and its schedule, stepped every batch.

        Args:
            model: as for ``optimizer``.
            balance: as for ``optimizer``.
            total_steps: optimiser steps of the whole run.
            schedule: how the learning rate moves.
        """
        optimizer = self.optimizer(model, balance)
        scheduler = schedule.build(optimizer, total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step", "name": "lr"}}

    def optimizer(self, model: nn.Module, balance: nn.Module | None = None) -> Optimizer:
        """AdamW over all trainable parameters of the model and of the balance.

        Args:
            model: with ``encoders`` and ``tasks`` (ModuleDicts; each part has ``lr_scale``) and ``fusion``.
            balance: weighs the tasks' losses; its parameters are trained too, without decay.

        Raises:
            ConfigError: there is no trainable parameter.
        """
        groups = parameter_groups(model, balance, self.lr, self.weight_decay)
        fused = has_fused_kernel(groups) if self.fused is None else self.fused
        betas = (float(self.betas[0]), float(self.betas[1]))
        optimizer = AdamW(groups, lr=self.lr, betas=betas, eps=self.eps, weight_decay=self.weight_decay, fused=fused)
        for group in optimizer.param_groups:
            if len({isinstance(parameter, DTensor) for parameter in group["params"]}) > 1:
                group["fused"] = False  # no kernel takes weights that are shared out together with whole ones
        # A fused AdamW offers to unscale gradients itself, for which Lightning refuses to clip them in mixed
        # precision. Without the offer gradients are unscaled before the step, as for every other optimiser.
        optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        return optimizer

    @property
    def penalty(self) -> Callable[[nn.Module], Tensor] | None:
        """model -> the L1 penalty, or None when ``l1`` is 0."""
        if not self.l1:
            return None
        factor = self.l1
        return lambda model: factor * l1_norm(model)


def parameter_groups(
    model: nn.Module, balance: nn.Module | None, lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Every trainable parameter in exactly one group, named ``part/decay`` or ``part/no_decay``.

    The parts are ``encoders.NAME``, ``tasks.NAME`` where a task's ``lr_scale`` is not 1 (with its heads under
    decision-level fusion), ``model`` (fusion, the other tasks and whatever else) and ``balance``; an encoder whose
    layers learn at rates of their own has a part a rate, ``encoders.NAME*0.25``. A parameter that parts share
    belongs to the first that holds it, one that two layers share to the first layer's kind.

    Raises:
        ConfigError: there is no trainable parameter.
    """
    parts: list[tuple[str, nn.Module, float]] = [
        (f"encoders.{name}", encoder, lr_scale_of(encoder)) for name, encoder in named_parts(model, "encoders").items()
    ]
    heads = named_parts(model, "decision_heads")
    for name, task in named_parts(model, "tasks").items():
        if (scale := lr_scale_of(task)) != 1:
            whole = nn.ModuleList([task, heads[name]] if name in heads else [task])
            parts.append((f"tasks.{name}", whole, scale))
    parts.append(("model", model, 1.0))
    if balance is not None:
        parts.append(("balance", balance, 1.0))
    seen: set[Tensor] = set()  # tensors hash by identity
    groups: list[dict[str, Any]] = []
    for part, module, scale in parts:
        factors = module.lr_factors() if isinstance(module, Encoder) else {}
        split: dict[tuple[float, bool], list[Tensor]] = {}
        for parameter, decays in trainable_parameters(module):
            if parameter not in seen:
                seen.add(parameter)
                key = (factors.get(parameter, 1.0), decays and part != "balance")  # type: ignore[call-overload]
                split.setdefault(key, []).append(parameter)
        for (factor, decays), parameters in sorted(split.items(), key=lambda item: (-item[0][0], not item[0][1])):
            rate = "" if factor == 1 else f"*{factor:.4g}"
            name = f"{part}{rate}/{'decay' if decays else 'no_decay'}"
            decay = weight_decay if decays else 0.0
            groups.append({"params": parameters, "name": name, "lr": lr * scale * factor, "weight_decay": decay})
    if not seen:
        raise ConfigError("Nothing can be trained: every parameter is frozen. Set frozen=false on an encoder.")
    return groups


def named_parts(model: nn.Module, group: str) -> dict[str, nn.Module]:
    """The model's encoders, or tasks, by name."""
    parts = getattr(model, group, None)
    return dict(parts.items()) if isinstance(parts, nn.ModuleDict) else {}


def lr_scale_of(part: nn.Module) -> float:
    """The factor on a part's learning rate; 1 of classes that know of none."""
    return float(getattr(part, "lr_scale", 1.0))


def trainable_parameters(module: nn.Module) -> Iterator[tuple[nn.Parameter, bool]]:
    """Each trainable parameter once, and whether weight decay acts on it."""
    seen: set[Tensor] = set()
    for owner in module.modules():
        norm = "norm" in type(owner).__name__.lower()  # LayerNorm, BatchNorm2d, BertRMSNorm, timm's LayerNorm2d, ...
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                yield parameter, parameter.ndim > 1 and not norm and not name.endswith("bias")


def l1_norm(model: nn.Module) -> Tensor:
    """() Σ|w| over the trainable weights that weight decay acts on; differentiable."""
    weights = [parameter for parameter, decays in trainable_parameters(model) if decays]
    if not weights:
        return torch.zeros(())
    return torch.stack([weight.abs().sum() for weight in weights]).sum()


def has_fused_kernel(groups: list[dict[str, Any]]) -> bool:
    """Whether every parameter is a float on a CPU or a CUDA device."""
    parameters = [parameter for group in groups for parameter in group["params"]]
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)


@dataclass(frozen=True)
class WarmupCosine:
    """Linear warm-up from 0, then half a cosine down to ``min_lr_ratio`` of the peak at the last step.

    With W warm-up steps of T, at step t:  t / W  for t < W;  r + (1 - r) (1 + cos(π (t - W) / (T - W))) / 2  after,
    r being ``min_lr_ratio`` (Loshchilov & Hutter 2017, arXiv:1608.03983, one cycle).

    Attributes:
        warmup: a whole number of optimiser steps, or a fraction of all steps below 1.
        min_lr_ratio: where the cosine ends, in [0, 1].

    Raises:
        ConfigError: an option lies outside its range.
    """

    warmup: Annotated[int | float, WARMUP] = 0.1
    min_lr_ratio: Annotated[float, Range(0, 1)] = 0.0

    def __post_init__(self) -> None:
        check_warmup(self.warmup)
        if not 0 <= self.min_lr_ratio <= 1:
            raise ConfigError(f"scheduler.min_lr_ratio={self.min_lr_ratio} must lie between 0 and 1.")

    def build(self, optimizer: Optimizer, total_steps: int) -> LambdaLR:
        """The schedule over ``total_steps`` optimiser steps; it stays at its last value beyond them."""
        warmup = warmup_steps(self.warmup, total_steps)

        def factor(step: int) -> float:
            if step < warmup:
                return step / warmup
            progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
            return self.min_lr_ratio + (1 - self.min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * progress))

        # a function, not a callable object: a checkpoint would save the object and bring back the old run's length
        return LambdaLR(optimizer, factor)


@dataclass(frozen=True)
class WarmupConstant:
    """Linear warm-up from 0, then the peak learning rate to the end.

    Attributes:
        warmup: a whole number of optimiser steps, or a fraction of all steps below 1.

    Raises:
        ConfigError: ``warmup`` is negative, or a fraction of 1 or more.
    """

    warmup: Annotated[int | float, WARMUP] = 0

    def __post_init__(self) -> None:
        check_warmup(self.warmup)

    def build(self, optimizer: Optimizer, total_steps: int) -> LambdaLR:
        """The schedule over ``total_steps`` optimiser steps."""
        warmup = warmup_steps(self.warmup, total_steps)
        return LambdaLR(optimizer, lambda step: step / warmup if step < warmup else 1.0)


def check_warmup(warmup: int | float) -> None:
    """Refuses what is neither a number of steps nor a fraction."""
    steps = isinstance(warmup, int) and not isinstance(warmup, bool) and warmup >= 0
    fraction = isinstance(warmup, float) and 0 <= warmup < 1
    if not (steps or fraction):
        raise ConfigError(
            f"scheduler.warmup={warmup} must be a whole number of steps (100) or a fraction of all steps below 1 (0.1)."
        )


def warmup_steps(warmup: int | float, total_steps: int) -> int:
    """The warm-up in optimiser steps; a fraction is rounded."""
    return warmup if isinstance(warmup, int) else round(warmup * total_steps)
