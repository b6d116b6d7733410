"""Answers a subclass that still uses an attribute's old name, which would otherwise be ignored without a word."""

from __future__ import annotations

from collections.abc import Mapping

from mmbert.core.errors import ConfigError


def refuse_renamed(kind: type, renamed: Mapping[str, str]) -> None:
    """Called by a base class for each of its subclasses, when the subclass is defined.

    Args:
        kind: the subclass; what it inherits is not looked at.
        renamed: new names by old ones.

    Raises:
        ConfigError: the subclass's own body defines an old name.
    """
    for old, new in renamed.items():
        if old in vars(kind):
            raise ConfigError(f"{kind.__module__}.{kind.__qualname__} defines '{old}', which is called '{new}' now.")
