"""``Continuous``: what an encoder reads as numbers that have gradients, and the neutral value that stands for nothing.

Explanations by gradients follow the output along a straight way from the neutral value to what the sample has. The
neutral value must not lie on a ray along which the network's first norm sees no change (it makes the same of x and of
x / 10): all that happens would then happen in the very first bit of the way. Encoders that begin with such a norm
choose theirs accordingly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmbert.core.errors import ConfigError
from mmbert.core.types import Inputs


@dataclass(frozen=True)
class Continuous:
    """What an encoder reads.

    Attributes:
        inputs: of the encoder, with ``key`` among them.
        key: of what is read: (B, L, ...) as ``mask`` has it, or of a picture, whose mask is (B, 1), (B, ...).
        baseline: of the same shape: what stands for nothing; where nothing is real it equals what is read.
        neutral: what the baseline is, in words.
    """

    inputs: Inputs
    key: str
    baseline: Tensor
    neutral: str

    @classmethod
    def of(cls, inputs: Inputs, key: str, baseline: Tensor, neutral: str) -> Continuous:
        """The same with the baseline equal to what is read where nothing is real: nothing changes there."""
        numbers = inputs[key]
        return cls(
            inputs, key, torch.where(over_dimensions(inputs["mask"], numbers), baseline.to(numbers), numbers), neutral
        )

    @property
    def numbers(self) -> Tensor:
        """What is read."""
        return self.inputs[self.key]

    @property
    def real(self) -> Tensor:
        """Bool, broadcastable to ``numbers``: what is really there."""
        return over_dimensions(self.inputs["mask"], self.numbers)


def over_dimensions(mask: Tensor, numbers: Tensor) -> Tensor:
    """mask (B, L), or (B, 1) of a picture -> (B, L, 1, ...), with as many dimensions as ``numbers``."""
    return mask.reshape(*mask.shape, *[1] * (numbers.ndim - mask.ndim))


def only_numbers(inputs: Inputs, encoder: str) -> Continuous:
    """Inputs with one tensor of floats: that tensor, and zeros.

    Raises:
        ConfigError: there is none, or there are several.
    """
    floats = [name for name, tensor in inputs.items() if tensor.is_floating_point()]
    if len(floats) != 1:
        raise ConfigError(
            f"{encoder} reads {', '.join(inputs)}, of which {len(floats)} hold floats: to explain parts of its inputs "
            "it must say which numbers are meant, in its method 'continuous'."
        )
    neutral = "the mean colour" if floats[0] == "pixels" else "zeros"
    return Continuous.of(inputs, floats[0], torch.zeros_like(inputs[floats[0]]), neutral)
