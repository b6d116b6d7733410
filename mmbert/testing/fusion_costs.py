"""What a fusion costs at one fixed size: parameters, operations of one sample, milliseconds forwards and backwards.

The size is that of usual encoders: 32 text tokens of width 384, 49 image patches of width 512, 50 audio frames of width
256, fused to 128, in batches of 16. Times are those of this machine, for comparison side by side and for nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from mmbert.core.flops import count
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.testing.fusion_inputs import leaves, pick
from mmbert.testing.fusion_masking import objective

COST_DIMS = {"text": 384, "image": 512, "audio": 256}
COST_LENGTHS = {"text": 32, "image": 49, "audio": 50}
COST_OUT_DIM, COST_BATCH, COST_STEPS = 128, 16, 5


@dataclass(frozen=True)
class Cost:
    """What it costs.

    Attributes:
        parameters: of the fusion, without the projection of tokens that no task reads.
        flops: of one sample forwards; ``mmbert.core.flops`` says what is counted.
        milliseconds: forwards and backwards of a batch, the median of some.
    """

    parameters: int
    flops: int
    milliseconds: float


def cost_of(fusion: Callable[..., Fusion], steps: int = COST_STEPS, **options: Any) -> Cost:
    """Builds a fusion at the fixed size and measures it.

    Args:
        fusion: the class, or a function with its arguments.
        steps: that are timed, after one that is not.
        **options: further arguments of the fusion.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = fusion(dims=dict(COST_DIMS), out_dim=COST_OUT_DIM, **options)
        built.drop_tokens()
        inputs = fixed_inputs()
        one = pick(inputs, [0])
        built.eval()
        with torch.no_grad():
            flops = count(lambda: built(one))
        built.train()
        times = [step(built, inputs) for _ in range(steps + 1)][1:]
    return Cost(sum(p.numel() for p in built.parameters()), flops, 1000 * median(times))


def fixed_inputs() -> dict[str, Encoded]:
    """A batch without padding and with everything present."""
    return {
        name: Encoded.from_tokens(
            torch.randn(COST_BATCH, COST_LENGTHS[name], dim),
            torch.ones(COST_BATCH, COST_LENGTHS[name], dtype=torch.bool),
        )
        for name, dim in COST_DIMS.items()
    }


def step(fusion: Fusion, inputs: Mapping[str, Encoded]) -> float:
    """Seconds of a pass forwards and backwards, to the parameters and to the inputs."""
    fresh, _ = leaves(inputs)
    fusion.zero_grad()
    began = time.perf_counter()
    objective(Fused(fusion(fresh).pooled)).backward()
    return time.perf_counter() - began
