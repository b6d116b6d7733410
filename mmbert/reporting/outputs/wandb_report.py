"""A comparison as a W&B run of its own, in the group of the runs that it compares."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.reporting.collect import readable
from mmbert.reporting.outputs.page.build import page_with_sections
from mmbert.reporting.report import RunsReport
from mmbert.reporting.statistics.compare import Comparison
from mmbert.reporting.tables import results_table
from mmbert.runs.folder import RunFolder
from mmbert.runs.naming import group_name
from mmbert.runs.wandb_session import begin, choose_mode

if TYPE_CHECKING:
    import pandas as pd

JOB_TYPE = "report"
#: The project of runs that name none, or several.
PROJECT = "mmbert"
#: What the user may set to be offline.
OPTION = "WANDB_MODE"


def log_report(
    report: RunsReport, folder: Path, project: str | None = None, entity: str | None = None, files: Sequence[Path] = ()
) -> str:
    """Tables, figures and, where there are any, files of a report as one run; offline by itself without a key.

    The run has ``report/summary`` (a row a group), ``report/comparisons``, ``report/runs`` (a row a run) and
    ``report/contributions`` as tables, what the page draws under ``figures/``, and in its summary what each group's
    mean is.

    Args:
        report: what is logged.
        folder: where ``wandb/`` goes; it must exist.
        project: None = that of the runs' config, ``mmbert`` if they do not agree on one.
        entity: a team or user; None = that of the runs' config, else the key's own.
        files: kept as an artifact.

    Returns:
        Where the run is, in words.

    Raises:
        ConfigError: WANDB_MODE is unknown, or ``online`` without a key, or the server refuses the key.
    """
    mode, reason = choose_mode(None, OPTION)
    if mode == "disabled":
        return "wandb: switched off by the environment (WANDB_MODE or WANDB_DISABLED), nothing is logged"
    group = group_of(report)
    options: dict[str, Any] = {
        "project": project or shared(report.runs, "config.logger.project") or PROJECT,
        "entity": entity or shared(report.runs, "config.logger.entity"),
        "name": f"report {group or report.metric}",
        "group": group,
        "job_type": JOB_TYPE,
        "tags": [JOB_TYPE, f"metric:{report.metric}"[:64]],  # wandb takes 64 letters
    }
    run = begin(mode, options, folder, OPTION)
    failed = True
    try:
        run.config.update(facts_of(report))
        run.log({**tables_of(report), **figures_of(report)})
        run.summary.update(summary_of(report))
        if files:
            keep(run, files)
        failed = False
    finally:
        offline, url, place = run.settings._offline, run.url, Path(run.dir).parent
        run.finish(exit_code=int(failed))
    return f"wandb: offline{reason}. To upload later: wandb sync {place}" if offline else f"wandb: {url}"


def group_of(report: RunsReport) -> str | None:
    """What the compared runs are filed under, if it is the same for all."""
    names = set()
    for run in readable(report.runs)["run"]:
        config = RunFolder(run).read_config()
        logger = config.get("logger")
        own = logger.get("group") if isinstance(logger, Mapping) else None
        names.add(own or group_name(config, Path(run)))
    return names.pop() if len(names) == 1 else None


def shared(runs: pd.DataFrame, column: str) -> str | None:
    """An option's value, if all runs that name one name the same."""
    values = set(runs[column].dropna()) if column in runs else set()
    return str(values.pop()) if len(values) == 1 else None


def facts_of(report: RunsReport) -> dict[str, Any]:
    """What was compared, and how."""
    return {
        "metric": report.metric,
        "by": list(report.by),
        "baseline": report.baseline,
        "runs": len(report.runs),
        "finished": int((report.runs["status"] == "finished").sum()),
        "notes": list(report.notes),
        "sentences": list(report.sentences),
        "study": {key: table_value(value) for key, value in report.study.items()},
    }


def tables_of(report: RunsReport) -> dict[str, Any]:
    """The report's tables; one without a row is left out."""
    import wandb

    made = {"summary": frame(report.summary), "runs": frame(results_table(report.runs))}
    names = [one.name for one in fields(Comparison)]
    rows = [[table_value(getattr(one, name)) for name in names] for one in report.comparisons]
    sentences = report.sentences if len(report.sentences) == len(rows) else [None] * len(rows)
    made["comparisons"] = ([*names, "sentence"], [[*row, one] for row, one in zip(rows, sentences, strict=True)])
    made["contributions"] = (
        ["modality", "mean", "std", "seeds"],
        [[one.modality, table_value(one.mean), table_value(one.std), len(one.values)] for one in report.contributions],
    )
    return {
        f"report/{name}": wandb.Table(columns=list(head), data=rows, allow_mixed_types=True)
        for name, (head, rows) in made.items()
        if rows
    }


def figures_of(report: RunsReport) -> dict[str, Any]:
    """What the page draws, by caption."""
    import wandb
    from plotly.graph_objects import Figure

    page = page_with_sections(report)
    made: dict[str, Any] = {}
    for caption, figure in zip(page.captions, page.figures, strict=True):
        name = re.sub(r"[^\w.+-]+", "_", caption).strip("_") or "figure"
        while f"figures/{name}" in made:
            name += "_"
        titled = {**figure["layout"], "title": {"text": caption}}
        made[f"figures/{name}"] = wandb.Plotly(Figure(data=figure["data"], layout=titled))
    return made


def summary_of(report: RunsReport) -> dict[str, Any]:
    """``METRIC/GROUP/mean`` and ``/std``, so that reports can be listed and sorted by them; and which group is best."""
    summary: dict[str, Any] = {"best": str(report.summary.iloc[0]["group"])}
    for line in report.summary.to_dict("records"):
        for stat in ("mean", "std"):
            summary[f"{report.metric}/{line['group']}/{stat}"] = table_value(line[stat])
    return summary


def keep(run: Any, files: Sequence[Path]) -> None:
    """The report's files as an artifact."""
    import wandb

    artifact = wandb.Artifact(f"report-{run.id}", type=JOB_TYPE)
    for path in files:
        artifact.add_file(str(path), name=path.name)
    run.log_artifact(artifact)


def frame(table: pd.DataFrame) -> tuple[list[str], list[list[Any]]]:
    """A data frame as head and rows of plain values."""
    return [str(name) for name in table.columns], [
        [table_value(cell) for cell in row] for row in table.to_numpy().tolist()
    ]


def table_value(value: Any) -> Any:
    """A value as JSON has it: NumPy's scalars as Python's own, NaN as nothing, and all else as words."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, Mapping):
        return {str(key): table_value(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return ", ".join(str(one) for one in value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
