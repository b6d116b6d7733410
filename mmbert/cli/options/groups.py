"""The config groups of all places where Hydra looks, and their choices."""

from __future__ import annotations

import functools

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigSource


class Groups:
    """Groups and choices, listed when they are asked for: most command lines need few of them.

    Hydra's own ``get_group_options`` composes a part of the config for every question.

    Args:
        loader: Hydra's, which knows the places.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self.loader = loader

    @functools.cached_property
    def names(self) -> list[str]:
        """The groups that have choices, less Hydra's own."""
        found = {name for source in self.loader.get_sources() for name in self._list(source, "", ObjectType.GROUP)}
        return [name for name in sorted(found) if name != "hydra" and self.options(name)]

    @staticmethod
    def _list(source: ConfigSource, path: str, kind: ObjectType) -> list[str]:
        return source.list(path, kind) if source.is_group(path) else []

    @functools.cache  # noqa: B019 (lives as long as a command line)
    def options(self, group: str) -> list[str]:
        """The choices of a group; empty for what is no group."""
        sources = self.loader.get_sources()
        return sorted({name for source in sources for name in self._list(source, group, ObjectType.CONFIG)})
