"""Writes a data set's folder: its pictures and sounds, its table, and a card that describes it."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmbert.core.errors import DataError
from mmbert.data.sets.sources import DataCard

SET_TABLE = "manifest.csv"
SET_CARD = "card.json"
#: Folder of the files that the table names.
FILES = "files"


@dataclass(frozen=True)
class NewFile:
    """A file that is made while a set is built.

    Attributes:
        name: below the folder of the set's files, such as ``animals/frog.png``.
        content: its bytes.
    """

    name: str
    content: bytes


#: One row of a table by column.
TableRow = Mapping[str, Any]


def write_set(rows: Iterable[TableRow], raw: Path, folder: Path, card: DataCard, copies: bool, move: bool) -> None:
    """Writes files, table and card into an empty folder that is renamed when it is whole.

    Args:
        rows: what the set's class yields.
        raw: the raw files.
        folder: to write to.
        card: of the set.
        copies: files become part of the set; False = the table names them where they lie.
        move: the raw files are ours and need not stay.

    Raises:
        DataError: there is no row, or a cell names a file that is not there.
    """
    files = SetFiles(raw, folder, copies, move)
    table: list[dict[str, str]] = []
    for row in rows:
        table.append({column: files.cell(value) for column, value in row.items()})
    if not table:
        raise DataError(f"The data set {card.name} has no row: {raw} lacks what was expected.")
    columns = list(dict.fromkeys(column for row in table for column in row))
    with (folder / SET_TABLE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(table)
    counts = {
        "rows": len(table),
        "splits": dict(Counter(row["split"] for row in table)) if "split" in columns else {},
        "filled": {column: sum(bool(row.get(column)) for row in table) for column in columns},
    }
    described = {key: value for key, value in asdict(card).items() if key not in ("holds", "most_gib")}
    text = json.dumps({**described, "counts": counts}, indent=2, ensure_ascii=False)
    (folder / SET_CARD).write_text(text + "\n", encoding="utf-8")


class SetFiles:
    """Puts the files that cells name into the set's folder."""

    def __init__(self, raw: Path, folder: Path, copies: bool, move: bool) -> None:
        self.raw, self.folder, self.copies, self.move = raw, folder, copies, move
        self.placed: dict[Path, str] = {}

    def cell(self, value: Any) -> str:
        """What the table says for a value of a row."""
        if value is None:
            return ""
        if isinstance(value, NewFile):
            return self.write(value)
        if isinstance(value, Path):
            if value not in self.placed:
                self.placed[value] = self.place(value)
            return self.placed[value]
        return str(value)

    def write(self, new: NewFile) -> str:
        """Writes a made file; returns its name in the table."""
        path = self.folder / FILES / new.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(new.content)
        return path.relative_to(self.folder).as_posix()

    def place(self, path: Path) -> str:
        """Takes a raw file over; returns its name in the table."""
        if not path.is_file():
            raise DataError(f"The data set names the file {path.relative_to(self.raw)}, which is not in {self.raw}.")
        if not self.copies:
            return str(path.resolve())
        new = self.folder / FILES / path.relative_to(self.raw)
        new.parent.mkdir(parents=True, exist_ok=True)
        if self.move:
            path.rename(new)
        else:
            shutil.copyfile(path, new)
        return new.relative_to(self.folder).as_posix()


def announce_build(card: DataCard, sources: Sequence[Path]) -> None:
    """One plain line on standard error, so that nobody wonders why nothing happens."""
    names = ", ".join(path.name for path in sources)
    print(
        f"building the data set {card.name} from {names} (once; licence: {card.licence}) ...",
        file=sys.stderr,
        flush=True,
    )
