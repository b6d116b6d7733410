"""Which ``Modality`` an encoder or a processor reads: the object it names, or the one of its ``kind``.

``kind = "image"`` means ``MODALITY`` of ``mmbert/data/modalities/image.py``: a new file there is found by its name. A
class from elsewhere says ``modality = MyModality()`` instead.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from typing import Any

from mmbert.core.errors import ConfigError, nearest
from mmbert.data import modalities
from mmbert.data.modalities.base import Modality


def modality_of(part: Any) -> Modality:
    """The kind of input of an encoder, an encoder's class, or a processor.

    Raises:
        ConfigError: it names none, or one that does not exist.
    """
    own = getattr(part, "modality", None)
    if isinstance(own, Modality):
        return own
    name = part.__name__ if isinstance(part, type) else type(part).__name__
    if own is not None:
        raise ConfigError(f"{name}.modality must be an object of a subclass of Modality, not {own!r:.60}.")
    kind = getattr(part, "kind", None)
    if kind is None:
        raise ConfigError(f"{name} does not say what it reads: give the class kind = 'text', or a modality of its own.")
    return modality_named(kind)


def modality_named(kind: str) -> Modality:
    """The object of ``mmbert/data/modalities/KIND.py``.

    Raises:
        ConfigError: there is no such kind; names the nearest.
    """
    name = f"{modalities.__name__}.{kind}"
    module = importlib.import_module(name) if importlib.util.find_spec(name) else None
    found = getattr(module, "MODALITY", None)
    if not isinstance(found, Modality):
        raise ConfigError(
            f"There is no kind of input '{kind}'. {nearest(kind, all_kinds())} A class that reads another kind says "
            "modality = MyModality()."
        )
    return found


def all_kinds() -> list[str]:
    """The kinds of input that come with mmbert, from the files of this folder."""
    names = [module.name for module in pkgutil.iter_modules(modalities.__path__)]
    return [name for name in names if hasattr(importlib.import_module(f"{modalities.__name__}.{name}"), "MODALITY")]
