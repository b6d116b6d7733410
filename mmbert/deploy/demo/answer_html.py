"""An explained sample as HTML: answers, their probabilities, shares as bars, and what is left without a modality."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from mmbert.deploy.demo.sample_shares import ModalityContribution, SampleShares

#: Colours of modalities in their order, told apart by colour-blind people too (Okabe and Ito).
MODALITY_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")
DEMO_STYLE = """
.mm table { border-collapse: collapse; border: 0 !important; width: 100%; font-size: 14px }
.mm tr { border: 0 } .mm th { font-weight: 600; opacity: .8 }
.mm td, .mm th { padding: 5px 10px 5px 2px; text-align: left; vertical-align: middle }
.mm td, .mm th { border: 0; border-bottom: 1px solid var(--border-color-primary) }
.mm .bar { display: flex; height: 14px; border-radius: 3px; overflow: hidden; min-width: 140px }
.mm .bar { background: var(--border-color-primary) } .mm .bar span { height: 100% }
.mm .key { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin: 0 5px 0 12px }
.mm .soft { color: var(--body-text-color); opacity: .7; font-size: 13px } .mm b { font-weight: 600 }
.mm h4 { margin: 14px 0 4px; font-size: 15px } .mm .other { color: #c2410c; font-weight: 600 }
footer { display: none !important }
"""


def answer_page(found: SampleShares, names: list[str], baseline: str) -> str:
    """All of it.

    Args:
        found: of the sample.
        names: the model's modalities, which have colours by their order.
        baseline: what counts as no modality at all.
    """
    colours = {name: MODALITY_COLOURS[place % len(MODALITY_COLOURS)] for place, name in enumerate(names)}
    head = "<tr><th>task</th><th>answer</th><th>probability</th><th>share of each modality</th></tr>"
    rows = "".join(answer_row(task, answer, found, colours) for task, answer in found.answers.items())
    keys = "".join(f'<span class="key" style="background:{colours[n]}"></span>{escape(n)}' for n in names)
    several = f'<p class="soft">{keys}</p>' if found.without else ""
    about = (
        f'<p class="soft">Shares: exact Shapley values over every subset of the sample\'s modalities, |φ| of all |φ|; '
        f"no modality at all counts as {escape(baseline)}.</p>"
    )
    return f'<div class="mm"><table>{head}{rows}</table>{several}{without_table(found)}{about}</div>'


def answer_row(task: str, answer: Mapping[str, Any], found: SampleShares, colours: Mapping[str, str]) -> str:
    """One task's answer, its probability and the bar of its shares."""
    bar = share_bar(found.contributions.get(task, {}), colours)
    return (
        f"<tr data-task='{escape(task)}'><td>{escape(task)}</td><td><b>{escape(prediction_words(answer))}</b></td>"
        f"<td>{escape(confidence_text(answer))}</td><td>{bar}</td></tr>"
    )


def share_bar(contributions: Mapping[str, ModalityContribution], colours: Mapping[str, str]) -> str:
    """A bar whose parts are as long as the shares."""
    if not contributions:
        return '<span class="soft">not explained</span>'
    if any(math.isnan(one.share) for one in contributions.values()):
        return '<span class="soft">no modality changes it</span>'
    parts = "".join(
        f'<span style="width:{100 * one.share:.2f}%;background:{colours[name]}" '
        f'title="{escape(name)}: {100 * one.share:.0f} %, φ = {one.value:+.3f}"></span>'
        for name, one in contributions.items()
    )
    numbers = " · ".join(f"{escape(name)} {100 * one.share:.0f} %" for name, one in contributions.items())
    return f'<div class="bar">{parts}</div><span class="soft">{numbers}</span>'


def without_table(found: SampleShares) -> str:
    """For each modality the answers once it is taken away; those that differ stand out."""
    if not found.without:
        return '<p class="soft">One modality alone: there is nothing to take away.</p>'
    head = "".join(f"<th>without {escape(name)}</th>" for name in found.without)
    rows = []
    for task, answer in found.answers.items():
        cells = []
        for left in found.without.values():
            shown, other = prediction_words(left[task]), is_other(left[task], answer)
            probability = confidence_text(left[task])
            changed = ' class="other"' if other else ""
            cells.append(
                f'<td><span{changed}>{escape(shown)}</span> <span class="soft">{escape(probability)}</span></td>'
            )
        rows.append(f"<tr data-without='{escape(task)}'><td>{escape(task)}</td>{''.join(cells)}</tr>")
    return f"<h4>What is left</h4><table><tr><th>task</th>{head}</tr>{''.join(rows)}</table>"


def is_other(answer: Mapping[str, Any], whole: Mapping[str, Any]) -> bool:
    """Whether another answer is given; numbers always differ a little, and never count."""
    return not isinstance(whole["prediction"], float) and answer["prediction"] != whole["prediction"]


def prediction_words(answer: Mapping[str, Any]) -> str:
    """A prediction as a person would write it."""
    prediction = answer["prediction"]
    if isinstance(prediction, list):
        return ", ".join(map(str, prediction)) or "none"
    if prediction is None:
        return "no answer"
    return f"{prediction:.4g}" if isinstance(prediction, float) else str(prediction)


def confidence_text(answer: Mapping[str, Any]) -> str:
    """The probability of what is answered: of several properties each one's."""
    shares, prediction = answer.get("probabilities"), answer["prediction"]
    if not isinstance(shares, dict) or prediction is None:
        return ""
    if isinstance(prediction, list):
        return ", ".join(f"{100 * shares[name]:.0f} %" for name in prediction)
    return f"{100 * shares[prediction]:.0f} %"
