"""Run folders -> one row a run, read from the files that a run leaves (docs/runs.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.core.errors import DataError
from mmbert.runs.naming import flatten, fusion_name, modalities_label, tasks_label

if TYPE_CHECKING:
    import pandas as pd

CONFIG_FILE, ENVIRONMENT_FILE, METRICS_FILE, ERROR_FILE = (
    "config.yaml",
    "environment.json",
    "metrics.json",
    "error.json",
)
PRUNED_FILE = "pruned.json"
#: folders inside a run that hold no further runs, and may hold many files
SKIPPED = {"checkpoints", "model", "plots", "predictions", "wandb", "tensorboard", ".hydra", ".git", ".venv"}


def collect(folders: Iterable[Path | str]) -> pd.DataFrame:
    """One row a run, in order of folders, with everything that is known of it.

    Columns: ``run`` (its folder), ``status`` (finished, failed, pruned, unfinished), ``reason`` (why not finished),
    ``fusion``, ``modalities``, ``seed``, ``tasks``, ``data``, ``commit``, ``dirty``, ``wall_seconds``,
    ``fit_seconds``, ``peak_memory_mib``, ``checkpoint``, ``monitor`` and what ``metrics.json`` has besides; every
    option of the config under its dotted name with ``config.`` before it; every metric under its own name, such as
    ``test/answer/accuracy``.

    Raises:
        DataError: a folder does not exist, or there is no run in any of them.
    """
    import pandas as pd

    given = [Path(folder) for folder in folders]
    for folder in given:
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder.")
    runs = list(dict.fromkeys(run for folder in given for run in find_runs(folder)))
    if not runs:
        raise DataError(
            f"No run in {', '.join(map(str, given)) or 'no folder'}: a run's folder holds {CONFIG_FILE} and "
            f"{METRICS_FILE}. Give a run's folder or any folder above it, such as outputs or multirun."
        )
    return pd.DataFrame([read_run(run) for run in runs])


def find_runs(folder: Path) -> Iterator[Path]:
    """Run folders at or below a folder, sorted; numbers in their names count as numbers (2 before 10)."""
    if is_run(folder):
        yield folder
        return
    with os.scandir(folder) as entries:
        children = [entry.name for entry in entries if entry.is_dir() and entry.name not in SKIPPED]
    for name in sorted(children, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name)):
        yield from find_runs(folder / name)


def is_run(folder: Path) -> bool:
    """A folder that a run began in: it has a config, and an environment beside it, or already metrics."""
    return (folder / CONFIG_FILE).is_file() and any(
        (folder / name).is_file() for name in (ENVIRONMENT_FILE, METRICS_FILE, ERROR_FILE)
    )


def read_run(folder: Path) -> dict[str, Any]:
    """Everything that is known of one run.

    Raises:
        DataError: a file of the run cannot be read.
    """
    config = read_yaml(folder / CONFIG_FILE)
    metrics, environment = read_json(folder / METRICS_FILE), read_json(folder / ENVIRONMENT_FILE) or {}
    git = environment.get("git") or {}
    source = git.get("package") or git.get("folder") or {}
    status, reason = state_of(folder, metrics)
    row: dict[str, Any] = {
        "run": str(folder),
        "status": status,
        "reason": reason,
        "fusion": chosen_fusion(folder, config),
        "modalities": modalities_label(config),
        "seed": config.get("seed"),
        "tasks": tasks_label(config),
        "data": chosen(folder).get("data"),
        "commit": source.get("commit"),
        "dirty": source.get("dirty"),
    }
    row |= {f"config.{key}": value for key, value in flatten(config).items()}
    if metrics is not None:
        row |= {key: value for key, value in metrics.items() if key not in row and not isinstance(value, dict)}
        checkpoint = metrics.get("checkpoint") or {}
        row |= {"checkpoint": checkpoint.get("path"), "monitor": checkpoint.get("monitor")}
    return row


def state_of(folder: Path, metrics: dict[str, Any] | None) -> tuple[str, str | None]:
    """``finished``, ``failed``, ``pruned`` (a search cut it short) or ``unfinished``, and why."""
    pruned = read_json(folder / PRUNED_FILE)
    if pruned is not None:
        return "pruned", f"cut short by the search after {pruned.get('validations')} validations"
    error = read_json(folder / ERROR_FILE)
    if error is not None:  # a new attempt takes it away; its numbers may have been written before it failed
        return "failed", f"{error.get('type')}: {error.get('message')}"
    if metrics is not None:
        return "finished", None
    return "unfinished", f"no {METRICS_FILE}: still running, or killed"


def chosen_fusion(folder: Path, config: dict[str, Any]) -> str:
    """The YAML's name (``fusion=my_variant``), which tells variants of one class apart; else the class's."""
    name = chosen(folder).get("fusion")
    overridden = any(line.lstrip("+").startswith("fusion._target_=") for line in overrides(folder))
    return str(name) if name and not overridden else fusion_name(config)


def chosen(folder: Path) -> dict[str, Any]:
    """The choice made in each config group, as Hydra noted it; empty if the run was started without Hydra."""
    path = folder / ".hydra" / "hydra.yaml"
    if not path.is_file():
        return {}
    hydra = read_yaml(path).get("hydra") or {}
    return (hydra.get("runtime") or {}).get("choices") or {}


def overrides(folder: Path) -> list[str]:
    """What was typed behind the command."""
    path = folder / ".hydra" / "overrides.yaml"
    return [str(line) for line in read_yaml(path) or []] if path.is_file() else []


def read_yaml(path: Path) -> Any:
    """A YAML file's content.

    Raises:
        DataError: it is no YAML.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON file's content, None if there is no such file.

    Raises:
        DataError: it is no JSON object.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no JSON object.")
    return content
