"""All-gather with gradients, of batches of different sizes: for losses that compare the samples of all processes."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def gather_rows(rows: Tensor) -> tuple[Tensor, int]:
    """rows (B, ...) of this process -> those of all, in the order of the processes, and where this one's begin.

    Processes may have different numbers of rows. Gradients flow back to the process that a row came from, summed over
    all processes. Every process must call it, in the same order; with one process it returns its argument and 0.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows, 0
    mine = torch.tensor([rows.shape[0]], device=rows.device)
    counts = [torch.zeros_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, mine)
    sizes = [int(count) for count in counts]
    filled = torch.cat([rows, rows.new_zeros(max(sizes) - rows.shape[0], *rows.shape[1:])])
    parts = all_gather(filled.contiguous())
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)]), sum(sizes[: dist.get_rank()])


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
