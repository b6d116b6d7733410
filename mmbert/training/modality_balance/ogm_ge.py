"""OGM-GE: the gradients of the modality that leads are made smaller, and noise keeps it general.

    s_m  = mean over samples, and tasks, of the probability that m alone gives to the right answer
    ρ_m  = s_m / (mean of s_j over the other modalities j)
    k_m  = 1 - tanh(α ρ_m)   if ρ_m > 1,   else 1
    g    ← k_m g + ε,   ε ~ N(0, std(g)²)                       for every tensor g of gradients that belongs to m

Paper: Peng et al. 2022, "Balanced Multimodal Learning via On-the-fly Gradient Modulation", arXiv:2203.15332, equations
(8) to (12): k of a modality, and ε with the standard deviation of the gradient before it is modulated, over the
elements of its tensor, as in the authors' code.
With two modalities and classes ρ and k are the paper's. Differs from it:
    more than two     the paper is for two; here each modality is held against the mean of the others
    alone             the paper takes the part of a linear layer's logits that is the modality's; here the whole fusion
                      takes the sample with the others missing, which works with every strategy (no dropout, no graph)
    tasks             the mean over them of ``Task.target_probability``; the paper has one task of classes
    missing           s_m is the mean over the labelled samples that have m, where the paper sums over the batch
    which tensors     the paper's code modulates convolution kernels alone; here all of an encoder that learn. Noise
                      needs a spread: a tensor of one number, or of equal gradients, gets none
    optimiser         the paper trains with SGD. Adam divides by the gradient's own size: a k that stays the same is
                      divided out again, and what is left of the method is how k changes, and the noise

Of an encoder that is **frozen** nothing can be modulated. In its place stand the parameters of the fusion that belong
to the modality alone, those below its name (``project.text.…``); where there is no matrix among them, as with
``concat``, the method cannot act on that modality and refuses the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DeepSpeedStrategy
from torch import Tensor, nn
from torch.optim import Optimizer

from mmbert.core.errors import ConfigError
from mmbert.core.precision import exact_dtype
from mmbert.core.ranges import Range
from mmbert.core.types import Batch
from mmbert.model import ModelOutput, MultimodalModel
from mmbert.tasks.base import Task
from mmbert.training.modality_balance.base import ModalityBalance, TrainedModule
from mmbert.training.modality_balance.unimodal import (
    ALONE,
    all_reduced,
    decode_unimodal,
    need_several,
    without_dropout,
)


class OGMGE(ModalityBalance):
    """Modulates gradients between the backward pass and the optimiser; clipping comes after it.

    Logged for each modality: ``train/alone/MODALITY/score`` s and ``train/modulation/MODALITY`` k.

    Args:
        alpha: α, how much a lead costs; 0 = nothing.
        noise: with the noise (OGM-GE), or without it (OGM).
        first_epoch: modulation begins with it, counted from 0.
        last_epoch: and ends after it; None = never.
        seed: see ``ModalityBalance``.

    Raises:
        ConfigError: an option lies outside its range.
    """

    def __init__(
        self,
        alpha: Annotated[float, Range(0)] = 0.3,
        noise: bool = True,
        first_epoch: Annotated[int, Range(0)] = 0,
        last_epoch: Annotated[int | None, Range(0)] = None,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        if not alpha >= 0:
            raise ConfigError(f"balance_modalities.alpha={alpha} must not be negative.")
        self.alpha, self.noise = alpha, noise
        self.first_epoch, self.last_epoch = first_epoch, last_epoch
        self.owned: dict[str, list[nn.Parameter]] = {}
        # scores and their numbers, (2, M), since the optimiser's last step; a checkpoint is never made in between
        self.sums: Tensor | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Looks up what belongs to each modality.

        Raises:
            ConfigError: there is one modality, one without a parameter of its own, a task that gives its labels no
                probability, or DeepSpeed shards the gradients.
        """
        if stage != "fit":
            return
        if isinstance(trainer.strategy, DeepSpeedStrategy):
            raise ConfigError(
                "balance_modalities=ogm_ge needs whole gradients, but this strategy shards them: use trainer=ddp."
            )
        model: Any = pl_module.model
        need_several(model, "ogm_ge")
        for name, task in model.named_tasks().items():
            if type(task).target_probability is Task.target_probability:
                raise ConfigError(
                    f"balance_modalities=ogm_ge needs the probability of a sample's label, but {type(task).__name__} "
                    f"(the task '{name}') has no target_probability: add it, or choose another balance_modalities."
                )
        self.owned = owned_parameters(model)

    def trained_loss(self, module: TrainedModule, batch: Batch, output: ModelOutput, joint: Tensor) -> Tensor:
        """Measures how well each modality does alone; the loss stays as it is."""
        names = list(self.owned)
        sums = torch.zeros(2, len(names), dtype=exact_dtype(module.device), device=module.device)
        with torch.no_grad(), without_dropout(module.model):
            for place, name in enumerate(names):
                found = decode_unimodal(module.model, batch, output.encoded, name)
                if found is None:
                    continue
                for task, targets in found[1].items():
                    sums[0, place] += module.tasks[task].target_probability(found[0].outputs[task], targets).sum()
                    sums[1, place] += module.tasks[task].labelled(targets).sum()
        self.sums = sums if self.sums is None else self.sums + sums
        return joint

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Changes the gradients, in all processes alike, before they are clipped."""
        if self.sums is None:
            return
        totals = all_reduced(self.sums)
        self.sums = None
        scores = (totals[0] / totals[1]).tolist()  # NaN where nothing was measured
        factors = coefficients(scores, self.alpha)
        late = self.last_epoch is not None and trainer.current_epoch > self.last_epoch
        acting = trainer.current_epoch >= self.first_epoch and not late
        means: Any = pl_module.means["train"]  # type: ignore[index, operator]
        for place, (name, score, factor) in enumerate(zip(self.owned, scores, factors, strict=True)):
            used = factor if acting else 1.0
            means.add(f"{ALONE}/{name}/score", totals.new_tensor(score), float(totals[1, place]))
            means.add(f"modulation/{name}", totals.new_tensor(used), 1)
            if acting:
                # a stream of its own for each step and modality: a resumed run draws what the other would have drawn
                seed = stream(self.seed, trainer.global_step, place)
                modulate(self.owned[name], factor, seed if self.noise else None)


def coefficients(scores: Sequence[float], alpha: float) -> list[float]:
    """k of each modality from all their scores; NaN stands for one that was not measured, and gets 1."""
    factors = []
    for place, score in enumerate(scores):
        others = [s for j, s in enumerate(scores) if j != place and s == s]
        mean = sum(others) / len(others) if others else 0.0
        ratio = score / mean if mean > 0 else 0.0
        factors.append(1 - float(torch.tensor(alpha * ratio, dtype=torch.float64).tanh()) if ratio > 1 else 1.0)
    return factors


def modulate(parameters: Sequence[nn.Parameter], factor: float, seed: int | None) -> None:
    """g ← k g + ε for every parameter that has a gradient, in place.

    Args:
        parameters: of one modality.
        factor: k.
        seed: of the noise, which every process draws for itself and alike; None = no noise.
    """
    generator: torch.Generator | None = None
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is None:
            continue
        noise = None
        if seed is not None and gradient.numel() > 1:
            generator = generator or torch.Generator(gradient.device).manual_seed(seed)
            noise = torch.randn(gradient.shape, generator=generator, device=gradient.device, dtype=gradient.dtype)
            noise = noise * gradient.std()
        gradient.mul_(factor)
        if noise is not None:
            gradient.add_(noise)


def owned_parameters(model: MultimodalModel) -> dict[str, list[nn.Parameter]]:
    """By modality: what of its encoder learns; of a frozen one, what of the fusion lies below the modality's name.

    Raises:
        ConfigError: a modality has no matrix of its own that learns.
    """
    owned = {}
    for name, encoder in model.named_encoders().items():
        mine = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
        if not mine:
            below = [p for path, p in model.fusion.named_parameters() if name in path.split(".") and p.requires_grad]
            mine = below if any(parameter.ndim > 1 for parameter in below) else []
        if not mine:
            raise ConfigError(
                f"balance_modalities=ogm_ge has nothing to modulate for '{name}': its encoder is frozen, and "
                f"{type(model.fusion).__name__} has no weights for it alone. Let it learn "
                f"(encoders.{name}.frozen=false), or choose a fusion that projects each modality, such as mean."
            )
        owned[name] = mine
    return owned


def stream(seed: int, step: int, place: int) -> int:
    """A seed for the noise of one step and modality."""
    return int(np.random.SeedSequence([abs(seed), step, place, 12681]).generate_state(1, np.uint64)[0] >> 1)
