"""A table's file in the cache of the ``datasets`` library: parsed once, then memory-mapped.

Imported only when a table is opened, for the sake of start-up.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from mmbert.core.errors import DataError, MmbertError
from mmbert.data.tables.formats import FORMATS
from mmbert.data.tables.reading import reading

#: Files up to this size are recognised by their content; larger ones by path, size and time of change.
HASHED_BYTES = 256 * 2**20
#: Part of the cache's key: to be raised when the same file is read differently.
READER_VERSION = 2


class NoRows(DataError):
    """A table is nothing but a header."""


class TableBuilder(datasets.ArrowBasedBuilder):
    """Writes one table's rows into the cache; the library sees to locking, unfinished files and reuse.

    Args:
        path: the table.
        digest: changes with the table.
        ending: of the formats, which reads it.
    """

    def __init__(self, path: Path, digest: str, ending: str) -> None:
        self.path, self.format = path, FORMATS[ending]
        super().__init__(dataset_name="mmbert_table", hash=digest)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo()

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        schema = self.format.schema(self.path)
        self.info.features = datasets.Features.from_arrow_schema(schema)
        return [datasets.SplitGenerator(name="rows", gen_kwargs={"schema": schema})]

    def _generate_tables(self, schema: pa.Schema) -> Iterator[tuple[int, pa.Table]]:  # type: ignore[override]
        empty = True
        for number, table in enumerate(self.format.batches(self.path, schema)):
            empty = False
            yield number, table
        if empty:
            raise NoRows(f"{self.path} has no rows.")


def cached_files(path: Path, ending: str | None = None) -> list[str]:
    """The Arrow files that hold the table, written now if they are not there yet.

    Args:
        path: the table.
        ending: names its format; None = that of its own name.

    Raises:
        DataError: the file cannot be read, or the cache cannot be written.
        ConfigError: its format needs an extra that is not installed.
    """
    ending = ending or path.suffix.lower()
    with reading(path):  # what is wrong with the table is no fault of the cache's
        name = digest(path, ending)
    try:
        with bars_in_terminals():
            builder = TableBuilder(path, name, ending)
            builder.download_and_prepare(verification_mode="no_checks")
            rows = builder.as_dataset(split="rows", in_memory=False)
    except MmbertError:
        raise
    except Exception as error:
        own = next((cause for cause in causes(error) if isinstance(cause, MmbertError)), None)
        if own is not None:
            raise own from error
        if isinstance(error, OSError):
            raise DataError(
                f"{path} cannot be kept in the cache {datasets.config.HF_DATASETS_CACHE}: {error}. "
                "Set the environment variable HF_DATASETS_CACHE to a folder that can be written."
            ) from error
        raise DataError(f"{path} cannot be read as {path.suffix[1:].upper()}: {error.__cause__ or error}") from error
    return [file["filename"] for file in rows.cache_files]


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those it came from, each once: chains may lead back to where they began."""
    known: set[int] = set()
    while error is not None and id(error) not in known:
        known.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def digest(path: Path, ending: str) -> str:
    """A name that changes with the file's content and with what reads it."""
    stat = path.stat()
    key = hashlib.blake2b(f"{READER_VERSION} {ending} {stat.st_size}".encode(), digest_size=16)
    if stat.st_size <= HASHED_BYTES:
        with path.open("rb") as file:
            key.update(hashlib.file_digest(file, "blake2b").digest())
    else:
        key.update(f"{path.absolute()} {stat.st_mtime_ns} {stat.st_ino}".encode())
    return key.hexdigest()


@contextmanager
def bars_in_terminals() -> Iterator[None]:
    """Switches the library's progress bars off where there is no terminal."""
    hide = not sys.stderr.isatty() and not datasets.are_progress_bars_disabled()
    if hide:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            datasets.enable_progress_bars()
