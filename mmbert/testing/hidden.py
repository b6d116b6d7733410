"""Tensors that PyTorch does not know of: not trained, not saved, not moved to another device."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

from torch import Tensor, nn

#: what every nn.Module keeps for itself, parameters, buffers, modules and hooks
OWN = frozenset(vars(nn.Module())) | {"init_args"}
DEPTH = 6


def hidden_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Tensors in attributes, containers, closures and unregistered modules, and where they are."""
    seen = {id(tensor) for tensor in [*module.parameters(), *module.buffers()]}  # what is registered is not hidden
    for prefix, part in module.named_modules():
        for name, value in vars(part).items():
            if name not in OWN:
                yield from tensors_in(f"{prefix}.{name}".lstrip("."), value, seen)
        for kind in type(part).__mro__:
            if not kind.__module__.startswith("torch."):
                for name, value in vars(kind).items():
                    if isinstance(value, (Tensor, nn.Module, list, tuple, dict, set)):
                        yield from tensors_in(f"{kind.__name__}.{name}", value, seen)


def tensors_in(path: str, value: Any, seen: set[int], depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Tensors in whatever Python can hold them in; each object is looked at once."""
    if id(value) in seen or depth > DEPTH:
        return
    if isinstance(value, Tensor):
        seen.add(id(value))
        yield path, value
    elif isinstance(value, nn.Module):
        for name, tensor in [*value.named_parameters(), *value.named_buffers()]:
            yield from tensors_in(f"{path}.{name}", tensor, seen, depth + 1)
    else:
        for step, part in parts_of(value):
            # only containers are remembered: small ints and strings are shared, and numbers hold no tensors
            seen.add(id(value))
            yield from tensors_in(path + step, part, seen, depth + 1)


def parts_of(value: Any) -> Iterator[tuple[str, Any]]:
    """What a container, a function or a plain object holds, and how one reaches it."""
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"[{i}]", part) for i, part in enumerate(value))
    elif isinstance(value, partial):
        yield from ((f" (arguments of {value.func})", part) for part in (value.func, value.args, value.keywords))
    elif isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        for name, cell in cells:
            try:
                yield f" (a function that holds {name})", cell.cell_contents
            except ValueError:  # a name that has no value yet
                continue
    elif not isinstance(value, (type, ModuleType)) and hasattr(value, "__dict__"):
        yield from ((f".{name}", part) for name, part in vars(value).items())
