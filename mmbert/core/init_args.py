"""A module that remembers how it was built, so that a saved model can be rebuilt from plain JSON."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmbert.core.errors import InputError, nearest
from mmbert.core.moved import current_path
from mmbert.core.working_folder import admit_working_folder, shadowed_hint


class SavesInitArgs:
    """Mixin that keeps the arguments of ``__init__``: ``module.init_args``."""

    init_args: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> SavesInitArgs:
        """Binds the arguments to the names that ``__init__`` gives them; defaults stay out."""
        self = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        try:
            bound = signature.bind_partial(self, *args, **kwargs)
        except TypeError:  # __init__ itself will raise it, with Python's own words
            return self
        given = dict(bound.arguments)
        given.pop(next(iter(signature.parameters)), None)
        for name, parameter in signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                given.update(given.pop(name, {}))
        self.init_args = given
        return self


def class_path(obj: object) -> str:
    """``package.module.Class`` of an object."""
    return f"{type(obj).__module__}.{type(obj).__qualname__}"


def find_class(path: str) -> type:
    """The class that ``package.module.Class`` names, also by a path that it had in an earlier version.

    Raises:
        InputError: the module cannot be imported or has no such class.
    """
    module_name, _, name = current_path(path).rpartition(".")
    admit_working_folder(module_name)
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"The class '{path}' cannot be imported: {error}. Is its file in the folder you stand in or installed?"
            f"{shadowed_hint(module_name)}"
        ) from error
    if not hasattr(module, name):
        classes = [n for n, value in vars(module).items() if inspect.isclass(value)]
        hint = shadowed_hint(module_name, getattr(module, "__file__", None))
        raise InputError(f"The module '{module_name}' has no class '{name}'. {nearest(name, classes)}{hint}")
    found: type = getattr(module, name)
    return found


def package_class(path: str, base: type) -> type:
    """The class of the package that ``mmbert.module.Class`` names; nothing outside the package is imported.

    Raises:
        InputError: the path leads out of the package, or to no class that is defined in it and derives from ``base``.
    """
    own = f"{__name__.partition('.')[0]}."
    found: object = find_class(path) if current_path(path).startswith(own) else None
    if not (isinstance(found, type) and found.__module__.startswith(own) and issubclass(found, base)):
        raise InputError(f"'{path}' is no {base.__name__} of the package.")
    return found


def targets_in(value: Any) -> Iterator[str]:
    """Every ``_target_`` in a config node or in a part's arguments, plain dictionaries and lists, however deep."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield str(value["_target_"])
        for inner in value.values():
            yield from targets_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from targets_in(inner)
