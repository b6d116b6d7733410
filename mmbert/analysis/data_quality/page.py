"""The worst rows as one HTML file that needs nothing else: with picture, sound and text, labels and scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from mmbert.core.privacy import Privacy
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.base import Modality
from mmbert.data.quality.page import STYLE, example_html, html_table

#: Rows of a group of duplicates that are shown.
SHOWN_TOGETHER = 3

NORMALISED_MARGIN = "(p of the given one − the largest other p + 1) / 2: below 0.5 the model prefers another."
#: What the scores of label errors mean, by kind of task.
QUALITY = {
    "classification": f"Quality is {NORMALISED_MARGIN}",
    "tagging": f"Of each row its worst word; quality is {NORMALISED_MARGIN}",
    "multilabel": "Quality is 0 to 1, how probable each given yes or no is, the least probable weighed most.",
    "regression": "Quality is 0 to 1, the less usual the number and the model's error together are, the lower.",
}

MORE_STYLE = """
.pair { border: 1px solid var(--line); border-radius: 8px; padding: .8rem; margin: 1rem 0 }
p.note { color: var(--soft); max-width: 46rem } .card b.wrong { color: #d1242f } .card b.right { color: #2da44e }
.cards { margin-top: 1rem } nav a { color: var(--bar); margin-right: 1.2rem; display: inline-block }
"""


def quality_page(
    content: Mapping[str, Any], data: MultimodalData, inputs: Mapping[str, Modality], privacy: Privacy
) -> str:
    """The page.

    Args:
        content: of the summary, with ``model``, ``data`` and ``folds``.
        data: where the samples are.
        inputs: what each encoder reads.
        privacy: without samples rows have numbers and scores alone; texts and labels are masked.
    """
    cards = Cards(data, inputs, privacy)
    parts = [*label_error_parts(content, cards), *contradiction_parts(content, cards), *duplicate_parts(content, cards)]
    body = [
        f"<h1>{escape(str(content['data']))}</h1>",
        f'<p class="note">What models say of rows that they never saw: the run {escape(str(content["model"]))}, '
        f"trained anew on {content['folds']} folds of {content['rows']:,} rows. A low score is a reason to look, "
        "not a proof: hard and rare samples score low too.</p>",
        part_links(content),
        *not_judged_parts(content),
        *parts,
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Data: {escape(data.path.name)}</title><style>{STYLE}{MORE_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


class Cards:
    """Makes cards of rows.

    Args:
        data: where the samples are.
        inputs: what each encoder reads.
        privacy: of the run.
    """

    def __init__(self, data: MultimodalData, inputs: Mapping[str, Modality], privacy: Privacy) -> None:
        self.data, self.inputs, self.privacy = data, inputs, privacy

    def card(self, row: int, split: str, lines: Sequence[str]) -> str:
        """A row with its modalities, and lines of HTML under them."""
        parts = [f"<small>row {row:,} · {escape(split)}</small>"]
        for name, modality in self.inputs.items() if self.privacy.samples else ():
            column = self.data.column_of(name)
            cell = self.data.table.cell(row, column) if self.data.has_column(column) else None
            cell = self.privacy.masked_value(cell) if modality.shown_as == "text" else cell
            shown = (
                f"<small>no {escape(name)}</small>"
                if cell is None
                else example_html(cell, modality, self.data.table.folder, self.privacy)
            )
            parts.append(f"<div>{shown}</div>")
        return f'<div class="card">{"".join(parts)}{"".join(f"<div>{line}</div>" for line in lines)}</div>'

    def text(self, value: Any) -> str:
        """A label as HTML."""
        return "–" if value is None else escape(self.privacy.masked(str(value)))


def section(kind: str, name: str) -> str:
    """The address of a part within the page."""
    return f"{kind}-{escape(name)}"


def part_links(content: Mapping[str, Any]) -> str:
    """Links to the parts."""
    links = [(section("errors", name), f"label errors of {name}") for name in content["label_errors"]]
    links += [(section("contradictions", name), f"contradictions of {name}") for name in content["contradictions"]]
    links.append(("duplicates", "near-duplicates"))
    made = "".join(f'<a href="#{at}">{escape(title)}</a>' for at, title in links)
    return f"<nav>{made}</nav>"


def not_judged_parts(content: Mapping[str, Any]) -> Iterator[str]:
    """What is not on the page."""
    for name, why in content["not_judged"].items():
        yield f'<p class="note">{escape(name)} is not scored: {escape(why)}.</p>'


def label_error_parts(content: Mapping[str, Any], cards: Cards) -> Iterator[str]:
    """A part for each task."""
    for name, task in content["label_errors"].items():
        yield f'<h2 id="{section("errors", name)}">Label errors of {escape(name)}</h2>'
        facts = [["rows scored", f"{task['scored']:,}"]]
        words = task["kind"] == "tagging"
        if task["flagged"] is not None:
            facts.append(["with a word taken for one" if words else "taken for label errors", f"{task['flagged']:,}"])
        if task["estimate"] is not None:
            what = "estimated number of wrong words" if words else "estimated number of label errors"
            facts.append([what, f"{task['estimate']:,}"])
        if task["agreement"] is not None:
            facts.append(["labels that agree with the model", f"{100 * task['agreement']:.1f} %"])
        if task["class_not_met"]:
            facts.append(["not scored: their class is in no other fold", f"{task['class_not_met']:,}"])
        yield html_table(["", ""], facts)
        yield f'<p class="note">{QUALITY[task["kind"]]}</p>'
        made = []
        for entry in task["worst"]:
            lines = [f"word <b>{cards.text(entry['word'])}</b>"] if "word" in entry else []
            if "given" in entry:
                lines.append(f'given <b class="wrong">{cards.text(entry["given"])}</b>{percentage(entry, "p_given")}')
                lines.append(
                    f'suggested <b class="right">{cards.text(entry["suggested"])}</b>{percentage(entry, "p_suggested")}'
                )
            flag = "" if not entry["label_error"] else " · taken for an error"
            lines.append(f"<small>quality {entry['quality']:.3f}{flag}</small>")
            made.append(cards.card(entry["row"], entry["split"], lines))
        yield f'<div class="cards">{"".join(made)}</div>'


def percentage(entry: Mapping[str, Any], key: str) -> str:
    """`` 12 %``, or nothing."""
    return f" {100 * entry[key]:.1f}\u00a0%" if key in entry else ""


def contradiction_parts(content: Mapping[str, Any], cards: Cards) -> Iterator[str]:
    """A part for each task."""
    for name, of in content["contradictions"].items():
        yield (
            f'<h2 id="{section("contradictions", name)}">Modalities that contradict each other: {escape(name)}, '
            f"by {escape(of['source'])}</h2>"
        )
        yield (
            '<p class="note">How well this finds planted mismatches in these data: one modality of 10 % of the rows '
            "was exchanged with that of another row. 0.5 is chance; near it, the list below says nothing.</p>"
        )
        rows = [
            [
                escape(planted["modality"]),
                escape(planted["partners"]),
                f"{planted['planted']:,}",
                "–" if planted["auroc"] is None else f"{planted['auroc']:.3f}",
            ]
            for planted in of["planted"]
        ]
        yield html_table(["exchanged", "with a row of", "rows", "AUROC"], rows)
        made = []
        for entry in of["worst"]:
            lines = [
                f"{escape(modality)} says <b>{cards.text(answered['answer'])}</b>{percentage(answered, 'probability')}"
                for modality, answered in entry.get("says", {}).items()
            ]
            lines += [f"given {cards.text(entry['given'])}"] if "given" in entry else []
            odd = "" if entry["odd_one_out"] is None else f" · odd one out: {escape(entry['odd_one_out'])}"
            lines.append(f"<small>contradiction {entry['contradiction']:+.2f}{odd}</small>")
            made.append(cards.card(entry["row"], entry["split"], lines))
        yield f'<div class="cards">{"".join(made)}</div>'


def duplicate_parts(content: Mapping[str, Any], cards: Cards) -> Iterator[str]:
    """The near-duplicates."""
    found = content["near_duplicates"]
    yield '<h2 id="duplicates">Near-duplicates</h2>'
    yield html_table(
        ["", ""],
        [
            ["groups alike in every modality", f"{found['groups']:,}"],
            ["rows in them", f"{found['rows']:,}"],
            ["of these groups in several splits", f"{found['in_several_splits']:,}"],
            ["with several labels", f"{found['with_several_labels']:,}"],
            [
                "groups alike in one modality, in several splits or with several labels",
                f"{found['alike_in_one_modality']:,}",
            ],
        ],
    )
    for group in found["worst"]:
        what = [f"alike: {escape(', '.join(group['alike']))}"]
        what += [f"unlike: {escape(', '.join(group['unlike']))}"] if group["unlike"] else []
        what.append(f"{group['count']:,} rows in {escape(', '.join(group['splits']))}")
        for task, labels in group["labels"].items():
            named = f"{labels} different" if isinstance(labels, int) else " / ".join(map(cards.text, labels[:6]))
            what.append(f"{escape(task)}: {named}")
        rows = zip(group["rows"][:SHOWN_TOGETHER], group["row_splits"], strict=False)
        shown = "".join(cards.card(row, split, []) for row, split in rows)
        yield f'<div class="pair"><small>{" · ".join(what)}</small><div class="cards">{shown}</div></div>'
