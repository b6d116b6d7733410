"""Unstructured pruning: the smallest weights become zero (Han et al. 2015, arXiv:1506.02626).

Dense kernels multiply by zeros as by anything else: a model pruned so is neither faster nor smaller in memory. Its file
can be compressed further; how far, the table says (``compressed MiB``).
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.utils import prune

from mmbert.core.errors import InputError
from mmbert.model import MultimodalModel


def prunable(model: MultimodalModel) -> Iterator[tuple[nn.Module, str]]:
    """Matrices and kernels of linear layers and convolutions of the encoders; embeddings and norms stay."""
    for encoder in model.named_encoders().values():
        for module in encoder.modules():
            if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
                yield module, "weight"


def begin_magnitude(model: MultimodalModel, amount: float) -> int:
    """Holds the smallest share of the weights of all encoders together at zero, in place; returns how many.

    Until ``end_magnitude`` a mask keeps them at zero, whatever an optimiser does.

    Args:
        model: any.
        amount: share of all weights, in (0, 1).

    Raises:
        InputError: the encoders have no such weights.
    """
    parameters = list(prunable(model))
    if not parameters:
        raise InputError("no encoder has linear layers or convolutions, whose weights could be held at zero")
    for module, name in parameters:  # torch joins views of them, which kernels stored channels last do not have
        getattr(module, name).data = getattr(module, name).data.contiguous()
    prune.global_unstructured(parameters, pruning_method=prune.L1Unstructured, amount=amount)
    return sum(int((mask == 0).sum()) for mask in masks(model))


def masks(model: MultimodalModel) -> Iterator[Tensor]:
    """The masks of a model between ``begin_magnitude`` and ``end_magnitude``."""
    for module, name in prunable(model):
        if prune.is_pruned(module):
            yield getattr(module, f"{name}_mask")


def end_magnitude(model: MultimodalModel) -> None:
    """Leaves the zeros in the weights and removes the masks, so that the model is saved like any other."""
    for module, name in prunable(model):
        if prune.is_pruned(module):
            prune.remove(module, name)
