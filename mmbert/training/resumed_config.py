"""The config of a run that is resumed: the one that it was begun with, whatever the order of its keys."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmbert.core.errors import ConfigError, DataError
from mmbert.runs.folder import RunFolder
from mmbert.runs.job import LATER_OPTIONS, job_hash
from mmbert.training.callbacks.checkpoint import BEGUN, GOES_ON_FROM, TABLE_CONTENT, flat, free
from mmbert.training.callbacks.checkpoint_file import damaged, read_checkpoint

#: Stands for an option that is not there at all.
NOT_THERE = "not there"
#: Groups that the config of every run has.
GROUPS = ("data", "encoders", "fusion", "tasks", "optimizer", "scheduler", "trainer", "callbacks", "checkpoint")


def check_whole(cfg: DictConfig, path: Path) -> None:
    """Refuses a run's config that lacks a group which every run has.

    Raises:
        ConfigError: names the first.
    """
    for name in (*GROUPS, "store"):
        if not isinstance(cfg.get(name), DictConfig):
            raise ConfigError(f"{path} has no group '{name}', which every run has: it is damaged, or was changed.")
    for name, part in cfg.callbacks.items():
        if part is not None and not (isinstance(part, DictConfig) and isinstance(part.get("_target_"), str)):
            raise ConfigError(f"{path}: callbacks.{name} has no class (_target_): it is damaged, or was changed.")
    if "every_minutes" not in cfg.checkpoint:
        raise ConfigError(
            f"{path} has no checkpoint.every_minutes, which every run has: it is damaged, or was changed."
        )
    if not isinstance(cfg.get("logger"), DictConfig):
        raise ConfigError(f"{path}: logger is no group of options: it is damaged, or was changed.")


def resumed_config(cfg: DictConfig, run: RunFolder) -> DictConfig:
    """A resumed run's config with its keys in the order in which the run was begun.

    The order matters: encoders and tasks are built in it, and the optimiser's state counts parameters.

    Args:
        cfg: as it is read from ``config.yaml``.
        run: whose last checkpoint, if there is one, knows what it was begun with.

    Raises:
        ConfigError: an option is another than the run was begun with; names the first.
        DataError: the last checkpoint is damaged.
    """
    if not run.resumable:
        check_job(cfg, run)
        return cfg
    checkpoint = read_checkpoint(run.last_checkpoint, mmap=True)
    refuse_incomplete(checkpoint, run.last_checkpoint)
    before = checkpoint.get(BEGUN)
    if not isinstance(before, dict) or not before:  # of an earlier version
        return cfg
    now = {name: value for name, value in flat(OmegaConf.to_container(cfg, resolve=True)) if not free(name)}
    refuse_differences(now, {name: value for name, value in before.items() if name != TABLE_CONTENT}, run)
    ordered = keys_in_order(OmegaConf.to_container(cfg), list(before))
    return OmegaConf.create(ordered)


def with_processes_as_begun(cfg: DictConfig, run: RunFolder) -> DictConfig:
    """A resumed run's config with the number of processes that it was begun with.

    ``data.batch_size`` is of each of those: a config with another number would describe other steps than the run takes.

    Args:
        cfg: with which it goes on.
        run: whose ``config.yaml`` says how it was begun.
    """
    begun, found = OmegaConf.load(run.config), copy.deepcopy(cfg)
    for name in ("trainer.devices", "trainer.num_nodes", "trainer.strategy"):
        value = OmegaConf.select(begun, name)
        if value is not None:
            OmegaConf.update(found, name, value)
    return found


def refuse_incomplete(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Refuses a checkpoint without a part that Lightning would leave as it is, as if nothing had been trained.

    Raises:
        DataError: names the part.
    """
    for name in GOES_ON_FROM:
        if not isinstance(checkpoint.get(name), (dict, list)):
            raise DataError(damaged(path, f"it has no '{name}'"))


def refuse_differences(now: Mapping[str, Any], before: Mapping[str, Any], run: RunFolder) -> None:
    """Refuses options by dotted name that differ from those that a run was begun with; the type counts, too.

    Raises:
        ConfigError: names the first.
    """
    for name in sorted({*before, *now}):
        here, there = (values.get(name, LATER_OPTIONS.get(name, NOT_THERE)) for values in (now, before))
        if json.dumps(here, default=str) != json.dumps(there, default=str):
            raise ConfigError(
                f"{run.last_checkpoint} is of a run with another config: {name} is {shortened_value(here)}, but the "
                f"run was begun with {shortened_value(there)}. Put it back in {run.config}, or start a new run."
            )


def check_job(cfg: DictConfig, run: RunFolder) -> None:
    """Refuses to begin a run anew with another config than it was started with.

    Raises:
        ConfigError: the hash in ``job.json`` is that of another config.
    """
    known = run.read_job().get("hash")
    if known is not None and known != job_hash(cfg):
        raise ConfigError(
            f"{run.config} is not the config that the run was started with: {run.job} has another hash. Put it back, "
            f"or start a new run. If the change is meant, delete {run.job.name}."
        )


def keys_in_order(node: Any, names: Sequence[str]) -> Any:
    """A config's keys, at every depth, in the order of dotted names; keys that are not among them stay behind those.

    Args:
        node: plain dictionaries and lists.
        names: of options, such as ``encoders.text.frozen``.
    """
    rank: dict[str, int] = {}
    for place, name in enumerate(names):
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            rank.setdefault(".".join(parts[:depth]), place)

    def ordered(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            return value
        paths = {key: f"{path}.{key}" if path else str(key) for key in value}
        known = [rank[paths[key]] for key in value if paths[key] in rank]
        keys = list(value)
        if known != sorted(known):  # else nothing is moved, whatever stands between
            keys.sort(key=lambda key: rank.get(paths[key], math.inf))
        return {key: ordered(value[key], paths[key]) for key in keys}

    return ordered(node, "")


def shortened_value(value: Any) -> str:
    """A value as a message shows it."""
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
