"""The batches of a step of the optimiser, passed through the model once more as they were the first time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mmbert.core.types import Batch


class SameBatches:
    """Keeps the batches of a step and where the random numbers stood before the first of them.

    Attributes:
        batches: of the step so far.
    """

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._random: list[Tensor] = []

    def add(self, batch: Batch) -> None:
        """A batch that is about to be trained on."""
        if not self.batches:
            self._random = [torch.get_rng_state(), *(torch.cuda.get_rng_state(place) for place in devices())]
        self.batches.append(batch)

    def clear(self) -> None:
        """The step is over."""
        self.batches = []

    @contextmanager
    def again(self, model: nn.Module) -> Iterator[None]:
        """Within the context the first pass's random numbers come again, so that dropout leaves the same places out.

        Afterwards the random numbers, and the buffers of the model (running means of normalisation), are as before.
        """
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        with torch.random.fork_rng(devices=devices()), torch.no_grad():
            torch.set_rng_state(self._random[0])
            for place, state in zip(devices(), self._random[1:], strict=True):
                torch.cuda.set_rng_state(state, place)
            yield
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])


def devices() -> list[int]:
    """The GPU that this process computes on, if any has been used."""
    return [torch.cuda.current_device()] if torch.cuda.is_available() and torch.cuda.is_initialized() else []
