"""Where Hydra looks for config groups: the package, and the working folder.

``./conf/`` may hold anything. Directly in the folder only the groups that mmbert knows are looked for
(``./fusion/my_fusion.yaml`` for ``fusion=my_fusion``): a data folder with a million pictures is not a config group.
``./experiments/my_study.yaml`` is a study, ``experiment=my_study``.
Where both have a file of one name the package's wins, so a preset means the same everywhere.
"""

from __future__ import annotations

import os
from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin

import mmbert.conf
from mmbert.cli.options.help import subfolders
from mmbert.cli.sweep.plugins import register_own

PACKAGE = "mmbert.conf"
STUDY_GROUP = "experiment"


class WorkingFolderSource(FileConfigSource):
    """A folder of which only the YAML files in known groups are seen, none of its other subfolders."""

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        self.groups = subfolders(Path(mmbert.conf.__path__[0])) - {"hydra"}

    @staticmethod
    def scheme() -> str:
        """``here://FOLDER``."""
        return "here"

    def is_group(self, config_path: str) -> bool:
        """Whether the path is the folder itself or a known group in it."""
        return (not config_path or config_path in self.groups) and super().is_group(config_path)

    def is_config(self, config_path: str) -> bool:
        """Whether the path is a YAML file in the folder or in a known group."""
        return os.path.dirname(config_path) in self.groups | {""} and super().is_config(config_path)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The names of the YAML files in a group; of the folder itself, its groups."""
        if config_path and results_filter == ObjectType.GROUP:
            return []
        return super().list(config_path, results_filter)


class StudiesSource(WorkingFolderSource):
    """A folder ``experiments`` whose YAML files are studies, as those of the group ``experiment`` are."""

    @staticmethod
    def scheme() -> str:
        """``studies://FOLDER``."""
        return "studies"

    def is_group(self, config_path: str) -> bool:
        """Whether the path is the folder's place in the groups, or the top of them."""
        return config_path in ("", STUDY_GROUP)

    def is_config(self, config_path: str) -> bool:
        """Whether there is a study of this name."""
        group, _, name = config_path.partition("/")
        return group == STUDY_GROUP and "/" not in name and FileConfigSource.is_config(self, name)

    def load_config(self, config_path: str) -> ConfigResult:
        """A study."""
        return super().load_config(config_path.partition("/")[2])

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The names of the studies."""
        if config_path == "":
            return [STUDY_GROUP] if results_filter in (None, ObjectType.GROUP) else []
        names = sorted(name for name in os.listdir(self.path) if name.endswith((".yaml", ".yml")))
        return [] if results_filter == ObjectType.GROUP else [os.path.splitext(name)[0] for name in names]


class WorkingFolderSearchPath(SearchPathPlugin):
    """Adds the working folder, and what ``--config-dir`` names, after the package."""

    config_dir: str | None = None  # set while the options are being checked; hydra.main adds the folder by itself

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra while it makes its search path."""
        here = os.getcwd()
        if os.path.isdir(os.path.join(here, "conf")):
            search_path.append("mmbert", f"file://{os.path.join(here, 'conf')}")
        search_path.append("mmbert", f"here://{here}")
        if os.path.isdir(os.path.join(here, "experiments")):
            search_path.append("mmbert", f"studies://{os.path.join(here, 'experiments')}")
        if self.config_dir:
            search_path.append("command-line", f"file://{os.path.abspath(self.config_dir)}")


def add_working_folder() -> None:
    """Makes Hydra look in the working folder too. A second call changes nothing."""
    plugins = Plugins.instance()
    plugins.register(WorkingFolderSource)
    plugins.register(StudiesSource)
    plugins.register(WorkingFolderSearchPath)
    register_own(plugins)
