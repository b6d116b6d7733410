"""What all formats share: batches of rows, names of columns and rows in messages, and errors that name the file."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from mmbert.core.errors import DataError

#: Rows that are held in memory while a file is read.
BATCH_ROWS = 10_000

Record = TypeVar("Record")


def in_batches(items: Iterator[Record]) -> Iterator[list[Record]]:
    """BATCH_ROWS or fewer at a time."""
    while batch := list(islice(items, BATCH_ROWS)):
        yield batch


def row_name(row: int, line: int | None) -> str:
    """How messages name a row: data rows counted from 1, and the line of the file for text formats."""
    return f"row {row + 1}" if line is None else f"row {row + 1} (line {line})"


def bare_name(name: str) -> str:
    """A column's name without blanks around it, its accents composed (NFC), however the file spells them."""
    return unicodedata.normalize("NFC", name.strip())


def written_as(name: str, names: Iterable[str]) -> str | None:
    """Which of the names is meant: the very one, else the only one that has the same bare name; None if there is none.

    Args:
        name: a column, as it is asked for.
        names: of a table's columns.
    """
    known = list(names)
    if name in known:
        return name
    found = [written for written in known if bare_name(written) == bare_name(name)]
    return found[0] if len(found) == 1 else None


def distinct_names(path: Path, names: Sequence[str]) -> Sequence[str]:
    """The names, if none occurs twice.

    Raises:
        DataError: one does.
    """
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise DataError(
            f"{path} has two columns called '{twice}': rename one of them. Blanks around a name do not count."
        )
    return names


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns errors while a file is read into a ``DataError`` that names it."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 (byte {error.start} of a block: {error.reason}). Save it as UTF-8."
        ) from error
    except PermissionError as error:
        raise DataError(f"{path}: this user may not read it (permission denied).") from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as {path.suffix[1:].upper()}: {error}") from error
