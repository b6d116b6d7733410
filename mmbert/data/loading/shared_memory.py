"""Sends a batch from a loader's worker to the main process in one piece of shared memory instead of a dozen.

torch sends each tensor in a piece of its own, with a file descriptor that the receiver fetches over a socket. Of a
batch of small tensors that takes longer than making it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from mmbert.core.types import Batch, map_leaves

#: Bytes to whose multiples each tensor's place is rounded up: the width of the widest vector instructions.
ALIGNED = 64


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in the shared memory.

    Attributes:
        dtype, shape, strides: its own; strides in numbers.
        begin, end: its bytes.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    begin: int
    end: int

    def view(self, memory: Tensor) -> Tensor:
        """The tensor itself, in (bytes,) uint8."""
        return memory[self.begin : self.end].view(self.dtype).as_strided(self.shape, self.strides)


@dataclass(frozen=True)
class SharedMemoryBatch:
    """A packed batch, of any kind.

    Attributes:
        memory: (bytes,) uint8 of all tensors.
        skeleton: the batch, with a ``Place`` for each of its tensors.
    """

    memory: Tensor
    skeleton: Batch

    @staticmethod
    def of(batch: Batch) -> SharedMemoryBatch:
        """Packs a batch into memory that processes can share."""
        tensors: list[tuple[Place, Tensor]] = []

        def placed(tensor: Tensor) -> Place:
            colours_together = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
            tensor = tensor if colours_together else tensor.contiguous()
            begin = -(-tensors[-1][0].end // ALIGNED) * ALIGNED if tensors else 0
            end = begin + tensor.numel() * tensor.element_size()
            place = Place(tensor.dtype, tuple(tensor.shape), tensor.stride(), begin, end)
            tensors.append((place, tensor))
            return place

        skeleton = batch.mapped(placed)
        # as torch's own default_collate: what is made in shared memory need not be copied there
        storage = torch.UntypedStorage._new_shared(tensors[-1][0].end)
        memory = torch.empty(0, dtype=torch.uint8).set_(storage)  # type: ignore[call-overload]
        for place, tensor in tensors:
            place.view(memory).copy_(tensor)
        return SharedMemoryBatch(memory, skeleton)

    def batch(self) -> Batch:
        """The batch again; its inputs are views of one piece of memory."""
        batch = self.skeleton.mapped(lambda place: place.view(self.memory))
        # they are small, and who keeps them must not keep the inputs with them
        batch.targets = map_leaves(batch.targets, torch.clone)
        batch.rows = batch.rows.clone()
        return batch

    def pin_memory(self) -> SharedMemoryBatch:
        """The same in page-locked memory (torch's DataLoader calls this)."""
        return replace(self, memory=self.memory.pin_memory())


class SharedMemoryCollate:
    """Collates, and in a worker process packs the batch into shared memory. Picklable, if what it wraps is.

    Args:
        collate: samples -> batch.
    """

    def __init__(self, collate: Callable[..., Batch]) -> None:
        self.collate = collate

    def __call__(self, samples: list[object]) -> Batch | SharedMemoryBatch:
        """In a worker a ``SharedMemoryBatch``, else the batch itself."""
        batch = self.collate(samples)
        return batch if get_worker_info() is None else SharedMemoryBatch.of(batch)
