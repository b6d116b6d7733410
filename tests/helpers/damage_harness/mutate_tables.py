"""Damage to tables: odd cells, ragged rows, wrong headers, other encodings, nothing at all."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from damage_harness.mutate_bytes import damaged_bytes

CELLS = (
    *(
        "",
        " ",
        "NA",
        "nan",
        "None",
        "null",
        "0",
        "-1",
        "1e999",
        "0x10",
        "true",
        "[]",
        "{}",
        "['a', 'b']",
        "a,b",
        'say "x"',
    ),
    *(
        "two\nlines",
        "\x00",
        "\ufeff",
        "é",
        "文本",
        "🙂",
        "x" * 200_000,
        "/dev/null",
        "../up.png",
        "missing.png",
        ".",
        "/",
        "~",
    ),
    *("0,5", "10%", "1_000", "٣", "2024-01-01", "<b>&", "$(x)", "${x}"),
)
VALUES = (
    *CELLS[:20],
    None,
    True,
    0,
    -1,
    2**70,
    0.5,
    math.nan,
    math.inf,
    [],
    {},
    [1, "a"],
    {"bytes": "x"},
    [[1.0]],
    {"a": None},
)
ENCODINGS = ("utf-16", "utf-32", "latin-1", "cp1252", "utf-8-sig", "gb18030")


def damage_table(draw: Random, path: Path) -> str:
    """Damages a CSV, TSV, JSONL or Parquet file in place; returns what was done to it."""
    if draw.random() < 0.3:
        what, content = damaged_bytes(draw, path.read_bytes())
        path.write_bytes(content)
    else:
        what = {".jsonl": damage_jsonl, ".parquet": damage_parquet}.get(path.suffix, damage_delimited)(draw, path)
    return f"{path.name}: {what}"


def damage_delimited(draw: Random, path: Path) -> str:
    """Damages a CSV or TSV file."""
    separator = "\t" if path.suffix == ".tsv" else ","
    text = path.read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    what, rows = draw.choice(ROW_WAYS)(draw, rows)
    out = io.StringIO(newline="")
    end = draw.choice(("\n", "\n", "\n", "\r\n", "\r"))
    csv.writer(out, delimiter=separator, lineterminator=end).writerows(rows)
    content = out.getvalue().encode("utf-8", "surrogatepass")
    if draw.random() < 0.1:
        encoding = draw.choice(ENCODINGS)
        what, content = f"{what}; in {encoding}", out.getvalue().encode(encoding, "replace")
    path.write_bytes(content)
    return what


def odd_cell(draw: Random, rows: list[list[str]]) -> tuple[str, list[list[str]]]:
    """Some cells, those of the header seldom, hold odd values."""
    value = ""
    for _ in range(draw.choice((1, 1, 3, 20))):
        row = draw.choice(rows[1:] if draw.random() < 0.9 else rows)
        value = row[draw.randrange(len(row))] = draw.choice(CELLS)
    return f"odd cells such as {value[:20]!r}", rows


def odd_column(draw: Random, rows: list[list[str]]) -> tuple[str, list[list[str]]]:
    """A whole column holds one odd value."""
    place, value = draw.randrange(len(rows[0])), draw.choice(CELLS)
    for row in rows[1:]:
        row[place] = value
    return f"column {rows[0][place]} all {value[:20]!r}", rows


def ragged(draw: Random, rows: list[list[str]]) -> tuple[str, list[list[str]]]:
    """A row is too short or too long."""
    row = draw.choice(rows)
    if draw.random() < 0.5 and row:
        del row[draw.randrange(len(row))]
    else:
        row.insert(draw.randrange(len(row) + 1), draw.choice(CELLS))
    return "a ragged row", rows


def other_header(draw: Random, rows: list[list[str]]) -> tuple[str, list[list[str]]]:
    """A column's name is missing, doubled, blank, misspelt or in other letters."""
    head = rows[0]
    place = draw.randrange(len(head))
    old, head[place] = (
        head[place],
        draw.choice((head[0], head[-1], "", " ", f" {head[place]} ", head[place].upper(), "é")),
    )
    return f"header {old} now {head[place]!r}", rows


def fewer_rows(draw: Random, rows: list[list[str]]) -> tuple[str, list[list[str]]]:
    """Nothing, the header alone, a row, the half, or no header."""
    kept = draw.choice((0, 1, 2, len(rows) // 2))
    if draw.random() < 0.2:
        return "no header", rows[1:]
    return f"{kept} lines left", rows[:kept]


def doubled_rows(draw: Random, rows: list[list[str]]) -> tuple[str, list[list[str]]]:
    """A row occurs often, or the header comes twice."""
    row = draw.choice(rows)
    return "a row doubled", [*rows, *[list(row) for _ in range(draw.choice((1, 50)))]]


def without_column(draw: Random, rows: list[list[str]]) -> tuple[str, list[list[str]]]:
    """A column is missing."""
    place = draw.randrange(len(rows[0]))
    return f"without column {rows[0][place]}", [row[:place] + row[place + 1 :] for row in rows]


ROW_WAYS: tuple[Callable[[Random, list[list[str]]], tuple[str, list[list[str]]]], ...] = (
    *(odd_cell, odd_cell, odd_cell, odd_column, odd_column, ragged, other_header, fewer_rows, doubled_rows),
    without_column,
)


def damage_jsonl(draw: Random, path: Path) -> str:
    """Damages a JSONL file: values of any type, keys that come and go, lines that are no objects."""
    items = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    what = damage_records(draw, items)
    lines = [json.dumps(item, ensure_ascii=draw.random() < 0.5) for item in items]
    if draw.random() < 0.2 and lines:
        what, lines[draw.randrange(len(lines))] = (
            "a line that is no object",
            draw.choice(("", "[]", "1", "{", '"x"', "NaN")),
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogatepass")
    return what


def damage_records(draw: Random, items: list[dict[str, Any]]) -> str:
    """Changes records in place; returns what was done."""
    names = list(items[0])
    name, value = draw.choice(names), draw.choice(VALUES)
    way = draw.choice(("cell", "cell", "column", "drop", "rename", "fewer"))
    if way == "fewer":
        del items[draw.choice((0, 1, len(items) // 2)) :]
        return f"{len(items)} rows left"
    chosen = (
        items
        if way == "column" or draw.random() < 0.2
        else draw.sample(items, min(len(items), draw.choice((1, 3, 20))))
    )
    for item in chosen:
        if way in ("drop", "rename"):
            old = item.pop(name, None)
            item |= {f"{name}2": old} if way == "rename" else {}
        else:
            item[name] = value
    return f"{way} {name} of {len(chosen)} rows, {str(value)[:20]!r}"


def damage_parquet(draw: Random, path: Path) -> str:
    """Damages a Parquet file: columns of other types, nulls, columns and rows that are missing."""
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(path)
    name = draw.choice(table.column_names)
    place = table.column_names.index(name)
    way = draw.choice(("value", "value", "values", "drop", "rename", "nothing", "nulls", "dictionary", "binary"))
    if way == "drop":
        table = table.drop_columns([name])
    elif way == "rename":
        new = draw.choice((f"{name}2", table.column_names[0], "", name.upper()))
        table = table.rename_columns([new if other == name else other for other in table.column_names])
    elif way == "nothing":
        table = table.slice(0, draw.choice((0, 1, 3)))
    else:
        table = table.set_column(place, name, other_column(draw, table.column(name), way))
    with pa.BufferOutputStream() as out:
        parquet.write_table(table, out)
        path.write_bytes(out.getvalue().to_pybytes())
    return f"{way} in column {name}"


def other_column(draw: Random, column: Any, way: str) -> Any:
    """A column of as many cells, of another type or with other values."""
    import pyarrow as pa

    if way == "nulls":
        return pa.nulls(len(column))
    if way == "dictionary" and not pa.types.is_nested(column.type):
        return column.combine_chunks().dictionary_encode()
    if way == "binary":
        return pa.array([draw.randbytes(5) for _ in range(len(column))])
    value = draw.choice([value for value in VALUES if value != {} and value != [1, "a"] and value != 2**70])
    if way == "values":
        return pa.array([value] * len(column))
    try:
        cells = column.to_pylist()
        cells[draw.randrange(len(cells))] = value
        return pa.array(cells)
    except (pa.ArrowException, OverflowError):
        return pa.array([value] * len(column))
