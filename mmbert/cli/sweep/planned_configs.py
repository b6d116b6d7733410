"""Configs of the jobs of a sweep: composed once, as the sweep is planned, and kept until each job starts."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, flag_override

#: Kept configs at most; one takes some 50 kB.
MOST_KEPT = 2_000
#: Before the folder of a job among its words, the last of them.
SUBDIR = "hydra.sweep.subdir="


class PlannedConfigs:
    """Hydra's config loader, as launchers use it, which remembers what was composed.

    A process that is started for a job gets none of it: there the job's config is composed anew.

    Args:
        loader: Hydra's own.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.kept: dict[tuple[str, ...], bytes] = {}

    def __getattr__(self, name: str) -> Any:
        if name == "loader":  # before pickle has put it back
            raise AttributeError(name)
        return getattr(self.loader, name)

    def __getstate__(self) -> dict[str, Any]:
        return {"loader": self.loader, "kept": {}}

    def planned(self, master: DictConfig, words: Sequence[str]) -> DictConfig:
        """The config of a job that is to come; without its folder."""
        found: DictConfig = self.loader.load_sweep_config(master, list(words))
        if len(self.kept) < MOST_KEPT:
            self.kept[tuple(words)] = pickle.dumps(found)
        return found

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """As Hydra's, by which launchers ask for a job's config; what was planned is given out once.

        Args:
            master_config: of the sweep.
            sweep_overrides: words of the job, its folder the last of them.
        """
        *words, last = sweep_overrides
        if not last.startswith(SUBDIR) or (kept := self.kept.pop(tuple(words), None)) is None:
            found: DictConfig = self.loader.load_sweep_config(master_config, sweep_overrides)
            return found
        planned: DictConfig = pickle.loads(kept)
        with flag_override(planned, ["readonly", "struct"], False):
            planned.hydra.sweep.subdir = folder_named(last)
            planned.hydra.overrides.hydra.append(last)
        OmegaConf.copy_cache(from_config=master_config, to_config=planned)
        return planned


def folder_named(word: str) -> Any:
    """The value of ``hydra.sweep.subdir=VALUE``, as Hydra reads it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(word).value()
