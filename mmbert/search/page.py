"""The matches of a search as one self-contained HTML file: pictures, players and texts with their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from mmbert.core.errors import DataError
from mmbert.data.modalities.base import Modality
from mmbert.data.modalities.registry import modality_of
from mmbert.data.tables.table import Table
from mmbert.encoders.base import Encoder
from mmbert.search.index import Match
from mmbert.search.items import Item, item_value

SEARCH_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #66727f; --line: #d9dee3; --back: #fff; --bar: #1f6feb }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #9aa5b1; --line: #3a4450; --back: #15191e; --bar: #539bf5 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 72rem;
  margin: 0 auto; padding: 1rem }
h1 { font-size: 1.2rem; color: var(--soft); font-weight: 600 }
.query { border: 1px solid var(--bar); border-radius: 8px; padding: .8rem; display: inline-block; max-width: 100%;
  box-sizing: border-box; overflow-wrap: anywhere }
.query.text { font-size: 1.4rem }
.facts { color: var(--soft) }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1rem; padding: 0;
  list-style: none }
li { border: 1px solid var(--line); border-radius: 8px; padding: .8rem; overflow-wrap: anywhere }
.head { display: flex; justify-content: space-between; color: var(--soft); font-variant-numeric: tabular-nums }
.head b { color: var(--ink) }
.track { height: .3rem; background: var(--line); border-radius: 2px; margin: .2rem 0 .6rem }
.track div { height: 100%; background: var(--bar); border-radius: 2px }
img { max-width: 100%; display: block; margin: .4rem auto } audio { width: 100%; margin: .4rem 0 }
small { color: var(--soft); display: block }
"""


def search_page(
    query: tuple[str, Any],
    matches: Sequence[Match],
    place: Path,
    encoders: Mapping[str, Encoder],
    columns: Mapping[str, str],
    facts: str,
) -> str:
    """The whole page.

    Args:
        query: its modality, and the text or the path of the file.
        matches: best first.
        place: the folder or the table that was searched.
        encoders: by modality.
        columns: the table's column by modality.
        facts: a line on how it was searched.
    """
    kind, value = query
    shown = match_html(value, modality_of(encoders[kind]), Path())
    table = Table(place) if place.is_file() else None
    cards = "\n".join(match_card(rank, match, place, encoders, table, columns) for rank, match in enumerate(matches, 1))
    title = value if modality_of(encoders[kind]).shown_as == "text" else Path(str(value)).name
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{SEARCH_STYLE}</style></head>\n<body>\n"
        f'<h1>Search in {escape(str(place))}</h1><div class="query {escape(modality_of(encoders[kind]).shown_as)}">'
        f'{shown}</div>\n<p class="facts">{escape(facts)}</p>\n<ol>\n{cards}\n</ol>\n</body></html>\n'
    )


def match_card(
    rank: int,
    match: Match,
    place: Path,
    encoders: Mapping[str, Encoder],
    table: Table | None,
    columns: Mapping[str, str],
) -> str:
    """One match: rank, score, what it is, and of a table's row the cells of the model's other modalities."""
    item = match.item
    parts = [f"<div>{shown_item(item, place, encoders)}</div>"]
    if modality_of(encoders[item.modality]).shown_as != "text" or table is None:
        row = "" if item.row is None else f", row {item.row + 1}"
        parts.append(f"<small>{escape(item.name)}{row}</small>")
    else:
        parts.append(f"<small>row {(item.row or 0) + 1}</small>")
    if table is not None and item.row is not None:
        for name, encoder in encoders.items():
            column = columns.get(name, name)
            cell = table.cell(item.row, column) if name != item.modality and table.has_column(column) else None
            if cell is not None:
                parts.append(f"<div>{match_html(cell, modality_of(encoder), table.folder)}</div>")
    width = 100 * min(1.0, max(0.0, match.score))
    return (
        f'<li><div class="head"><span>{rank} · {escape(item.modality)}</span><b>{match.score:.3f}</b></div>'
        f'<div class="track"><div style="width:{width:.1f}%"></div></div>{"".join(parts)}</li>'
    )


def shown_item(item: Item, place: Path, encoders: Mapping[str, Encoder]) -> str:
    """An item as HTML; a reason where it has gone since it was encoded."""
    try:
        value = item_value(item, place, encoders)
    except DataError as error:
        return f"<small>{escape(str(error))}</small>"
    return match_html(value, modality_of(encoders[item.modality]), Path())


def match_html(cell: Any, modality: Modality, folder: Path) -> str:
    """A text, a picture or a player, made small; or why it cannot be shown."""
    try:
        return modality.example_html(cell, folder)
    except DataError as error:
        return f"<small>{escape(str(error))}</small>"
