"""Modules in the folder one stands in, for classes that are named: they are found, but stand in for nothing installed.

The folder is no part of Python's search path until a class is named that lies nowhere else, and then its last part: a
``rich.py`` or a ``hydra_plugins/`` in a folder that somebody else made is never imported by chance.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path

#: The folder of the job that is being run, should the job have changed the process's folder.
_standing_in: list[str] = []


def working_folder() -> str:
    """The folder one stands in; inside ``standing_in`` the one that is named there."""
    return _standing_in[-1] if _standing_in else os.getcwd()


@contextmanager
def standing_in(folder: str) -> Iterator[None]:
    """Inside this context ``folder`` is the working folder, whatever the process does."""
    _standing_in.append(folder)
    try:
        yield
    finally:
        _standing_in.pop()


def admit_working_folder(target: str | None = None) -> None:
    """Puts the working folder at the end of Python's search path.

    Args:
        target: ``module.Class``; nothing is done if its module is installed. None = whatever is named later.
    """
    folder = working_folder()
    if folder in sys.path or "" in sys.path or target is not None and is_installed(target.partition(".")[0]):
        return
    sys.path.append(folder)


def is_installed(name: str) -> bool:
    """Whether a top-level module is found without the working folder; a folder without ``__init__.py`` is none."""
    if name in sys.modules:
        return True
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None


def lies_here(name: str) -> bool:
    """Whether the working folder has a top-level module of this name."""
    return name.isidentifier() and PathFinder.find_spec(name, [working_folder()]) is not None


def lies_elsewhere(name: str) -> bool:
    """Whether a top-level module of this name is Python's own or lies in another folder of the search path."""
    spec = PathFinder.find_spec(name, [entry for entry in sys.path if entry not in ("", working_folder())])
    return name in sys.builtin_module_names or spec is not None and spec.origin is not None


def shadowed_hint(target: str, found: str | Path | None = None) -> str:
    """A sentence, with a space before it, for a target whose module lies here but has the name of an installed one.

    Args:
        target: ``module`` or ``module.Class``.
        found: the file of the module that is imported; None = not known.
    """
    name, folder = target.partition(".")[0], Path(working_folder())
    if not lies_here(name) or (found is not None and folder in Path(found).absolute().parents):
        return ""
    if found is None and not lies_elsewhere(name):
        return ""
    return f" The '{name}' in the folder you stand in is not used, for an installed module has that name: rename yours."
