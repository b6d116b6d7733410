"""Tensors that are no parameters or buffers: not trained, not saved, not moved to another device."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

from torch import Tensor, nn

#: Attributes that every nn.Module has: parameters, buffers, modules, hooks; and the arguments it was built with.
MODULE_ATTRIBUTES = frozenset(vars(nn.Module())) | {"init_args"}
#: Containers inside containers are followed this far.
MAX_NESTING = 6


def hidden_tensors(module: nn.Module, skip: Collection[str] = ()) -> Iterator[tuple[str, Tensor]]:
    """Tensors in attributes, containers, closures and unregistered modules, and the path to each.

    Args:
        module: whose submodules are searched too.
        skip: names of attributes of modules that are not searched.
    """
    seen = {id(tensor) for tensor in [*module.parameters(), *module.buffers()]}  # what is registered is not hidden
    seen |= {id(getattr(part, name)) for part in module.modules() for name in skip if hasattr(part, name)}
    for prefix, part in module.named_modules():
        for name, value in vars(part).items():
            if name not in MODULE_ATTRIBUTES:
                yield from tensors_in(f"{prefix}.{name}".lstrip("."), value, seen)
        for kind in type(part).__mro__:
            if not kind.__module__.startswith("torch."):
                for name, value in vars(kind).items():
                    if isinstance(value, (Tensor, nn.Module, list, tuple, dict, set)):
                        yield from tensors_in(f"{kind.__name__}.{name}", value, seen)


def tensors_in(path: str, value: Any, seen: set[int] | None = None) -> Iterator[tuple[str, Tensor]]:
    """Tensors in whatever Python can hold them in, and the path to each; an object is looked at once.

    Args:
        path: to ``value``.
        value: where to look.
        seen: ids of objects that are passed over; those that are looked at are added.
    """
    yield from _tensors_in(path, value, set() if seen is None else seen, 0)


def _tensors_in(path: str, value: Any, seen: set[int], depth: int) -> Iterator[tuple[str, Tensor]]:
    if id(value) in seen or depth > MAX_NESTING:
        return
    if isinstance(value, Tensor):
        seen.add(id(value))
        yield path, value
    elif isinstance(value, nn.Module):
        for name, tensor in [*value.named_parameters(), *value.named_buffers()]:
            yield from _tensors_in(f"{path}.{name}", tensor, seen, depth + 1)
    else:
        for step, part in contents_of(value):
            # only containers are remembered: small ints and strings are shared, and numbers hold no tensors
            seen.add(id(value))
            yield from _tensors_in(path + step, part, seen, depth + 1)


def contents_of(value: Any) -> Iterator[tuple[str, Any]]:
    """The objects in a container, a function or a plain object, and how each is reached."""
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"[{i}]", part) for i, part in enumerate(value))
    elif isinstance(value, partial):
        name = getattr(value.func, "__name__", "a function")
        yield from ((f" (arguments of {name})", part) for part in (value.func, value.args, value.keywords))
    elif isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        for name, cell in cells:
            try:
                yield f" (a function that holds {name})", cell.cell_contents
            except ValueError:  # a name that has no value yet
                continue
    elif not isinstance(value, (type, ModuleType)) and hasattr(value, "__dict__"):
        yield from ((f".{name}", part) for name, part in vars(value).items())
