"""Stops the construction of a network that takes much more memory than its weights on disk.

A damaged or foreign config may ask for billions of numbers where the file beside it holds thousands: such a network is
refused while it is built, before memory is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

#: A network may take so many times the bytes of its weights on disk while it is built, and so many bytes more.
TIMES, MORE_BYTES = 8, 2**28
#: It may make so many tensors for each tensor on disk, and so many more.
TENSORS_EACH, MORE_TENSORS = 40, 10_000


class TooLarge(Exception):
    """What is being built is much larger than its weights."""


class BuildLimit(TorchDispatchMode):
    """While it is entered, new tensors count; beyond the limits the next one is refused.

    Args:
        size: bytes of the weights on disk.
        tensors: how many tensors those are.

    Raises:
        TooLarge: in place of the tensor that would be too much.
    """

    def __init__(self, size: int, tensors: int) -> None:
        super().__init__()
        self.bytes_left = TIMES * size + MORE_BYTES
        self.tensors_left = TENSORS_EACH * tensors + MORE_TENSORS

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Counts what makes tensors from sizes alone."""
        name = func.overloadpacket.__name__
        if name in SIZE_FIRST:
            self.count(math.prod(int(side) for side in args[0]), kwargs)
        elif name in SIZE_LAST:
            self.count(int(math.ceil(numbers_of(name, args))), kwargs)
        return func(*args, **(kwargs or {}))

    def count(self, numbers: int, kwargs: Mapping[str, Any] | None) -> None:
        """Takes a tensor of so many numbers from what is left."""
        dtype = (kwargs or {}).get("dtype") or torch.get_default_dtype()
        self.bytes_left -= numbers * dtype.itemsize
        self.tensors_left -= 1
        if self.bytes_left < 0 or self.tensors_left < 0:
            raise TooLarge


#: Operations whose first argument is the size of what they make.
SIZE_FIRST = {"empty", "zeros", "ones", "full", "rand", "randn", "empty_strided"}
#: Operations that make a row of numbers between bounds.
SIZE_LAST = {"arange", "linspace", "hann_window"}


def numbers_of(name: str, args: Sequence[Any]) -> float:
    """How many numbers a row between bounds has."""
    bounds = [float(value) for value in args if isinstance(value, (int, float))]
    if name == "linspace":
        return bounds[2]
    if name == "hann_window" or len(bounds) == 1:
        return max(0.0, bounds[0])
    step = bounds[2] if len(bounds) > 2 else 1.0
    return max(0.0, (bounds[1] - bounds[0]) / step) if step else 0.0
