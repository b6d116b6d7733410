"""The shapes of a network from which parts were cut, as plain numbers: from them a saved one is built again.

An encoder is built from its arguments, and then shrunk to the shapes that are stored beside these. Nothing else is read
from the file: names of tensors with their sizes, names of whole numbers with their values. Each can only be smaller
than what the arguments give, so that no file can have a larger network built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmbert.core.errors import InputError

#: Attributes of layers that say their sizes.
LAYER_SIZES: tuple[str, ...] = ("in_features", "out_features", "in_channels", "out_channels", "groups")
LAYER_SIZES += ("num_features", "num_channels", "num_attention_heads", "all_head_size", "normalized_shape")

#: ``{"tensors": {name: shape}, "sizes": {name: number}}``; of a network that is whole both are empty.
PrunedShapes = dict[str, dict[str, Any]]


def sizes_of(network: nn.Module) -> PrunedShapes:
    """The shape of every tensor and the size of every layer."""
    return {
        "tensors": {name: list(tensor.shape) for name, tensor in named_tensors(network)},
        "sizes": {
            f"{name}.{key}": size
            for name, module in network.named_modules()
            for key in LAYER_SIZES
            if (size := whole_size(vars(module).get(key))) is not None
        },
    }


def whole_size(value: Any) -> int | None:
    """A layer's size: a number, or that of one dimension in a tuple; None = it is neither."""
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    return int(value) if isinstance(value, int) else None


def named_tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers, those too that are not saved."""
    yield from network.named_parameters(remove_duplicate=False)
    yield from network.named_buffers(remove_duplicate=False)


def changed_shapes(before: PrunedShapes, network: nn.Module, earlier: PrunedShapes | None = None) -> PrunedShapes:
    """What must be stored of a network from which parts were cut.

    Args:
        before: ``sizes_of`` the network as it was.
        network: as it is.
        earlier: what is stored of an earlier cut.
    """
    now = sizes_of(network)
    return {
        kind: {**(earlier or {}).get(kind, {}), **{name: new for name, new in now[kind].items() if new != known[name]}}
        for kind, known in before.items()
    }


def still_there(shapes: PrunedShapes | None, network: nn.Module) -> PrunedShapes | None:
    """What is left to be stored once whole layers are gone too."""
    now = sizes_of(network)
    return (
        None
        if shapes is None
        else {kind: {n: v for n, v in part.items() if n in now[kind]} for kind, part in shapes.items()}
    )


def shrink(network: nn.Module, shapes: Mapping[str, Any]) -> None:
    """Makes the layers of a network as small as those that were saved, in place; what they hold is to be loaded.

    Raises:
        InputError: there is no such tensor or layer, or a size is larger than it was.
    """
    if set(shapes) != {"tensors", "sizes"} or not all(isinstance(part, Mapping) for part in shapes.values()):
        raise InputError("'pruned' holds no shapes of tensors and sizes of layers.")
    tensors = dict(named_tensors(network))
    for name, shape in shapes["tensors"].items():
        old = tensors.get(name)
        if old is None or not is_smaller(shape, old.shape):
            found = "there is none" if old is None else f"built with {list(old.shape)}"
            raise InputError(f"'pruned' makes the tensor '{name}' {shape}: {found}.")
        module, _, key = name.rpartition(".")
        holder, layout = network.get_submodule(module), layout_of(old)
        new = torch.empty(shape, dtype=old.dtype, device=old.device, memory_format=layout)
        if isinstance(old, nn.Parameter):
            holder.register_parameter(key, nn.Parameter(new, old.requires_grad))
        else:
            holder.register_buffer(key, new, persistent=key not in holder._non_persistent_buffers_set)
    for name, size in shapes["sizes"].items():
        module, _, key = name.rpartition(".")
        holder_of = dict(network.named_modules()).get(module)
        built = None if holder_of is None or key not in LAYER_SIZES else vars(holder_of).get(key)
        most = whole_size(built)
        if most is None or type(size) is not int or not 1 <= size <= most:
            raise InputError(f"'pruned' sets {name} to {size!r}: built with {built!r}.")
        setattr(holder_of, key, (size,) if isinstance(built, tuple) else size)


def is_smaller(shape: Any, than: torch.Size) -> bool:
    """Whether a value is a shape of as many dimensions, none of them longer."""
    if not isinstance(shape, list) or len(shape) != len(than):
        return False
    return all(type(side) is int and 1 <= side <= most for side, most in zip(shape, than, strict=True))


def layout_of(tensor: Tensor) -> torch.memory_format:
    """Channels last where a kernel is so."""
    last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last and not tensor.is_contiguous() else torch.contiguous_format
