"""A report as a Markdown page and as a table for a paper."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.core.shown_text import markdown_code, markdown_text, printable
from mmbert.reporting.collect import UNREADABLE, readable
from mmbert.reporting.outputs.robustness_tables import text_tables
from mmbert.reporting.outputs.sharing_tables import sharing_tables
from mmbert.reporting.report import RunsReport
from mmbert.reporting.statistics.compare import p_value_text
from mmbert.reporting.tables import Code, markdown_table, number_text, summary_table
from mmbert.runs.folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

#: How LaTeX prints what it would take for an order.
LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
}


def markdown_page(report: RunsReport) -> str:
    """The whole page."""
    parts = [f"# {markdown_text(report.study.get('name') or report.metric)}\n"]
    if report.study.get("question"):
        parts.append(f"**Question.** {markdown_text(report.study['question'])}\n")
    parts += [
        f"{markdown_code(report.metric)}, by {markdown_text(', '.join(report.by))}:\n",
        markdown_table(*summary_table(report.summary, report.metric)),
    ]
    parts += ["".join(f"- {markdown_text(note)}\n" for note in report.notes)]
    if report.comparisons:
        parts += [f"## Compared with {markdown_text(report.baseline)}\n", comparison_table(report), comparison_note()]
    if report.sentences:
        parts.append("".join(f"- {markdown_text(sentence)}\n" for sentence in report.sentences))
    if report.contributions:
        parts += ["## What each modality contributes\n", contribution_table(report), contribution_note(report)]
    for one in [*sharing_tables(report.sharing), *text_tables(report.robustness, report.metric)]:
        parts += [f"## {one.title}\n", markdown_table(one.head, one.rows), one.note and f"{markdown_text(one.note)}\n"]
    parts += ["## How it was run\n", provenance(report.runs), "## Every run\n", trace_table(report)]
    return "\n".join(part for part in parts if part)


def comparison_table(report: RunsReport) -> str:
    """A row a comparison."""
    head = ["", "seeds", "difference", "95 % interval", "p (t)", "p (Holm)", "p (sign flips)", "g"]
    rows = []
    for one in report.comparisons:
        interval = "–" if math.isnan(one.low) else f"{one.low:+.4f} … {one.high:+.4f}"
        p_values = ["–" if math.isnan(p) else p_value_text(p) for p in (one.p, one.p_holm, one.p_flips)]
        effect = "–" if math.isnan(one.effect) else f"{one.effect:+.2f}"
        difference = "–" if math.isnan(one.difference) else f"{one.difference:+.4f}"
        rows.append([one.group, str(one.pairs), difference, interval, *p_values, effect])
    return markdown_table(head, rows)


def comparison_note() -> str:
    """What the columns are."""
    return (
        "Differences are taken seed by seed. The interval and p (t) are those of the paired t test. p (Holm) is "
        "corrected for the number of comparisons. p (sign flips) is exact, and at least 2/2ⁿ with n seeds. g is "
        "Hedges' g of the differences.\n"
    )


def contribution_table(report: RunsReport) -> str:
    """A row a modality, the largest contribution first."""
    ordered = sorted(report.contributions, key=lambda one: -abs(one.mean))
    rows = [[one.modality, mean_and_deviation(one.mean, one.std), str(len(one.values))] for one in ordered]
    return markdown_table(["modality", f"Shapley value of {report.metric}", "seeds"], rows)


def mean_and_deviation(mean: float, std: float) -> str:
    """Mean and standard deviation of a difference."""
    return f"{mean:+.4f}" if math.isnan(std) else f"{mean:+.4f} ± {std:.4f}"


def contribution_note(report: RunsReport) -> str:
    """What the values add up to."""
    first = report.contributions[0]
    total = sum(one.mean for one in report.contributions)
    return (
        f"Exact Shapley values over models trained on every subset; they add up to {total:+.4f}, what the full model "
        f"({number_text(first.full)}) has over the best constant answer ({number_text(first.empty)}).\n"
    )


def provenance(runs: pd.DataFrame) -> str:
    """Machine, date and versions, from the runs' own records."""
    machines: dict[str, None] = {}
    for run in readable(runs)["run"]:
        environment = RunFolder(run).read_environment()
        machines[environment_text(environment)] = None
    return "".join(f"- {markdown_text(line)}\n" for line in machines if line)


def environment_text(environment: dict[str, Any]) -> str:
    """One environment in a sentence."""
    if not environment:
        return ""
    packages = environment.get("packages") or {}
    wanted = ("torch", "pytorch-lightning", "transformers", "timm", "torchaudio")
    versions = ", ".join(f"{name} {packages[name]}" for name in wanted if name in packages)
    cpu, gpus = environment.get("cpu") or {}, environment.get("gpus") or []
    cores = cpu.get("usable_cores", "?")
    place = f"{cores} core{'' if cores == 1 else 's'} of {cpu.get('model', 'an unknown processor')}"
    with_gpu = f" and {', '.join(str(gpu.get('name', gpu) if isinstance(gpu, dict) else gpu) for gpu in gpus)}"
    date = str(environment.get("started") or "")[:10]
    python = environment.get("python", "?")
    return f"{date}: {place}{with_gpu if gpus else ', no GPU'}; Python {python}, {versions}".strip(": ")


def trace_table(report: RunsReport) -> str:
    """What each number comes from, and the command that makes it again."""
    head = ["run", *report.by, "seed", report.metric, "status", "commit", "checkpoint", "data", "command"]
    rows = []
    for line in report.runs.to_dict("records"):
        keys = [str(line.get(key, line.get(f"config.{key}"))) for key in report.by]
        value = line.get(report.metric)
        measured = "–" if value is None or value != value else number_text(value)
        commit = str(line.get("commit") or "–")[:9] + ("+" if line.get("dirty") is True else "")
        data = str(line.get("data_fingerprint") or "–")
        state = line["status"] if line["status"] == "finished" else f"{line['status']}: {line['reason']}"
        checkpoint = str(line.get("checkpoint") or "–")
        command = Code(command_of(Path(line["run"]))) if line["status"] != UNREADABLE else "–"
        seed = seed_text(line.get("seed"))
        rows.append([line["run"], *keys, seed, measured, state, commit, checkpoint, data, command])
    return markdown_table(head, rows)


def seed_text(seed: Any) -> str:
    """A run's seed; where one run has none, pandas keeps the others as 1.0."""
    return "–" if seed is None or seed != seed else f"{seed:.0f}"


def command_of(run: Path) -> str:
    """What to type for this run alone: words of mmbert-train, quoted so that a shell finds nothing else in them."""
    job = RunFolder(run).read_job()
    if job.get("command"):
        return quoted_command(str(job["command"]))
    words = RunFolder(run).read_overrides()
    return " ".join(["mmbert-train", *map(shlex.quote, words)])


def quoted_command(text: str) -> str:
    """A command of mmbert-train as a shell takes it word by word; a dash for any other, which nobody should type."""
    try:
        words = shlex.split(text)
    except ValueError:
        return "–"
    return shlex.join(words) if words[:1] == ["mmbert-train"] else "–"


def latex(report: RunsReport) -> str:
    r"""The summary as a table of the package booktabs; the best mean is bold, \textdagger marks p < 0.05 after Holm."""
    best = report.summary.iloc[0]["group"]
    clear = {one.group for one in report.comparisons if one.p_holm < 0.05}
    lines = [
        f"% {one_line(report.metric)}; mean and standard deviation over n seeds; dagger: differs from "
        f"{one_line(report.baseline)}, Holm",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        rf"{escaped(', '.join(report.by))} & $n$ & {escaped(report.metric)} \\",
        r"\midrule",
    ]
    for line in report.summary.to_dict("records"):
        deviation = "" if math.isnan(line["std"]) else rf" \pm {line['std']:.3f}"
        value = rf"{line['mean']:.3f}{deviation}"
        value = rf"$\mathbf{{{value}}}$" if line["group"] == best else f"${value}$"
        mark = r"\textsuperscript{\textdagger}" if line["group"] in clear else ""
        lines.append(rf"{escaped(line['group'])} & {line['n']} & {value}{mark} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(LATEX.get(letter, letter) for letter in one_line(text))


def one_line(text: object) -> str:
    """Text in one line, without control characters."""
    return " ".join(printable(text).split())
