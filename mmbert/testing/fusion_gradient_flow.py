"""The scale of each modality in the output of a freshly built fusion, and the gradient that reaches each.

A strategy may keep every law and still train badly: one modality outweighs the others, or its gradient is so small that
its encoder never learns (Wang et al. 2020, "What Makes Training Multi-modal Classification Networks Hard?",
arXiv:1905.12681, show how joint training leaves modalities behind). All is measured with inputs of one scale, standard
normal tokens and vectors, so that what differs is the fusion's doing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.testing.fusion_inputs import leaves
from mmbert.testing.fusion_masking import objective

#: Widths of equal size: a wider modality would have a larger gradient by its width alone.
FLOW_DIMS = {"text": 64, "image": 64, "audio": 64}
FLOW_BATCH, FLOW_LENGTH, FLOW_DRAWS = 32, 8, 3
#: So many times smaller than the median counts as lost.
OUTLIER_FACTOR = 100.0
#: A parameter's gradient below this share of the median is none: what stands in for absent modalities has none when all
#: are present, nor has the bias of attention's keys, which a softmax does not see.
NO_GRADIENT = 1e-6


@dataclass(frozen=True)
class Flow:
    """What was measured.

    Attributes:
        together: root mean square of ``pooled`` when all modalities are present.
        alone: the same when only this one is, by modality.
        gradient: norm of the objective's gradient by the inputs of this modality, a sample's mean, all present.
        parameters: root mean square of each parameter's gradient, by name, all present; those that have one.
    """

    together: float
    alone: dict[str, float]
    gradient: dict[str, float]
    parameters: dict[str, float]

    def remarks(self) -> list[str]:
        """What is orders of magnitude off, in sentences; empty if nothing is."""
        found = []
        for name in outliers(self.gradient):
            share = self.gradient[name] / median(self.gradient.values())
            found.append(
                f"{name} receives {share:.2g} of the gradient that the median modality does: its encoder will hardly "
                "learn. A gate that starts closed, a softmax that is saturated, or a missing norm or scale?"
            )
        for name, alone in self.alone.items():
            if alone * OUTLIER_FACTOR < self.together:
                found.append(
                    f"with {name} alone pooled is {alone:.2g}, with all present {self.together:.2g}: heads see another "
                    "scale when modalities are missing. A product or sum where a mean was meant?"
                )
        if self.together * OUTLIER_FACTOR < max(self.alone.values()):
            found.append("with all present pooled is far smaller than with one alone: do they cancel or multiply out?")
        tiny = outliers(self.parameters)
        if tiny:
            listed = ", ".join(tiny[:5]) + (f" and {len(tiny) - 5} more" if len(tiny) > 5 else "")
            found.append(f"the gradient is more than {OUTLIER_FACTOR:.0f} times below the median in: {listed}")
        return found

    def __str__(self) -> str:
        lines = [f"  {'modality':<12} {'scale alone':>12} {'gradient':>12}"]
        lines += [f"  {name:<12} {self.alone[name]:>12.3g} {self.gradient[name]:>12.3g}" for name in self.alone]
        lines.append(f"  {'together':<12} {self.together:>12.3g}")
        if self.parameters:
            low, high = (pick(self.parameters, key=self.parameters.__getitem__) for pick in (min, max))
            lines.append(
                f"  parameters' gradients: median {median(self.parameters.values()):.3g}, "
                f"least {self.parameters[low]:.3g} ({low}), greatest {self.parameters[high]:.3g} ({high})"
            )
        return "\n".join(lines + [f"  note: {remark}" for remark in self.remarks()])


def outliers(values: Mapping[str, float]) -> list[str]:
    """Names whose value is more than ``OUTLIER_FACTOR`` times below the median."""
    middle = median(values.values()) if values else 0.0
    return [name for name, value in values.items() if value * OUTLIER_FACTOR < middle]


def flow_of(
    fusion: Callable[..., Fusion], dims: Mapping[str, int] | None = None, out_dim: int = 64, **options: Any
) -> Flow:
    """Builds a fusion ``FLOW_DRAWS`` times, runs it forwards and backwards, and takes means.

    Args:
        fusion: the class, or a function with its arguments.
        dims: width by modality; None = three of 64.
        out_dim: width H.
        **options: further arguments of the fusion.
    """
    dims = dict(dims or FLOW_DIMS)
    together, alone = 0.0, dict.fromkeys(dims, 0.0)
    gradient, parameters = dict.fromkeys(dims, 0.0), dict[str, float]()
    for draw in range(FLOW_DRAWS):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw)
            built = fusion(dims=dims, out_dim=out_dim, **options).eval()
            built.drop_tokens()
            inputs = normal_inputs(dims)
        for name in dims:
            with torch.no_grad():
                alone[name] += scale(built(only(inputs, name)).pooled) / FLOW_DRAWS
        fresh, tensors = leaves(inputs)
        pooled = built(fresh).pooled
        together += scale(pooled.detach()) / FLOW_DRAWS
        objective(Fused(pooled)).backward()
        for name, pair in tensors.items():
            grads = [tensor.grad.flatten(1) for tensor in pair if tensor.grad is not None]
            if grads:
                gradient[name] += float(torch.cat(grads, 1).norm(dim=1).mean()) / FLOW_DRAWS
        for name, parameter in built.named_parameters():
            got = 0.0 if parameter.grad is None else scale(parameter.grad)
            parameters[name] = parameters.get(name, 0.0) + got / FLOW_DRAWS
    noise = NO_GRADIENT * median(parameters.values()) if parameters else 0.0
    return Flow(together, alone, gradient, {name: value for name, value in parameters.items() if value > noise})


def normal_inputs(dims: Mapping[str, int]) -> dict[str, Encoded]:
    """Standard normal tokens and, apart from them, standard normal vectors: a mean of tokens would be smaller."""
    mask = torch.ones(FLOW_BATCH, FLOW_LENGTH, dtype=torch.bool)
    return {
        m: Encoded(torch.randn(FLOW_BATCH, FLOW_LENGTH, d), mask, torch.randn(FLOW_BATCH, d)) for m, d in dims.items()
    }


def only(inputs: Mapping[str, Encoded], name: str) -> dict[str, Encoded]:
    """The same inputs with all modalities absent but one."""
    return {m: x if m == name else Encoded(x.tokens, x.mask & False, x.pooled) for m, x in inputs.items()}


def scale(tensor: Tensor) -> float:
    """Root mean square."""
    return float(tensor.float().square().mean().sqrt())
