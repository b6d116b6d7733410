"""Our own launchers and sweepers, made known to Hydra.

Hydra builds launchers and sweepers only from classes in the top-level package ``hydra_plugins``, which it searches at
every start. Ours live here and are registered under names of that package, so that nothing but ``mmbert`` need be
installed, and each is imported only when a sweep asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmbert.core.errors import ConfigError

if TYPE_CHECKING:
    from hydra.core.plugins import Plugins

OWN_PLUGINS = {
    "StudySweeper": "mmbert.cli.sweep.sweeper",
    "SlotsLauncher": "mmbert.cli.sweep.slots",
    "RayLauncher": "mmbert.cli.sweep.ray",
    "OptunaSweeper": "mmbert.cli.sweep.optuna",
}


class LazyPluginClasses(dict[str, Any]):
    """Hydra's classes by name, and ours, which are imported when they are looked up."""

    def __missing__(self, name: str) -> Any:
        from importlib import import_module

        module = own_module(name)
        if module is None:
            raise KeyError(name)
        try:
            return getattr(import_module(module), name.rpartition(".")[2])
        except ModuleNotFoundError as error:
            raise ConfigError(f"{error.name} is not installed: pip install 'mmbert[{error.name}]'") from error

    def keys(self) -> Any:
        """The names, ours too."""
        return [*super().keys(), *(f"hydra_plugins.mmbert.{name}" for name in OWN_PLUGINS)]


def own_module(name: object) -> str | None:
    """The module of one of our classes, by its name for Hydra."""
    package, _, last = str(name).rpartition(".")
    return OWN_PLUGINS.get(last) if package == "hydra_plugins.mmbert" else None


def register_own(plugins: Plugins) -> None:
    """Makes ``_target_: hydra_plugins.mmbert.StudySweeper`` and the like known. A second call changes nothing."""
    if not isinstance(plugins.class_name_to_class, LazyPluginClasses):
        plugins.class_name_to_class = LazyPluginClasses(plugins.class_name_to_class)
