"""Tabular: facts of a sample in several columns of its table: numbers, and words of which each is a category."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import DataError
from mmbert.data.augment.corruptions import Degradation
from mmbert.data.modalities import record_cells
from mmbert.data.modalities.base import CellFacts, Modality
from mmbert.data.modalities.processor import Processor
from mmbert.data.modalities.record_cells import number_of_cell
from mmbert.data.tables.cells import cell_excerpt, is_empty


class TabularModality(Modality):
    """Cells by column, ``{"age": 3, "sex": "f"}``; an empty one is ordinary, a record of nothing else is missing."""

    kind = "tabular"
    noun = "record"
    names_files = False
    reads_columns = True
    learns_of_train = True
    shown_as = "text"
    logs_padding = False
    code = (record_cells.__name__,)
    python_example = '{"age": 3}'

    def read(self, cell: Any, folder: str | Path, max_seconds: float | None = None) -> dict[str, Any]:
        """See ``Modality``: cells by column, None where empty."""
        if not isinstance(cell, Mapping):
            raise DataError(f"{cell_excerpt(cell)} is no record of cells by column")
        return {str(name): None if is_empty(part) else part for name, part in cell.items()}

    def from_python(self, value: Any, processor: Processor) -> dict[str, Any]:
        """See ``Modality``: a dictionary, or JSON of one."""
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as error:
                raise DataError(f'{cell_excerpt(value)} is no JSON object such as {{"age": 3}} ({error})') from error
        return self.read(value, "")

    def size(self, cell: Any, folder: str | Path) -> int:
        """See ``Modality``: cells that are filled."""
        return sum(not is_empty(part) for part in cell.values())

    def content(self, cell: Any, folder: str | Path) -> bytes:
        """See ``Modality``: its cells with their names and types."""
        return repr(sorted(cell.items())).encode("utf-8", "surrogatepass")

    def file_name(self, cell: Any) -> None:
        """See ``Modality``: records name no files."""

    def made_up(self, processor: Processor, random: np.random.Generator) -> tuple[list[Any], list[Any]]:
        """See ``Modality``: numbers and known words, with gaps; then unknown words, and extreme numbers."""
        columns: Mapping[str, Mapping[str, Any]] = getattr(processor, "columns", {})

        def record(word: int, number: float, gaps: int = 0) -> dict[str, Any]:
            cells: dict[str, Any] = {}
            for place, (name, known) in enumerate(columns.items()):
                words = known.get("categories")
                cells[name] = number if words is None else [*words, "never seen"][word % (len(words) + 1)]
                if place < gaps or (gaps < 0 and place >= len(columns) + gaps):
                    cells[name] = None
            return cells

        lacking = len(columns) - 1
        ordinary = [record(0, 0.5), record(1, -3.0, 1 if lacking else 0), record(2, 40.0), record(3, 2.0, -1 * lacking)]
        return ordinary, [record(-1, 1e9), record(-1, 0.0), record(0, -1e-9, lacking)]

    def inspect(self, cell: Any, folder: Path, options: Mapping[str, Any]) -> CellFacts:
        """See ``Modality``: each number by its column, and how many cells are filled; rows may well be alike.

        With ``columns`` among the options, what the encoder has learnt of train, cells are held against it.
        """
        record = self.read(cell, folder)
        known: Mapping[str, Mapping[str, Any]] = options.get("columns") or {}
        quantities: dict[str, float] = {"filled": self.size(record, folder)}
        unknown = []
        for name, part in record.items():
            if part is None:
                continue
            learnt = known.get(name, {})
            if "categories" in learnt:
                if record_cells.word_in(part) not in learnt["categories"]:
                    unknown.append(name)
                continue
            try:
                number = number_of_cell(part)
            except DataError as error:
                raise DataError(f"column '{name}': {error}") from error
            if number is not None:
                quantities[name] = number
            elif "mean" in learnt:
                raise DataError(f"column '{name}': {cell_excerpt(part)} is no number, as all cells of train are")
        remarks = tuple(f"'{name}' has a word that train lacks: it is read as 'unknown'" for name in unknown)
        return CellFacts(quantities=quantities, remarks=remarks)

    def corrupted(
        self, raw: Any, processor: Processor, level: float, random: np.random.Generator, options: Degradation
    ) -> Any:
        """See ``Modality``: normal noise of ``level`` deviations of train, words that become unknown.

        A number x becomes x + ``level`` · std · n with n ~ N(0, 1); a word becomes an unknown one with probability
        ``level``. Empty cells stay empty.
        """
        damaged = dict(raw)
        columns: Mapping[str, Mapping[str, Any]] = getattr(processor, "columns", {})
        for name, known in columns.items():
            noise, chance = random.standard_normal(), random.random()
            if damaged.get(name) is None:
                continue
            if "categories" in known:
                if chance < level:
                    damaged[name] = "\0 no word of train"
            else:
                number = number_of_cell(damaged[name])
                damaged[name] = damaged[name] if number is None else number + level * known["std"] * noise
        return processor.prepare(damaged)

    def example_html(self, cell: Any, folder: Path) -> str:
        """See ``Modality``: column and cell."""
        return "<br>".join(
            f"<small>{escape(name)}: {escape(cell_excerpt(part))}</small>"
            for name, part in self.read(cell, folder).items()
            if part is not None
        )


MODALITY = TabularModality()
