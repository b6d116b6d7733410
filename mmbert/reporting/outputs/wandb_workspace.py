"""A study's page at W&B: a saved workspace for looking around, and a report for reading, by ``wandb-workspaces``.

Both show the runs that trackers file under the study's name, and are built without a connection; only saving needs one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmbert.core.errors import ConfigError
from mmbert.runs.wandb_session import has_key, host

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Report
    from wandb_workspaces.workspaces import Workspace

#: Axes that are no option of the config, and where all runs note them (``WandbTracker``).
LABELS = {"fusion": "labels.fusion", "modalities": "labels.modalities", "tasks": "labels.tasks"}
#: Facts of runs that quality is weighed against.
COST_COLUMNS = ("fit_seconds", "peak_memory_mib", "parameters_trained")
#: How the names of the weights of modalities begin, as a regular expression.
WEIGHT_KEYS = "^diagnostics/val/.*"
#: Runs that a panel shows; wandb's own 10 would hide most of a study.
RUNS_SHOWN = 100


@dataclass(frozen=True)
class StudyPage:
    """What is shown of a study.

    Attributes:
        name: the group of its runs.
        metric: that decides, such as ``test/answer/accuracy``.
        axes: options in which its groups differ; the runs are grouped by them, and so are all panels.
        entity: team or user; empty = the key's own.
        project: where its runs are.
        question: what it asks.
        baseline: option by option, the group that others are compared with.
    """

    name: str
    metric: str
    axes: Sequence[str]
    project: str
    entity: str = ""
    question: str = ""
    baseline: Mapping[str, Any] | None = None

    @property
    def watched(self) -> str:
        """The metric's counterpart on validation, which is there while runs train."""
        split, _, rest = self.metric.partition("/")
        return f"val/{rest}" if split.startswith("test") else self.metric

    @property
    def keys(self) -> list[str]:
        """The config's keys by which runs are grouped: the axes but the seed."""
        return [LABELS.get(axis, axis) for axis in self.axes if axis != "seed"] or ["labels.fusion"]


def workspace(page: StudyPage) -> Workspace:
    """The saved view: the study's training runs, grouped by its axes.

    Raises:
        ConfigError: wandb-workspaces is not installed.
    """
    ws, wr, expr = library()
    # the comparison that mmbert-report --wandb leaves in the group is no run of the study
    filters = [expr.Metric("Group") == page.name, expr.Metric("JobType") == "train"]
    sections = [
        ws.Section(name="Result", panels=panels_of_result(page, wr), is_open=True, pinned=True),
        ws.Section(name="Learning", panels=panels_of_learning(page, wr), is_open=True),
        ws.Section(name="Weights of modalities", panels=[wr.LinePlot(title="over val", metric_regex=WEIGHT_KEYS)]),
        ws.Section(name="Samples", panels=[wr.WeavePanelSummaryTable(table_name="samples/test")]),
    ]
    return ws.Workspace(
        entity=page.entity,
        project=page.project,
        name=f"study {page.name}",
        sections=sections,
        settings=ws.WorkspaceSettings(max_runs=RUNS_SHOWN),
        runset_settings=ws.RunsetSettings(
            filters=filters,
            groupby=[expr.Config(key) for key in page.keys],
            order=[expr.Ordering(expr.Summary(page.metric), ascending=False)],
            pinned_columns=[f"summary:{page.metric}", *map(column_name, [*page.keys, "seed"])],
        ),
    )


def study_report(page: StudyPage) -> Report:
    """The page to read: question, result and learning of the study's training runs, and the logged comparison.

    Raises:
        ConfigError: wandb-workspaces is not installed.
    """
    _, wr, expr = library()
    # without a project of its own a run set is of the report's; with one, wandb-workspaces asks the server for it
    runs = wr.Runset(
        name=page.name,
        filters=[expr.Metric("Group") == page.name, expr.Metric("JobType") == "train"],
        groupby=[f"config.{key}" for key in page.keys],
    )
    compared = wr.Runset(
        name="comparison",
        filters=[expr.Metric("Group") == page.name, expr.Metric("JobType") == "report"],
    )
    tables = [wr.WeavePanelSummaryTable(table_name=f"report/{name}") for name in ("summary", "comparisons")]
    against = ", ".join(f"{key}={value}" for key, value in (page.baseline or {}).items())
    decided_by = f"Decided by {page.metric}; compared by {', '.join(page.axes)}" + (
        f"; baseline {against}." if against else "."
    )
    blocks = [
        *([wr.P(page.question)] if page.question else []),
        wr.P(decided_by),
        wr.H2("Result"),
        wr.PanelGrid(runsets=[runs], panels=panels_of_result(page, wr)),
        wr.H2("Learning"),
        wr.PanelGrid(runsets=[runs], panels=panels_of_learning(page, wr)),
        wr.H2("Comparison"),
        wr.P("Logged by mmbert-report --wandb: intervals, and tests against the baseline."),
        wr.PanelGrid(runsets=[compared], panels=tables),
    ]
    title = f"Study {page.name}"[:128]  # wandb takes no more letters
    return wr.Report(project=page.project, entity=page.entity, title=title, description=page.question, blocks=blocks)


def column_name(key: str) -> str:
    """The table's column of an option; W&B keeps each option of the first level in an envelope called ``value``."""
    first, *rest = key.split(".")
    return "config:" + ".".join([first, "value", *rest])


def panels_of_result(page: StudyPage, wr: Any) -> list[Any]:
    """The metric by group, with the spread over seeds, and against what it costs."""
    bars = wr.BarPlot(
        title=page.metric,
        metrics=[wr.SummaryMetric(page.metric)],
        groupby_aggfunc="mean",
        groupby_rangefunc="stddev",
        max_runs_to_show=RUNS_SHOWN,
    )
    return [
        bars,
        *(
            wr.ScatterPlot(title=f"against {cost}", x=wr.SummaryMetric(cost), y=wr.SummaryMetric(page.metric))
            for cost in COST_COLUMNS
        ),
    ]


def panels_of_learning(page: StudyPage, wr: Any) -> list[Any]:
    """Validation by step, a line a group with the spread over seeds."""
    return [
        wr.LinePlot(
            title=name,
            y=[name],
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
            max_runs_to_show=RUNS_SHOWN,
        )
        for name in dict.fromkeys((page.watched, "val/loss"))
    ]


def stored_form(page: StudyPage) -> dict[str, Any]:
    """Both as W&B stores them, as plain data; the ids in them are made anew each time.

    Raises:
        ConfigError: wandb-workspaces is not installed.
    """
    made: dict[str, Any] = {"workspace": workspace(page), "report": study_report(page)}
    return {
        name: one._to_model().model_dump(mode="json", by_alias=True, exclude_none=True) for name, one in made.items()
    }


def save_pages(page: StudyPage) -> dict[str, str]:
    """Saves both as new ones; the address of each.

    Raises:
        ConfigError: wandb-workspaces is not installed, there is no key, or the server refuses.
    """
    library()
    if not has_key():
        raise ConfigError(
            f"Saving needs the server, and there is no key for {host()}. Set WANDB_API_KEY or run 'wandb login'; "
            "--dry-run shows without a key what would be saved."
        )
    import wandb

    try:
        found = page if page.entity else StudyPage(**{**vars(page), "entity": wandb.Api().default_entity or ""})
        saved = {"workspace": workspace(found).save(), "report": study_report(found).save()}
        return {name: str(one.url) for name, one in saved.items()}
    except Exception as error:  # of wandb, of GraphQL, of the connection: a message is all that there is to it
        where = f"{page.entity or 'your entity'}/{page.project}"
        raise ConfigError(
            f"{host()} did not save the study's page in {where}: {error}. Is --project right, and has it runs?"
        ) from error


def library() -> tuple[Any, Any, Any]:
    """wandb-workspaces: its workspaces, its reports and its expressions.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import wandb_workspaces.expr as expr
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
    except ModuleNotFoundError as error:
        raise ConfigError("This needs wandb-workspaces: pip install 'mmbert[workspaces]'") from error
    return ws, wr, expr
