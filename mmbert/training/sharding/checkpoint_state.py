"""Weights and optimiser state as an ordinary checkpoint has them, of a model that is shared out, and back again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from mmbert.training.sharding.groups import full


def whole_weights(module: nn.Module, keep: bool) -> dict[str, Any]:
    """A module's state with every tensor whole, on the CPU; tensor by tensor, so that no device holds all at once.

    Args:
        module: of which processes hold parts; every process must call it.
        keep: whether this process wants it; the others get nothing.
    """
    return {
        name: tensor for name, held in module.state_dict().items() if (tensor := whole_on_cpu(held, keep)) is not None
    }


def whole_optimizer(optimizer: Optimizer, keep: bool) -> dict[str, Any]:
    """An optimiser's state as it would be with whole weights, on the CPU; otherwise as ``whole_weights``."""
    state = optimizer.state_dict()
    found = {
        place: {name: whole_on_cpu(value, keep) if isinstance(value, Tensor) else value for name, value in held.items()}
        for place, held in state["state"].items()
    }
    return {**state, "state": found} if keep else {}


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Gives an optimiser of weights that are shared out a state of whole ones; nothing is exchanged.

    How a step is computed (``fused``) stays as the optimiser has it, for not every kernel knows weights of both kinds.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    places = [place for group in state["param_groups"] for place in group["params"]]
    own = dict(zip(places, parameters, strict=True))
    found = {
        place: {name: shared_out(value, own[place]) for name, value in held.items()}
        for place, held in state["state"].items()
    }
    kernels = [group.get("fused") for group in optimizer.param_groups]
    optimizer.load_state_dict({**state, "state": found})
    for group, fused in zip(optimizer.param_groups, kernels, strict=True):
        group["fused"] = fused


def shared_out(value: Any, parameter: Tensor) -> Any:
    """This process's part of a whole tensor of a parameter's shape; all else as it is."""
    if not (isinstance(parameter, DTensor) and isinstance(value, Tensor) and value.shape == parameter.shape):
        return value
    placed = value.to(parameter.to_local().device)
    return distribute_tensor(placed, parameter.device_mesh, parameter.placements, src_data_rank=None)


def whole_on_cpu(held: Any, keep: bool) -> Any:
    """The whole of a tensor on the CPU, None where it is not wanted; what is no tensor as it is."""
    if not isinstance(held, Tensor):
        return held
    whole = full(held)
    return whole.detach().cpu().clone() if keep else None
