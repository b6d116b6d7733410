"""An attack on membership as one HTML file that needs nothing else: curves on logarithmic axes, and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from mmbert.reporting.outputs.page.figures import COLOURS, Figure, template_text
from mmbert.reporting.outputs.page.html import Cell, Page

#: What the attacks and the measures are called.
ATTACKS = {"lira": "LiRA", "threshold": "one threshold for all samples"}
MEASURES = {
    "tpr_at_fpr_0.001": "TPR at 0.1 % FPR",
    "tpr_at_fpr_0.01": "TPR at 1 % FPR",
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
}


#: With fewer models the scores are a trial, no result.
ENOUGH_MODELS = 64


def too_few(shadows: int) -> str | None:
    """What must be known of scores of few models; None where there are enough."""
    if shadows >= ENOUGH_MODELS:
        return None
    return (
        f"{shadows} models are a trial, no result. The model that is attacked leaves one reference less on its own "
        "side, so that with few of them LiRA's AUC lies below 0.5 even where nothing is betrayed. "
        f"shadows={ENOUGH_MODELS} or more measures."
    )


def membership_page(content: Mapping[str, Any]) -> str:
    """The page of ``membership.json``: a part a task."""
    made = Page(f"What an attacker can learn: {content['model']}")
    for number, (name, task) in enumerate(content["tasks"].items()):
        caption = (
            f"{task['samples']:,} training samples, {content['shadows']} models: {task['member_pairs']:,} pairs of a "
            f"model and a sample it was trained on, {task['non_member_pairs']:,} others"
        )
        plot = made.plot(attack_curves(task["curves"]), caption, tall=True)
        made.add(f"task-{number}", name, f'<div class="plots">{plot}</div>', measures_table(made, task))
    if why := too_few(content["shadows"]):
        made.add("few", "Too few models", f"<p>{escape(why)}</p>")
    if content["refused"]:
        rows = [[Cell(name), Cell(why)] for name, why in content["refused"].items()]
        made.add("refused", "Tasks that are not attacked", made.table(["task", "why"], rows, words=2))
    settings = ", ".join(f"{key}={value}" for key, value in content["privacy"].items()) or "none"
    footer = (
        f"LiRA ({content['attack']}, variance: {content['variance']}), each model attacked in turn with the others as "
        f"references; intervals of 95 % by {content['bootstraps']} bootstraps over models and samples. Differential "
        f"privacy in training: {settings}. Data: {content['data']}. Written {content['finished']}."
    )
    return made.html(footer)


def attack_curves(curves: Mapping[str, Mapping[str, list[float]]]) -> Figure:
    """True over false positive rates on logarithmic axes; chance is the diagonal."""
    least = min(curve["fpr"][0] for curve in curves.values())
    chance = {
        "type": "scatter",
        "mode": "lines",
        "x": [least, 1],
        "y": [least, 1],
        "line": {"dash": "dot", "width": 1, "color": "#8a96a3"},
        "hoverinfo": "skip",
        "name": "chance",
    }
    traces: list[dict[str, Any]] = [chance]
    for number, (name, curve) in enumerate(curves.items()):
        called = ATTACKS.get(name, name)
        shown = [(x, y) for x, y in zip(curve["fpr"], curve["tpr"], strict=True) if y > 0]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [x for x, _ in shown],
                "y": [y for _, y in shown],
                "name": called,
                "line": {"color": COLOURS[number % len(COLOURS)]},
                "hovertemplate": f"{template_text(called)}<br>%{{y:.3%}} true, %{{x:.3%}} false<extra></extra>",
            }
        )
    ends = [math.log10(least), 0]
    layout = {
        "xaxis": {"title": {"text": "false positive rate"}, "type": "log", "range": ends},
        "yaxis": {"title": {"text": "true positive rate"}, "type": "log", "range": ends},
    }
    return {"data": traces, "layout": layout}


def measures_table(made: Page, task: Mapping[str, Any]) -> str:
    """A line an attack."""
    rows = [
        [Cell(ATTACKS.get(name, name)), *(measure_cell(found[key]) for key in MEASURES)]
        for name, found in task["attacks"].items()
    ]
    accuracy = task["accuracy"]
    remarks = [
        f"{MEASURES[key]}: {found['why']}." for key, found in task["attacks"]["lira"].items() if found.get("why")
    ]
    if accuracy["members"] is not None:
        remarks.append(
            f"The models are right on {100 * accuracy['members']:.1f} % of the samples they were trained on, and on "
            f"{100 * accuracy['non_members']:.1f} % of the others."
        )
    return made.table(["attack", *MEASURES.values()], rows) + "".join(f"<p>{remark}</p>" for remark in remarks)


def measure_cell(found: Mapping[str, Any]) -> Cell:
    """A number and its interval, sorted by the number."""
    if found["value"] is None:
        return Cell("not resolvable")
    interval = "" if found["low"] is None else f" [{found['low']:.4f}, {found['high']:.4f}]"
    return Cell(f"{found['value']:.4f}{interval}", found["value"])
