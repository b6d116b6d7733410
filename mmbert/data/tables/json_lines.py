"""JSONL tables: one JSON object a line, types kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmbert.core.errors import DataError
from mmbert.data.tables.arrow_types import as_text, common_type, type_of
from mmbert.data.tables.reading import in_batches, reading


class JsonLines:
    """One JSON object a line. A column's type is the one that fits all of its cells; mixed ones become text."""

    def schema(self, path: Path) -> pa.Schema:
        """Reads the whole file: what the first rows lack may come later."""
        types: dict[str, pa.DataType] = {}
        for batch in in_batches(self._objects(path)):
            for name in dict.fromkeys(key for item in batch for key in item):
                kind = type_of([item.get(name) for item in batch])
                types[name] = kind if name not in types else common_type(types[name], kind)
        return pa.schema([(name, pa.string() if pa.types.is_null(kind) else kind) for name, kind in types.items()])

    def batches(self, path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
        """A key that a row lacks is null."""
        for batch in in_batches(self._objects(path)):
            columns = []
            for field in schema:
                cells = [item.get(field.name) for item in batch]
                if pa.types.is_string(field.type):
                    cells = [None if cell is None else as_text(cell) for cell in cells]
                columns.append(pa.array(cells, field.type))
            yield pa.table(columns, schema=schema)

    def line(self, path: Path, row: int) -> int | None:
        """Blank lines count as lines and not as rows."""
        return next(islice((line for line, _ in self._lines(path)), row, None), None)

    def hidden(self, path: Path) -> dict[str, str]:
        """None: every JSON value has a type."""
        return {}

    def notes(self, path: Path) -> list[str]:
        """None: nothing is guessed."""
        return []

    def _lines(self, path: Path) -> Iterator[tuple[int, str]]:
        with reading(path), path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, text in enumerate(file, 1):
                if text.strip():
                    yield number, text

    def _objects(self, path: Path) -> Iterator[dict[str, Any]]:
        for number, text in self._lines(path):
            try:
                item = json.loads(text)
                if "\\ud" in text.lower():  # an escape may spell half of a surrogate pair, which no text can hold
                    json.dumps(item, ensure_ascii=False).encode()
            except ValueError as error:
                reason = (
                    f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else error
                )
                raise DataError(f"{path}, line {number} is no JSON: {reason}. Write one {{...}} a line.") from error
            if not isinstance(item, dict):
                raise DataError(
                    f"{path}, line {number} is no JSON object: write one {{...}} a line, its keys the columns."
                )
            yield item
