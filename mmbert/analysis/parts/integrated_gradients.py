"""Integrated gradients of an answer's number along one way for all modalities together.

Paper: Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks", arXiv:1703.01365.

    a_i = (x_i - x'_i) · ∫₀¹ ∂f(x' + α (x - x')) / ∂x_i dα            Σ_i a_i = f(x) - f(x')   (completeness)

x is what the encoders read of a sample (embeddings of word pieces, pixels, log-mel frames or the waveform), x' the
neutral value of each (``Encoder.continuous``), both with the sample's own masks. The integral is a Gauss-Legendre sum
by captum. What the sum lacks of completeness is the gap; samples whose gap is above the tolerance get twice the steps,
again and again up to a limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mmbert.analysis.parts.differentiable import ReadFunction
from mmbert.core.errors import ConfigError

#: Rows that go through the model at once, samples times steps.
ROWS_AT_ONCE = 128


@dataclass(frozen=True)
class Attributions:
    """Of N numbers, each of one sample.

    Attributes:
        parts: by encoder name, of the shape of what it reads (N, ...); zeros where nothing is real.
        output: (N,) float64 f(x).
        baseline: (N,) float64 f(x').
        gap: (N,) float64 |Σ a - (f(x) - f(x'))|.
        steps: (N,) int64, terms of the sum.
    """

    parts: dict[str, Tensor]
    output: Tensor
    baseline: Tensor
    gap: Tensor
    steps: Tensor


def integrated_gradients(
    function: ReadFunction,
    rows: Tensor,
    columns: Tensor,
    steps: int = 64,
    most_steps: int = 1024,
    tolerance: float = 0.01,
) -> Attributions:
    """Call it inside ``differentiable``.

    Args:
        function: of a batch.
        rows: (N,) int64, the sample of each number.
        columns: (N,) int64, the number's place among the task's.
        steps: terms of the sum to begin with.
        most_steps: and at most.
        tolerance: a gap up to this needs no more steps; in the unit of the numbers.

    Raises:
        ConfigError: captum is not installed.
    """
    inputs = tuple(read.numbers[rows] for read in function.read.values())
    baselines = tuple(read.baseline[rows] for read in function.read.values())
    real = [read.real[rows] for read in function.read.values()]
    with torch.no_grad():
        output, baseline = (function(*numbers, rows, columns) for numbers in (inputs, baselines))
    found = [torch.zeros_like(numbers) for numbers in inputs]
    gap, taken = torch.full_like(output, torch.inf), torch.zeros_like(rows)
    todo, number = torch.arange(len(rows), device=rows.device), steps
    while len(todo):
        ends = (tuple(part[todo] for part in inputs), tuple(part[todo] for part in baselines))
        again = path_integral(function, ends, (rows[todo], columns[todo]), number)
        for whole, part, there in zip(found, again, real, strict=True):
            whole[todo] = torch.where(there[todo], part, 0)
        total = sum(each[todo].flatten(1).sum(1, dtype=torch.float64) for each in found)
        gap[todo] = (total - (output - baseline)[todo]).abs()
        taken[todo] = number
        number *= 2
        todo = todo[gap[todo] > tolerance] if number <= most_steps else todo[:0]
    return Attributions(dict(zip(function.read, found, strict=True)), output, baseline, gap, taken)


def path_integral(
    function: ReadFunction,
    ends: tuple[tuple[Tensor, ...], tuple[Tensor, ...]],
    which: tuple[Tensor, Tensor],
    steps: int,
) -> tuple[Tensor, ...]:
    """The sum itself by captum, a few samples at a time so that memory does not grow.

    Args:
        function: that is followed.
        ends: x and x', a tensor an encoder.
        which: rows and columns.
        steps: terms of the sum.

    Returns:
        Of the shapes of x.
    """
    inputs, baselines = ends
    integrated = captum_method(function)
    parts = []
    at_once = max(1, ROWS_AT_ONCE // 8)
    for first, last in pairwise([*range(0, len(which[0]), at_once), len(which[0])]):
        some = slice(first, last)
        parts.append(
            integrated.attribute(
                tuple(each[some] for each in inputs),
                tuple(each[some] for each in baselines),
                additional_forward_args=tuple(each[some] for each in which),
                n_steps=steps,
                internal_batch_size=max(ROWS_AT_ONCE, last - first),
            )
        )
    return tuple(torch.cat(each).detach() for each in zip(*parts, strict=True))


def require_captum() -> None:
    """Raises a ConfigError that names the extra where captum is not installed."""
    captum_method(None)


def captum_method(function: Any) -> Any:
    """captum's integrated gradients of a function.

    Raises:
        ConfigError: captum is not installed.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise ConfigError("Parts are explained by captum: pip install 'mmbert[explain]'") from error
    return IntegratedGradients(function)
