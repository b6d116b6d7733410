"""Run folders -> one row a run, read from the files that a run leaves (docs/runs.md)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.core.errors import DataError
from mmbert.runs.folder import RunFolder
from mmbert.runs.history import read_history
from mmbert.runs.naming import flatten, fusion_name, modalities_label, tasks_label
from mmbert.runs.predictions_file import read_table_of_predictions

if TYPE_CHECKING:
    import pandas as pd

#: The status of a run with a damaged file.
#: Config groups that have a column of their own, or on which no result depends.
WITHOUT_COLUMN = ("data", "tasks", "fusion", "modalities", "experiment", "debug", "logger", "callbacks")
UNREADABLE = "unreadable"


def collect(folders: Iterable[Path | str]) -> pd.DataFrame:
    """One row a run, in order of folders, with everything that is known of it.

    Columns: ``run`` (its folder), ``status`` (finished, failed, pruned, unfinished, unreadable), ``reason`` (why not
    finished), of an unreadable one nothing more;
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
            f"No run in {', '.join(map(str, given)) or 'no folder'}: a run's folder holds {RunFolder('').config} and "
            f"{RunFolder('').metrics}. Give a run's folder or any folder above it, such as outputs or multirun."
        )
    return pd.DataFrame([read_run_or_why_not(run) for run in runs])


def find_runs(folder: Path) -> Iterator[Path]:
    """Run folders at or below a folder, sorted; numbers in their names count as numbers (2 before 10)."""
    run = RunFolder(folder)
    if run.exists or run.metrics.is_file():  # a finished run whose config is gone is one to be named, too
        yield folder
        return
    try:
        with os.scandir(folder) as entries:
            children = [entry.name for entry in entries if entry.is_dir() and entry.name not in run.WITHOUT_RUNS]
    except OSError as error:
        raise DataError(f"{folder} cannot be looked into: {error.strerror or error}.") from error
    for name in sorted(children, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name)):
        yield from find_runs(folder / name)


def read_run_or_why_not(folder: Path) -> dict[str, Any]:
    """``read_run``; of a run with a damaged file only its folder and the reason, so that it stops no report."""
    try:
        row = read_run(folder)
        RunFolder(folder).read_job()
        RunFolder(folder).read_overrides()
        if row["status"] == "finished":
            check_finished_run(RunFolder(folder))
    except DataError as error:
        return {"run": str(folder), "status": UNREADABLE, "reason": str(error)}
    return row


def check_finished_run(run: RunFolder) -> None:
    """Reads the files of a finished run that a report may go back to.

    Raises:
        DataError: one is damaged.
    """
    run.read_diagnostics()
    run.read_robustness()
    if run.history.is_file():
        read_history(run.history)
    for path in sorted(run.predictions.glob("*.parquet")):
        read_table_of_predictions(path)


def readable(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``collect`` without those of unreadable runs."""
    return runs[runs["status"] != UNREADABLE]


def read_run(folder: Path) -> dict[str, Any]:
    """Everything that is known of one run.

    Raises:
        DataError: a file of the run cannot be read.
    """
    run = RunFolder(folder)
    config, metrics, choices = run.read_config(), run.read_metrics(), run.read_choices()
    git = run.read_environment().get("git") or {}
    source = git.get("package") or git.get("folder") or {}
    status, reason = state_of(run, metrics)
    row: dict[str, Any] = {
        "run": str(folder),
        "status": status,
        "reason": reason,
        "fusion": chosen_fusion(run, choices, config),
        "modalities": modalities_label(config),
        "seed": config.get("seed"),
        "tasks": tasks_label(config),
        "data": choices.get("data"),
        "commit": source.get("commit"),
        "dirty": source.get("dirty"),
    }
    row |= {f"config.{key}": value for key, value in flatten(config).items()}
    row |= {f"config.{key}": value for key, value in chosen_nodes(choices, config).items()}
    if metrics is not None:
        row |= {key: value for key, value in metrics.items() if key not in row and not isinstance(value, dict)}
        checkpoint = metrics.get("checkpoint") or {}
        row |= {"checkpoint": checkpoint.get("path"), "monitor": checkpoint.get("monitor")}
    return row


def state_of(run: RunFolder, metrics: dict[str, Any] | None) -> tuple[str, str | None]:
    """``finished``, ``failed``, ``pruned`` (a search cut it short) or ``unfinished``, and why."""
    pruned = run.read_pruned()
    if pruned is not None:
        return "pruned", f"cut short by the search after {pruned.get('validations')} validations"
    error = run.read_error()
    if error is not None:  # a new attempt takes it away; its numbers may have been written before it failed
        return "failed", f"{error.get('type')}: {error.get('message')}"
    if metrics is not None:
        return "finished", None
    return "unfinished", f"no {run.metrics.name}: still running, or killed"


def chosen_nodes(choices: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """Nodes of a config -> the YAML that each was begun with: ``balance``: ``upgrad``, ``tasks.topic``: ``ordinal``.

    So runs can be grouped by what was swept (``balance=fixed,upgrad``). Groups with a column of their own, and what
    results do not depend on, are left out.
    """
    found = {}
    for group, choice in choices.items():
        name, _, package = group.partition("@")
        if not isinstance(choice, str) or name in WITHOUT_COLUMN or name.startswith("hydra/"):
            continue
        place = (package or name).removeprefix("_global_.")
        for path in (place, f"encoders.{place}"):
            node: Any = config
            for part in path.split("."):
                node = node.get(part) if isinstance(node, Mapping) else None
            if isinstance(node, Mapping):
                found[path] = choice
    return found


def chosen_fusion(run: RunFolder, choices: Mapping[str, Any], config: dict[str, Any]) -> str:
    """The YAML's name (``fusion=my_variant``), by which variants of one class differ; else the class's."""
    name = choices.get("fusion")
    overridden = any(line.lstrip("+").startswith("fusion._target_=") for line in run.read_overrides())
    return str(name) if name and not overridden else fusion_name(config)
