"""What stands on the page of a report, part by part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.reporting.collect import UNREADABLE, readable
from mmbert.reporting.outputs.markdown import command_of, contribution_note, environment_text
from mmbert.reporting.outputs.page import figures
from mmbert.reporting.outputs.page.html import Cell, Page, choice
from mmbert.reporting.outputs.page.robustness import robustness_section, text_table
from mmbert.reporting.outputs.page.weights import weights_section
from mmbert.reporting.outputs.sharing_tables import sharing_tables
from mmbert.reporting.report import RunsReport, name_of
from mmbert.reporting.statistics.classification import ClassificationResults, classification_results
from mmbert.reporting.statistics.curves import learning_curve, mean_group_ranks
from mmbert.reporting.statistics.hardest import HardSample, hardest
from mmbert.reporting.statistics.summary import column_of, grouped, is_error
from mmbert.reporting.tables import number_text
from mmbert.runs.folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

#: How many of the hardest samples are shown.
HARDEST = 12
#: Facts of runs that quality is plotted against, where runs have them: name in metrics.json -> how it is called.
COST_FACTS = {
    "parameters_trained": "trained parameters",
    "flops_forward": "FLOPs of one sample, forward",
    "step_milliseconds": "milliseconds a training step",
    "fit_seconds": "seconds of training",
    "peak_memory_mib": "peak memory, MiB",
}


def html_page(report: RunsReport) -> str:
    """The whole page as HTML."""
    return page_with_sections(report).html(footer(report))


def page_with_sections(report: RunsReport) -> Page:
    """What the page holds: its parts, and the figures in them."""
    made = Page(str(report.study.get("name") or report.metric))
    members = groups_of(report)
    made.add("summary", "Summary", *summary_section(made, report, members))
    made.add("shown", "What is shown", sentences_list(report), comparisons_section(made, report))
    made.add("modalities", "Modalities", modalities_section(made, report))
    made.add("sharing", "Gain by sharing", *sharing_section(made, report))
    made.add("robustness", "Robustness", *robustness_section(made, report))
    made.add(
        "weights", "Weights of modalities", *weights_section(made, folders(members), report.metric.partition("/")[0])
    )
    made.add("learning", "Learning", learning_section(made, report, members))
    made.add("cost", "Quality and cost", costs_section(made, report, members))
    made.add("classes", "Classes", classes_section(made, report, members))
    made.add("samples", "Hardest samples", samples_section(report, members))
    made.add("runs", "Every run", runs_section(made, report))
    return made


def sharing_section(made: Page, report: RunsReport) -> list[str]:
    """A table for each group of runs with several tasks."""
    shown = sharing_tables(report.sharing)
    return [f"<h3>{escape(one.title)}</h3>" + text_table(made, one, 2) for one in shown]


def groups_of(report: RunsReport) -> dict[str, pd.DataFrame]:
    """The finished runs of each group, best group first."""
    done = report.runs[(report.runs["status"] == "finished") & report.runs[report.metric].notna()]
    members = {name_of(values): part for values, part in grouped(done, [column_of(key, done) for key in report.by])}
    return {name: members[name] for name in report.summary["group"]}


def folders(members: Mapping[str, pd.DataFrame]) -> dict[str, list[Path]]:
    """The runs' folders by group."""
    return {name: [Path(run) for run in part["run"]] for name, part in members.items()}


def by_seed(members: Mapping[str, pd.DataFrame], metric: str) -> dict[str, dict[int, float]]:
    """The metric by group and seed; a run without a seed counts by its place."""
    return {
        name: {
            int(seed) if seed == seed and seed is not None else place: float(value)
            for place, (seed, value) in enumerate(zip(part["seed"], part[metric], strict=True))
        }
        for name, part in members.items()
    }


def summary_section(made: Page, report: RunsReport, members: Mapping[str, pd.DataFrame]) -> list[str]:
    """The table of groups, their seeds and ranks as plots, and what must be known beside them."""
    head = [*report.by, "n", "mean", "std", "95 % interval (t)", "bootstrap (BCa)", "least", "most"]
    rows = []
    for line in report.summary.to_dict("records"):
        t_interval, boot = (f"{number_text(a)} … {number_text(b)}" if a == a else "–" for a, b in intervals_of(line))
        cells = [Cell(str(line[key])) for key in report.by]
        cells += [Cell(str(line["n"]), line["n"]), numeric(line["mean"]), numeric(line["std"])]
        rows.append(
            [
                *cells,
                Cell(t_interval, line["low"]),
                Cell(boot, line["boot_low"]),
                numeric(line["min"]),
                numeric(line["max"]),
            ]
        )
    values = by_seed(members, report.metric)
    ends = {line["group"]: (line["low"], line["high"]) for line in report.summary.to_dict("records")}
    ranked = mean_group_ranks(values, not is_error(report.metric)) if len(values) > 1 else {}
    plots = made.plot(
        figures.scores_figure(values, ends, report.metric), "Points are seeds; diamonds means with t intervals"
    )
    plots += made.plot(figures.ranks_figure(ranked), "Mean rank over the seeds that all have") if ranked else ""
    question = report.study.get("question")
    return [
        f"<p>{escape(str(question))}</p>" if question else "",
        f'<p class="soft">{escape(report.metric)}</p>',
        made.table(head, rows, len(report.by), filtered=True),
        f'<div class="plots">{plots}</div>',
        "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in report.notes) + "</ul>",
    ]


def intervals_of(line: Mapping[str, Any]) -> list[tuple[float, float]]:
    """The two intervals of a group."""
    return [(line["low"], line["high"]), (line["boot_low"], line["boot_high"])]


def sentences_list(report: RunsReport) -> str:
    """The sentences, those that show something marked."""
    items = []
    for one, sentence in zip(report.comparisons, report.sentences, strict=True):
        clear = one.p_holm < 0.05
        mark = ("better" if one.difference * one.better > 0 else "worse") if clear else ""
        items.append(f'<li class="{mark}">{escape(sentence)}</li>')
    return f'<ul class="shown">{"".join(items)}</ul>' if items else ""


def comparisons_section(made: Page, report: RunsReport) -> str:
    """The tests as a table."""
    if not any(one.pairs > 1 for one in report.comparisons):
        return ""
    head = [
        f"against {report.baseline}",
        "seeds",
        "difference",
        "95 % interval",
        "p (t)",
        "p (Holm)",
        "p (sign flips)",
        "g",
    ]
    rows = [
        [
            Cell(one.group),
            Cell(str(one.pairs), one.pairs),
            Cell(f"{one.difference:+.4f}", one.difference),
            Cell(f"{one.low:+.4f} … {one.high:+.4f}", one.low),
            *(Cell(f"{p:.2g}", p) for p in (one.p, one.p_holm, one.p_flips)),
            Cell(f"{one.effect:+.2f}", one.effect),
        ]
        for one in report.comparisons
        if one.pairs > 1
    ]
    return made.table(head, rows)


def modalities_section(made: Page, report: RunsReport) -> str:
    """What each modality contributes."""
    if not report.contributions:
        return ""
    plot = made.plot(
        figures.contributions_figure(report.contributions, report.metric), "Shapley values, means and seeds"
    )
    return f'<p class="soft">{escape(contribution_note(report))}</p><div class="plots">{plot}</div>'


def learning_section(made: Page, report: RunsReport, members: Mapping[str, pd.DataFrame]) -> str:
    """Curves of the metric that chose the checkpoints, and of the validation loss."""
    plots = ""
    monitors = [str(name) for name in report.runs.get("monitor", ()) if isinstance(name, str)]
    for metric in dict.fromkeys([*monitors[:1], "val/loss", "train/loss"]):
        curves = {
            name: [(run.name, points) for run in runs_ if (points := learning_curve(run, metric))]
            for name, runs_ in folders(members).items()
        }
        if any(curves.values()):
            plots += made.plot(figures.learning_curves_figure(curves, metric), f"{metric}, a line a run")
    return f'<div class="plots">{plots}</div>' if plots else ""


def costs_section(made: Page, report: RunsReport, members: Mapping[str, pd.DataFrame]) -> str:
    """Quality against what it costs; the Pareto front is blue."""
    plots = ""
    for fact, called in COST_FACTS.items():
        points = {
            name: (float(part[fact].astype(float).mean()), float(part[report.metric].mean()))
            for name, part in members.items()
            if fact in part and part[fact].notna().all()
        }
        figure = figures.quality_against(called, points, report.metric, not is_error(report.metric))
        plots += made.plot(figure, f"{called}; blue = nothing is both cheaper and better")
    return f'<div class="plots">{plots}</div>' if plots else ""


def classes_section(made: Page, report: RunsReport, members: Mapping[str, pd.DataFrame]) -> str:
    """ROC, calibration, confusions and the table of classes, for the task of the metric, over all seeds of a group."""
    split, _, rest = report.metric.partition("/")
    task = rest.rpartition("/")[0]
    known: dict[str, ClassificationResults] = {
        name: found
        for name, runs_ in folders(members).items()
        if (found := classification_results(runs_, split, task)) is not None
    }
    if not known:
        return ""
    plots = made.plot(figures.roc_figure(known), f"ROC of {task}, micro average (area)")
    plots += made.plot(figures.calibration_figure(known), f"Reliability of {task} (expected calibration error)")
    plots += made.plot(figures.risk_coverage_figure(known), f"Risk and coverage of {task} (area under the curve)")
    options = []
    for name, found in known.items():
        rows = [
            [
                Cell(str(row["class"])),
                *(numeric(row[key]) for key in ("precision", "recall", "f1")),
                Cell(f"{row['support']:,}", row["support"]),
            ]
            for row in found.by_class()
        ]
        table = made.table(["class", "precision", "recall", "F1", "samples"], rows)
        matrix = made.plot(figures.confusion_figure(found), f"{name}: answers by truth, all seeds together", tall=True)
        options.append((name, f'<div class="plots">{matrix}</div>{table}'))
    return f'<div class="plots">{plots}</div><h3>Confusions</h3>{choice("confusion", "of", options)}'


def samples_section(report: RunsReport, members: Mapping[str, pd.DataFrame]) -> str:
    """The samples that most runs have wrong."""
    split, _, rest = report.metric.partition("/")
    task = rest.rpartition("/")[0]
    found = hardest(folders(members), split, task, HARDEST) if task else []
    found = [sample for sample in found if sample.right < 1]
    if not found:
        return ""
    return (
        f'<p class="soft">The {len(found)} samples of {escape(split)} that the fewest runs have right, with the most '
        f'frequent answer of each group.</p><div class="cards">{"".join(map(sample_card, found))}</div>'
    )


def sample_card(sample: HardSample) -> str:
    """One sample with what it is made of."""
    parts = []
    for name, how, value in sample.parts:
        if how == "image" and value.startswith("data:"):
            parts.append(f'<img src="{escape(value, quote=True)}" alt="{escape(name, quote=True)}">')
        elif how == "audio" and value.startswith("data:"):
            parts.append(f'<audio controls preload="metadata" src="{escape(value, quote=True)}"></audio>')
        elif how == "text" and value != "missing":
            parts.append(f"<p>{escape(value)}</p>")
        else:
            parts.append(f'<p class="soft">{escape(name)}: {escape(value)}</p>')
    answers = "".join(
        f"<dt>{escape(group)}</dt><dd{' class=right' * is_right(answer, sample.truth)}>{escape(answer)}</dd>"
        for group, answer in sample.answers.items()
    )
    truth = f"<dt>truth</dt><dd><b>{escape(sample.truth)}</b></dd>"
    head = f'<span class="soft">row {sample.row}, {sample.right:.0%} of the runs are right</span>'
    return f'<article class="card">{head}{"".join(parts)}<dl>{truth}{answers}</dl></article>'


def is_right(answer: str, truth: str) -> bool:
    """Whether an answer, which may be followed by how many runs gave it, is the label."""
    return answer.partition(" (")[0] == truth


def runs_section(made: Page, report: RunsReport) -> str:
    """A row a run: where its numbers come from, and the command that makes it again; failed ones and why."""
    metrics = [name for name in report.runs.columns if name.startswith("test/") and not name.endswith("/loss")]
    metrics = [report.metric, *[name for name in metrics if name != report.metric]][:6]
    head = [
        "run",
        *report.by,
        "status",
        "seed",
        *metrics,
        "minutes",
        "commit",
        "config",
        "checkpoint",
        "data",
        "command",
    ]
    rows = []
    for line in report.runs.to_dict("records"):
        run = Path(line["run"])
        state = line["status"] if line["status"] == "finished" else f"{line['status']}: {line['reason']}"
        keys = [Cell(str(line.get(key, line.get(f"config.{key}")))) for key in report.by]
        seconds = line.get("wall_seconds")
        commit = str(line.get("commit") or "–")[:9] + ("+" if line.get("dirty") is True else "")
        known = line["status"] != UNREADABLE
        job = RunFolder(run).read_job() if known else {}
        rows.append(
            [
                Cell(line["run"]),
                *keys,
                Cell(state),
                numeric(line.get("seed"), "{:.0f}"),
                *(numeric(line.get(name)) for name in metrics),
                numeric(None if seconds is None else seconds / 60, "{:.1f}"),
                Cell(commit, code=True),
                Cell(str(job.get("hash") or "–"), code=True),
                Cell(str(line.get("checkpoint") or "–"), code=True),
                Cell(str(line.get("data_fingerprint") or "–"), code=True),
                Cell(command_of(run) if known else "–", code=True),
            ]
        )
    return made.table(head, rows, 2 + len(report.by), filtered=True)


def numeric(value: Any, form: str = "") -> Cell:
    """A number, or a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Cell("–")
    return Cell(form.format(value) if form else number_text(value), float(value))


def footer(report: RunsReport) -> str:
    """Machines and versions."""
    known_words: dict[str, None] = {}
    for run in readable(report.runs)["run"]:
        words: Sequence[str] = [environment_text(RunFolder(run).read_environment())]
        known_words |= dict.fromkeys(word for word in words if word)
    return " · ".join(known_words)
