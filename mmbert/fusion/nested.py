"""Builds one strategy inside another, for those that prepare the modalities and leave the fusion to an existing one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

import mmbert.fusion
from mmbert.core.errors import ConfigError, nearest
from mmbert.fusion.base import Fusion


def build_base(name: str, dims: Mapping[str, int], out_dim: int, options: Mapping[str, Any] | None) -> Fusion:
    """The package's strategy of that name, as ``fusion=NAME`` means it.

    Only the package's own: a saved model that names another class is loaded only when its code is trusted, but nobody
    is asked about a class that is named in an option.

    Args:
        name: of its file, such as ``concat``.
        dims: width by modality.
        out_dim: width H.
        options: further arguments; None = its defaults.

    Raises:
        ConfigError: there is no such strategy, or it has no such option.
    """
    modules = [module.name for module in pkgutil.iter_modules(mmbert.fusion.__path__)]
    kind = strategy_in(name) if name in modules else None
    if kind is None:
        known = [module for module in modules if strategy_in(module) is not None]
        raise ConfigError(f"fusion.base={name} is no strategy of the package. {nearest(name, known)}")
    try:
        return kind(dict(dims), out_dim, **dict(options or {}))  # type: ignore[call-arg]
    except TypeError as error:
        raise ConfigError(
            f"fusion.base_options={dict(options or {})} do not fit fusion.base={name}: {error}"
        ) from error


def strategy_in(module: str) -> type[Fusion] | None:
    """The strategy that a file of this folder holds, if it holds one."""
    found = importlib.import_module(f"mmbert.fusion.{module}")
    kinds = [
        kind
        for kind in vars(found).values()
        if isinstance(kind, type) and issubclass(kind, Fusion) and kind.__module__ == found.__name__
    ]
    return next((kind for kind in kinds if kind is not Fusion), None)
