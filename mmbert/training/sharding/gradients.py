"""Gradients of a model of which processes hold parts: the mean of what they hold whole, and clipping of all of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


@torch.no_grad()
def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """The mean over processes of the gradients of parameters that each of them holds whole, as DDP forms it.

    A process without a gradient counts as zeros; a parameter without a gradient in any process keeps none, so that the
    optimiser leaves it alone. Every process must call it with the same parameters.
    """
    if not parameters or dist.get_world_size() == 1:
        return
    for kind in sorted({parameter.dtype for parameter in parameters}, key=str):
        some = [parameter for parameter in parameters if parameter.dtype == kind]
        device = some[0].device
        there = torch.tensor([parameter.grad is not None for parameter in some], dtype=torch.int32, device=device)
        flat = (
            torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in some])
            / dist.get_world_size()
        )
        dist.all_reduce(there)
        dist.all_reduce(flat)
        for parameter, used, mean in zip(some, there.tolist(), flat.split([p.numel() for p in some]), strict=True):
            if used:
                parameter.grad = mean.view_as(parameter).clone()


@torch.no_grad()
def global_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """() the Euclidean norm of all gradients, of those that are shared out too. Every process must call it."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    sharded = [gradient.to_local() for gradient in gradients if isinstance(gradient, DTensor)]
    whole = [gradient for gradient in gradients if not isinstance(gradient, DTensor)]
    squares = sum_of_squares(sharded, gradients)
    if dist.get_world_size() > 1:
        dist.all_reduce(squares)
    return (squares + sum_of_squares(whole, gradients)).sqrt()


def sum_of_squares(tensors: Sequence[Tensor], like: Sequence[Tensor]) -> Tensor:
    """() float32."""
    device = like[0].device if like else torch.device("cpu")
    norms = [torch.linalg.vector_norm(tensor.float()) for tensor in tensors]
    return torch.stack(norms).square().sum() if norms else torch.zeros((), device=device)


@torch.no_grad()
def clip_gradients(parameters: Sequence[nn.Parameter], limit: float, by: str) -> None:
    """Clips gradients in place, those that are shared out too. Every process must call it.

    Args:
        parameters: of the optimiser.
        limit: the largest norm of all gradients together, or the largest size of a number.
        by: ``norm`` (Pascanu et al. 2013, arXiv:1211.5063: g · min(1, limit / |g|)) or ``value``.
    """
    locals_ = [
        held.to_local() if isinstance(held, DTensor) else held for p in parameters if (held := p.grad) is not None
    ]
    if by == "value":
        for gradient in locals_:
            gradient.clamp_(-limit, limit)
        return
    # 1e-6 as torch.nn.utils.clip_grad_norm_, so that numbers are those of other strategies
    factor = (limit / (global_norm(parameters) + 1e-6)).clamp(max=1.0)
    for gradient in locals_:
        gradient.mul_(factor.to(gradient.dtype))
