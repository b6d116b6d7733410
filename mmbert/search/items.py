"""What is searched: the pictures, sounds and texts of a folder, or the cells of a table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.types import ShownAs
from mmbert.data.modalities.registry import modality_of
from mmbert.data.tables.table import Table
from mmbert.encoders.base import Encoder

#: Endings of files by what they hold.
FILE_ENDINGS: dict[ShownAs, frozenset[str]] = {
    "image": frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".svg", ".heic", ".heif"}),
    "audio": frozenset({".wav", ".flac", ".ogg", ".mp3", ".opus", ".aiff", ".aif"}),
    "text": frozenset({".txt", ".md"}),
}


@dataclass(frozen=True)
class Item:
    """One thing that can be found.

    Attributes:
        modality: the encoder that reads it.
        name: what a match is called: a file relative to its folder, or the cell.
        stamp: changes when the content does: size and time of a file, or the cell itself.
        row: of a table, from 0; None = a file of a folder.
    """

    modality: str
    name: str
    stamp: str
    row: int | None = None


def items_in(place: Path, encoders: Mapping[str, Encoder], columns: Mapping[str, str]) -> list[Item]:
    """The items of a folder, or of a table's columns.

    Args:
        place: a folder, with all that is in it, or a table.
        encoders: by modality.
        columns: the table's column by modality, where it is not the modality's name.

    Raises:
        ConfigError: there is no such place, or a column is named for a modality that there is not.
        DataError: nothing in it can be searched.
    """
    if not place.exists():
        raise ConfigError(f"--in {place}: there is no such folder or table.")
    strange = [name for name in columns if name not in encoders]
    if strange:
        raise ConfigError(f"--column {strange[0]}=…: the model has no such modality. It has {', '.join(encoders)}.")
    found = items_of_folder(place, encoders) if place.is_dir() else items_of_table(place, encoders, columns)
    if not found:
        raise DataError(f"{place} holds nothing that the model can read ({', '.join(encoders)}).")
    return found


def items_of_folder(folder: Path, encoders: Mapping[str, Encoder]) -> list[Item]:
    """The files whose endings say that a modality can read them, in the order of their names; none that is hidden."""
    reads: dict[str, str] = {}
    for name, encoder in encoders.items():
        for ending in FILE_ENDINGS.get(modality_of(encoder).shown_as, ()):
            reads.setdefault(ending, name)
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(names):
            modality = reads.get(Path(name).suffix.lower())
            if modality is not None and not name.startswith("."):
                path = Path(root, name)
                facts = path.stat()
                found.append(Item(modality, str(path.relative_to(folder)), f"{facts.st_size} {facts.st_mtime_ns}"))
    return found


def items_of_table(path: Path, encoders: Mapping[str, Encoder], columns: Mapping[str, str]) -> list[Item]:
    """The cells of a table's columns, each distinct one once, with its first row."""
    table, found = Table(path), []
    for name, encoder in encoders.items():
        column = columns.get(name, name)
        if name in columns:
            table.require(column, f"Name another column: --column {name}=COLUMN.")
        if not table.has_column(column):
            continue
        kind, seen = modality_of(encoder), set()
        for row, cell in enumerate(table.column(column, range(len(table)))):
            if isinstance(cell, str) and cell not in seen:
                seen.add(cell)
                stamp = file_stamp(table.folder / cell) if kind.names_files else ""
                found.append(Item(name, cell, stamp, row))
    return found


def file_stamp(path: Path) -> str:
    """Size and time of a file; empty if there is none."""
    try:
        facts = path.stat()
    except OSError:
        return ""
    return f"{facts.st_size} {facts.st_mtime_ns}"


def item_value(item: Item, place: Path, encoders: Mapping[str, Encoder]) -> Any:
    """What an encoder's processor is to read of an item: a text, or a path.

    Raises:
        DataError: a file of text cannot be read as UTF-8.
    """
    names_files = modality_of(encoders[item.modality]).names_files
    if place.is_dir():
        path = place / item.name
        if names_files:
            return str(path)
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (UnicodeDecodeError, OSError) as error:
            raise DataError(f"{path} is no text in UTF-8.") from error
        if not text:
            raise DataError(f"{path} is empty.")
        return text
    return str(place.parent / item.name) if names_files else item.name
