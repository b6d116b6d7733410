"""The report as one HTML file that needs nothing else: tables to sort and filter, plots that answer to the pointer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from typing import Any

from mmbert.reporting.outputs.page.figures import Figure


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: as it is shown.
        value: by which it is sorted; None = by its text.
        code: shown as something to type.
    """

    text: str
    value: float | None = None
    code: bool = False


@dataclass
class Page:
    """Parts of a page, in their order.

    Attributes:
        title: of the page.
        parts: ``(anchor, heading, HTML)``.
        figures: what the plots are drawn from, by their number.
        captions: what stands above each.
    """

    title: str
    parts: list[tuple[str, str, str]] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    tables: int = 0

    def add(self, anchor: str, heading: str, *html: str) -> None:
        """A part with a heading; one without content is left out."""
        content = "\n".join(piece for piece in html if piece)
        if content:
            self.parts.append((anchor, heading, content))

    def plot(self, figure: Figure | None, caption: str = "", tall: bool = False) -> str:
        """A place in which a plot is drawn."""
        if figure is None or not figure["data"]:
            return ""
        self.figures.append(without_html(figure))
        self.captions.append(caption)
        place = f'<div class="plot{" tall" * tall}" data-figure="figure-{len(self.figures) - 1}" role="img"'
        figcaption = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        return f'<figure>{figcaption}{place} aria-label="{escape(caption, quote=True)}"></div></figure>'

    def table(self, head: Sequence[str], rows: Sequence[Sequence[Cell]], words: int = 1, filtered: bool = False) -> str:
        """A table that is sorted by a click on its head; the first ``words`` columns, and those of code, stand left."""
        self.tables += 1
        name = f"table-{self.tables}"
        left = [n < words or any(row[n].code for row in rows) for n in range(len(head))]
        heads = "".join(
            f'<th scope="col"{" class=word" * is_left}><button type="button">{escape(text) or "&nbsp;"}</button></th>'
            for text, is_left in zip(head, left, strict=True)
        )
        body = "".join(
            "<tr>" + "".join(cell_html(cell, is_left) for cell, is_left in zip(row, left, strict=True)) + "</tr>"
            for row in rows
        )
        table = f'<div class="wide"><table class="sorted" id="{name}"><thead><tr>{heads}</tr></thead>'
        table += f"<tbody>{body}</tbody></table></div>"
        if not filtered:
            return table
        field_ = (
            f'<input type="search" placeholder="words that a row must have" data-table="{name}" aria-label="Filter">'
        )
        return f'<div class="filter"><label>Filter</label>{field_}<span aria-live="polite"></span></div>{table}'

    def html(self, footer: str) -> str:
        """The whole file."""
        sections = "".join(
            f'<section id="{anchor}"><h2>{escape(heading)}</h2>{content}</section>'
            for anchor, heading, content in self.parts
        )
        links = "".join(f'<a href="#{anchor}">{escape(heading)}</a>' for anchor, heading, _ in self.parts)
        data = "".join(
            f'<script type="application/json" id="figure-{number}">{as_script(figure)}</script>'
            for number, figure in enumerate(self.figures)
        )
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{escape(self.title)}</title><link rel="icon" href="data:,">'
            f"<style>{asset('page.css')}</style></head><body><header><h1>{escape(self.title)}</h1>"
            '<button class="theme" type="button">light / dark</button></header>'
            f"<nav><div>{links}</div></nav><main>{sections}<footer>{escape(footer)}</footer></main>"
            f"{data}<script>{plotly_code()}</script><script>{asset('page.js')}</script></body></html>\n"
        )


def cell_html(cell: Cell, left: bool) -> str:
    """One cell."""
    value = "" if cell.value is None or cell.value != cell.value else repr(float(cell.value))
    classes = " ".join(["word"] * left + ["long"] * (len(cell.text) > 60))
    text = f"<code>{escape(cell.text)}</code>" if cell.code else escape(cell.text)
    return f'<td data-value="{value}"{f" class={chr(34)}{classes}{chr(34)}" if classes else ""}>{text}</td>'


def choice(name: str, label: str, options: Sequence[tuple[str, str]]) -> str:
    """A choice of which part is shown: ``(what it is called, HTML)``; the first to begin with."""
    if not options:
        return ""
    if len(options) == 1:
        return options[0][1]
    words = "".join(f'<option value="{escape(label, quote=True)}">{escape(label)}</option>' for label, _ in options)
    parts = "".join(
        f'<div data-choice="{name}" data-value="{escape(label, quote=True)}"{" hidden" * bool(number)}>{html}</div>'
        for number, (label, html) in enumerate(options)
    )
    return f'<p><label>{escape(label)} <select class="choice" id="{name}">{words}</select></label></p>{parts}'


def without_html(node: Any) -> Any:
    """A figure in which no name, label or title is HTML for plotly; templates are ours and stay."""
    if isinstance(node, dict):
        return {key: part if str(key).endswith("template") else without_html(part) for key, part in node.items()}
    if isinstance(node, (list, tuple)):
        return [without_html(part) for part in node]
    return escape(node, quote=False) if isinstance(node, str) else node


def as_script(value: Any) -> str:
    """JSON that no HTML parser takes for the end of its element."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def asset(name: str) -> str:
    """A file that lies beside this one."""
    return resources.files("mmbert.reporting.outputs.page").joinpath("assets", name).read_text(encoding="utf-8")


def plotly_code() -> str:
    """The library that draws the plots."""
    from plotly.offline import get_plotlyjs

    code: str = get_plotlyjs()
    return code
