"""Every process goes backward through every shared-out part, whatever its batch holds.

Gradients of a part are exchanged at once, so that processes must have gradients for the same tensors, and go through
the same parts. But where no sample of a batch is labelled for a task, or none has a modality, a part may have none.
``PartUse`` adds to the part's vectors a zero that depends on all its weights, and ``zero`` is a zero that depends on
all such vectors: added to the loss it changes no number, and gives each weight a gradient, of zeros if need be.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.hooks import RemovableHandle

from mmbert.core.types import Encoded, Fused


class ZeroOf(torch.autograd.Function):
    """() zero, whose gradients are zeros that take no room."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        """Any number of tensors -> ()."""
        ctx.shapes = [tensor.shape for tensor in tensors]
        ctx.first = tensors[0].new_zeros(())
        return tensors[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Zeros of each tensor's shape."""
        return tuple(ctx.first.expand(shape) for shape in ctx.shapes)


class PartUse:
    """Notes the use of parts in a step of training.

    Hooks of ``before`` must be there before ``fully_shard`` adds its own, those of ``after`` come after: the first see
    a part's weights whole, the second an output from which its hooks know that the backward comes.
    """

    def __init__(self) -> None:
        self._used: list[Tensor] = []
        self._handles: list[RemovableHandle] = []

    def before(self, part: nn.Module) -> None:
        """Makes a part's vectors depend on each of its own weights."""
        self._handles.append(part.register_forward_hook(self._join_weights))

    def after(self, part: nn.Module) -> None:
        """Notes what a part gives."""
        self._handles.append(part.register_forward_hook(self._note))

    def remove(self) -> None:
        """Takes all hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._used.clear()

    def zero(self, device: torch.device) -> Tensor:
        """() zero that depends on all parts used since it was last asked for."""
        used, self._used = self._used, []
        # of no element at all: what the vectors hold, NaN too, does not matter
        return torch.stack(
            [vectors.flatten()[:0].sum().float() for vectors in used] or [torch.zeros((), device=device)]
        ).sum()

    def _join_weights(self, part: nn.Module, inputs: Any, output: Any) -> Any:
        if not (torch.is_grad_enabled() and part.training and isinstance(output, (Encoded, Fused))):
            return output
        weights = [weight for weight in part.parameters() if weight.requires_grad and not isinstance(weight, DTensor)]
        if not weights:
            return output
        return replace(output, pooled=output.pooled + ZeroOf.apply(*weights).to(output.pooled.dtype))

    def _note(self, part: nn.Module, inputs: Any, output: Any) -> None:
        learns = torch.is_grad_enabled() and part.training and isinstance(output, (Encoded, Fused))
        if learns and output.pooled.requires_grad:
            self._used.append(output.pooled)
