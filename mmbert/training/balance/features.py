"""The tensors that all tasks read, cut off from the fusion and the encoders that made them.

Heads read copies that are leaves of the graph of autograd. So each task's gradient at the shared features is the
gradient at the copies, and costs no pass through fusion and encoders. What a balance makes of these gradients goes on
from the originals in the one backward pass that follows (``carry``): accumulation, loss scaling, the hooks of
distributed training and clipping see nothing unusual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mmbert.core.types import State

#: A task's gradient at each of the shared tensors, in their order.
Row = list[Tensor]


class SharedFeatures:
    """Copies of all that a task's head may read.

    They are the fused vector, the fused tokens, the views of decision-level fusion, and the encoded modalities where
    their encoders learn.

    Args:
        state: as fusion and encoders gave it.

    Attributes:
        state: the same, for heads to read; ``auxiliary_losses`` and ``diagnostics`` are the originals.
    """

    def __init__(self, state: State) -> None:
        self.originals: list[Tensor] = []
        self.copies: list[Tensor] = []
        fused = state.fused
        self.state = state._replace(
            fused=replace(
                fused,
                pooled=self._cut(fused.pooled),
                tokens={name: self._cut(tensor) for name, tensor in fused.tokens.items()},
                views={name: self._cut(tensor) for name, tensor in fused.views.items()},
            ),
            encoded={
                name: replace(one, tokens=self._cut(one.tokens), pooled=self._cut(one.pooled))
                for name, one in state.encoded.items()
            },
        )

    def _cut(self, tensor: Tensor) -> Tensor:
        if not tensor.requires_grad:
            return tensor
        copy = tensor.detach().requires_grad_()
        self.originals.append(tensor)
        self.copies.append(copy)
        return copy

    def jacobian(self, losses: Sequence[Tensor], loss_scale: float = 1.0) -> list[Row]:
        """Each loss's gradient at the copies, float32; zeros where it does not depend on one.

        Args:
            losses: () each; their graphs are kept.
            loss_scale: they are multiplied by it on the way, so that half precision does not lose small gradients.
        """
        rows = []
        for loss in losses:
            found: Sequence[Tensor | None] = [None] * len(self.copies)
            if loss.requires_grad and self.copies:
                found = torch.autograd.grad(loss * loss_scale, self.copies, retain_graph=True, allow_unused=True)
            rows.append(
                [
                    torch.zeros_like(copy, dtype=torch.float32) if part is None else part.float() / loss_scale
                    for copy, part in zip(self.copies, found, strict=True)
                ]
            )
        return rows

    def carry(self, jacobian: Sequence[Row], weights: Sequence[float]) -> Tensor:
        """() 0, whose backward pass gives the originals Σ_t weight_t · row_t as their gradient.

        Its value says nothing; only its gradient counts.
        """
        gradients = []
        for place in range(len(self.originals)):
            parts = [weight * row[place] for weight, row in zip(weights, jacobian, strict=True) if weight]
            gradients.append(torch.stack(parts).sum(0) if parts else torch.zeros_like(jacobian[0][place]))
        total: Tensor = GivenGradient.apply(*self.originals, *gradients)
        return total


class GivenGradient(torch.autograd.Function):
    """() 0 as a function of tensors whose gradients are given: first all tensors, then all gradients."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        """2 n tensors -> () 0."""
        half = len(tensors) // 2
        ctx.types = [tensor.dtype for tensor in tensors[:half]]
        ctx.save_for_backward(*tensors[half:])
        return torch.zeros((), device=tensors[0].device)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """() -> the n given gradients times it."""
        given = [(outer[0] * one).to(kind) for one, kind in zip(ctx.saved_tensors, ctx.types, strict=True)]
        return (*given, *[None] * len(given))


def gramian_of(jacobian: Sequence[Row]) -> Tensor:
    """(T, T) float64 on the CPU: inner products of T rows, over all shared tensors and all processes' samples.

    The gradients of processes are averaged, so each one's rows count 1 / W. Every process must call it.
    """
    total = torch.zeros(len(jacobian), len(jacobian), dtype=torch.float64)
    for parts in zip(*jacobian, strict=True):
        matrix = torch.stack([part.flatten() for part in parts])
        total += (matrix @ matrix.T).double().cpu()
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        device = jacobian[0][0].device if jacobian[0] else torch.device("cpu")
        sums = total.to(device, torch.float32 if device.type == "mps" else torch.float64)
        dist.all_reduce(sums)
        total = sums.double().cpu() / dist.get_world_size() ** 2
    return total
