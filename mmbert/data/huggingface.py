"""Data sets of the Hugging Face ``datasets`` library as tables: by name from the hub, or from a folder.

Pictures and sounds lie in such a set as ``{"bytes": ..., "path": ...}``. They are decoded by our own readers (PIL and
soundfile), never by the library's, so that the same file gives the same numbers wherever it lies.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa

from mmbert.core.errors import ConfigError
from mmbert.core.ranges import Range
from mmbert.data.datasets_library.joining import joined_tables, with_split
from mmbert.data.datasets_library.parts import find_parts
from mmbert.data.datasets_library.split_part import part_table
from mmbert.data.modalities.base import bytes_and_name
from mmbert.data.splits.splits import SPLIT_COLUMN
from mmbert.data.streamed_data import StreamedData
from mmbert.data.streaming.locations import is_address
from mmbert.data.streaming.parquet_table import ParquetTable
from mmbert.data.streaming.shard_cache import cache_in
from mmbert.data.tables.fingerprint import FINGERPRINT_LENGTH
from mmbert.data.tables.formats import FORMATS
from mmbert.data.tables.opening import only_path
from mmbert.data.tables.reading import row_name
from mmbert.data.tables.table import Table

#: Rows that are hashed at a time.
HASHED_ROWS = 100


class HuggingFaceData(StreamedData):
    """As ``MultimodalData``, of a data set of the ``datasets`` library.

    Args:
        path: its name on the hub (``user/name``), or a folder: of ``save_to_disk``, of Parquet files, of pictures with
            their ``metadata.csv``, or of anything else that ``load_dataset`` knows. If it is streamed, also an address.
        name: of its configurations, where it has several.
        revision: branch, tag or commit on the hub.
        streaming: whether pictures and sounds are read from the Parquet files, wherever they lie, as they are needed,
            and not copied before. Training samples then come in an order that goes by row groups.
        shuffle_buffer: see ``StreamedData``.
        cache_gib: room for row groups on this machine's disk; 0 = none, and a group is read again for each sample that
            is not near the one before.
        cache_dir: where; None = in mmbert's home.
        **options: those of ``MultimodalData``. The set's own split names are the values of a column ``split``.

    Raises:
        DataError: it cannot be found or read.
        ConfigError: as ``MultimodalData``; if it is streamed, as ``StreamedData``.
    """

    def __init__(
        self,
        path: str | Path,
        name: str | None = None,
        revision: str | None = None,
        streaming: bool = False,
        shuffle_buffer: Annotated[int | None, Range(1)] = 10_000,
        cache_gib: Annotated[float, Range(0)] = 50.0,
        cache_dir: str | Path | None = None,
        **options: Any,
    ) -> None:
        self._name, self._revision, self.streaming = name, revision, streaming
        if is_address(path) and not streaming:
            raise ConfigError(f"data.path={path} is an address, whose data can only be streamed: data.streaming=true.")
        self._cache = cache_in(cache_dir, cache_gib)
        super().__init__(path, shuffle_buffer, **options)

    def open_table(self, path: str | Path) -> Table:
        """The set's splits, one after the other."""
        if self.streaming:
            return ParquetTable(path, self._name, self._revision, self._cache)
        return HuggingFaceTable(path, self._name, self._revision)


class HuggingFaceTable(Table):
    """All splits of a data set, memory-mapped from the library's cache.

    Args:
        path: name or folder.
        name: configuration.
        revision: of the hub's repository.

    Raises:
        DataError: it cannot be found or read.
    """

    def __init__(self, path: str | Path, name: str | None = None, revision: str | None = None) -> None:
        self.path = only_path(path)
        self._parts, self._notes = find_parts(path, name, revision)
        self._map()

    def _map(self) -> None:
        tables, self._sizes = [], []
        for part in self._parts:
            table = part_table(part, self.path)
            self._sizes.append(len(table))
            tables.append((part.split, with_split(table, SPLIT_COLUMN, part.split)))
        self._columns, self._unlike = joined_tables(tables)
        self.column_names = list(self._columns)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_parts": self._parts, "_notes": self._notes}

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with the content; for files that are only named, with the names."""
        digest = hashlib.sha256()
        for name, values in sorted((name, self._columns[name]) for name in self.column_names):
            digest.update(f"{name}:{len(values)}:".encode())
            for piece in hashed_pieces(values):
                if self.is_media(name):
                    digest.update(media_key(piece))
                else:
                    digest.update(pa.RecordBatch.from_arrays([piece], ["cells"]).serialize())
        return digest.hexdigest()[:FINGERPRINT_LENGTH]

    @property
    def folder(self) -> Path:
        """Of tables the folder that they all lie in; else that of the set's own."""
        sources = {part.source.parent if part.source else None for part in self._parts}
        first = next(iter(sources))
        if None in sources or first is None:
            return self.path.parent
        return first if len(sources) == 1 else self.path

    @property
    def notes(self) -> list[str]:
        """What of the set was left out, and what was guessed of its tables, a sentence each."""
        found = [FORMATS[part.source.suffix.lower()].notes(part.source) for part in self._parts if part.source]
        return [*self._notes, *(note for notes in found for note in notes)]

    def _hidden(self) -> dict[str, str]:
        return {**self._unlike, **{name: kind for part in self._parts for name, kind in part.hidden.items()}}

    def where(self, row: int) -> str:
        """How messages name a row, given from 0: ``user/name, split 'train', row 17``, or by the line of its table."""
        in_split: Counter[str] = Counter()
        for part, size in zip(self._parts, self._sizes, strict=True):
            if row < size and part.source is not None:
                line = FORMATS[part.source.suffix.lower()].line(part.source, row)
                return f"{part.source}, {row_name(row, line)}"
            if row < size:
                return f"{self.path}, split '{part.split}', {row_name(in_split[part.split] + row, None)}"
            row -= size
            in_split[part.split] += size
        raise IndexError(row)


def hashed_pieces(values: pa.ChunkedArray) -> Iterator[pa.Array]:
    """A column by HASHED_ROWS rows, copied, so that how it was cut up in its file does not show."""
    for start in range(0, len(values), HASHED_ROWS):
        rows = np.arange(start, min(start + HASHED_ROWS, len(values)))
        yield pa.concat_arrays(values.take(pa.array(rows)).chunks)


def media_key(piece: pa.Array) -> bytes:
    """What stands for pictures or sounds: their bytes, or the names of their files without the folder."""
    digest = hashlib.sha256()
    for cell in piece.to_pylist():
        content, path = bytes_and_name(cell)
        named = "" if path is None or content is not None else Path(path).name
        digest.update(f"{named}:{-1 if content is None else len(content)}:".encode())
        digest.update(content or b"")
    return digest.digest()
