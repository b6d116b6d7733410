"""A batch on its way from a worker to the main process: one piece of shared memory instead of a dozen.

torch sends each tensor in a piece of its own, with a file descriptor that the receiver fetches over a socket. Of a
batch of small tensors that takes longer than making it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from mmbert.core.types import Batch

#: Bytes to whose multiples each tensor's place is rounded up: the width of the widest vector instructions.
ALIGNED = 64


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in a parcel.

    Attributes:
        encoder, key: whose input it is.
        dtype, shape, strides: its own; strides in numbers.
        begin, end: its bytes.
    """

    encoder: str
    key: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    begin: int
    end: int

    def view(self, memory: Tensor) -> Tensor:
        """The tensor itself, in (bytes,) uint8."""
        return memory[self.begin : self.end].view(self.dtype).as_strided(self.shape, self.strides)


@dataclass(frozen=True)
class Parcel:
    """A packed batch.

    Attributes:
        memory: (bytes,) uint8 of all inputs.
        places: where each lies.
        targets, rows: those of the batch. They are small, and who keeps them must not keep the inputs with them.
        skipped: as in the batch.
    """

    memory: Tensor
    places: list[Place]
    targets: dict[str, np.ndarray]
    rows: np.ndarray
    skipped: tuple[tuple[int, str], ...]

    @staticmethod
    def of(batch: Batch) -> Parcel:
        """Packs a batch into memory that processes can share."""
        places, tensors, size = [], [], 0
        for encoder, inputs in batch.inputs.items():
            for key, tensor in inputs.items():
                dense = tensor.is_contiguous() or (
                    tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
                )
                tensor = tensor if dense else tensor.contiguous()
                end = size + tensor.numel() * tensor.element_size()
                places.append(Place(encoder, key, tensor.dtype, tuple(tensor.shape), tensor.stride(), size, end))
                tensors.append(tensor)
                size = -(-end // ALIGNED) * ALIGNED
        # as torch's own default_collate: what is made in shared memory need not be copied there
        memory = torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(size))  # type: ignore[call-overload]
        for place, tensor in zip(places, tensors, strict=True):
            place.view(memory).copy_(tensor)
        targets = {name: target.numpy() for name, target in batch.targets.items()}
        return Parcel(memory, places, targets, batch.rows.numpy(), batch.skipped)

    def batch(self) -> Batch:
        """The batch again; its inputs are views of one piece of memory."""
        inputs: dict[str, dict[str, Tensor]] = {}
        for place in self.places:
            inputs.setdefault(place.encoder, {})[place.key] = place.view(self.memory)
        targets = {name: torch.from_numpy(target) for name, target in self.targets.items()}
        return Batch(inputs, targets, torch.from_numpy(self.rows), self.skipped)

    def pin_memory(self) -> Parcel:
        """The same parcel in page-locked memory (torch's DataLoader calls this)."""
        return replace(self, memory=self.memory.pin_memory())


class Parcelling:
    """What collates, and packs the batch where it has a way to go. Picklable, if what it wraps is.

    Args:
        collate: samples -> batch.
    """

    def __init__(self, collate: Callable[..., Batch]) -> None:
        self.collate = collate

    def __call__(self, samples: list[object]) -> Batch | Parcel:
        """In a worker a parcel, else the batch; a batch of another kind, which holds more, stays what it is."""
        batch = self.collate(samples)
        return Parcel.of(batch) if get_worker_info() is not None and type(batch) is Batch else batch
