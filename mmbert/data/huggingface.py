"""Data sets of the Hugging Face ``datasets`` library as tables: by name from the hub, or from a folder.

Pictures and sounds lie in such a set as ``{"bytes": ..., "path": ...}``. They are decoded by our own readers (PIL and
soundfile), never by the library's, so that the same file gives the same numbers wherever it lies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmbert.core.errors import DataError, MmbertError
from mmbert.core.regular_files import refuse_special_inside
from mmbert.data.datamodule import MultimodalData
from mmbert.data.splits.splits import SPLIT_COLUMN
from mmbert.data.tables.fingerprint import FINGERPRINT_LENGTH
from mmbert.data.tables.reading import row_name
from mmbert.data.tables.table import Table

if TYPE_CHECKING:
    from datasets import Dataset

#: Rows that are hashed at a time.
HASHED_ROWS = 100


class HuggingFaceData(MultimodalData):
    """As ``MultimodalData``, of a data set of the ``datasets`` library.

    Args:
        path: its name on the hub (``user/name``), or a folder: of ``save_to_disk``, of Parquet files, of pictures with
            their ``metadata.csv``, or of anything else that ``load_dataset`` knows.
        name: of its configurations, where it has several.
        revision: branch, tag or commit on the hub.
        **options: those of ``MultimodalData``. The set's own split names are the values of a column ``split``.

    Raises:
        DataError: it cannot be found or read.
        ConfigError: as ``MultimodalData``.
    """

    def __init__(self, path: str | Path, name: str | None = None, revision: str | None = None, **options: Any) -> None:
        self._name, self._revision = name, revision
        super().__init__(path, **options)

    def open_table(self, path: str | Path) -> Table:
        """The set's splits, one after the other."""
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
        self.path = Path(path)
        splits = load_splits(path, name, revision)
        self._parts = {split: dataset_arrow_files(part, path) for split, part in splits.items()}
        self._classes = class_names(next(iter(splits.values())))
        self._map()

    def _map(self) -> None:
        tables, self._sizes = [], {}
        for split, files in self._parts.items():
            parts = [pa.ipc.open_stream(pa.memory_map(name)).read_all() for name in files]
            table = pa.concat_tables(parts).replace_schema_metadata()
            self._sizes[split] = len(table)
            if SPLIT_COLUMN in table.column_names:
                table = table.drop_columns(SPLIT_COLUMN)
            tables.append(table.append_column(SPLIT_COLUMN, pa.repeat(pa.scalar(split), len(table))))
        whole = pa.concat_tables(tables, promote_options="default")
        self._columns = {name: self._named(name, whole.column(name)) for name in whole.column_names}
        self.column_names = list(self._columns)

    def _named(self, column: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """Class numbers -> class names; -1, which means unlabelled in the library, -> an empty cell."""
        names = self._classes.get(column)
        if names is None:
            return values
        if pa.types.is_integer(values.type):
            codes = pc.if_else(pc.less(values, 0), pa.scalar(None, values.type), values)
            return pc.take(pa.chunked_array([pa.array(names)]), codes)
        cells = (
            [None if cell is None else [names[code] for code in cell] for cell in c.to_pylist()] for c in values.chunks
        )
        return pa.chunked_array([pa.array(chunk, pa.list_(pa.string())) for chunk in cells], pa.list_(pa.string()))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_parts": self._parts, "_classes": self._classes}

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with the content; for files that are only named, with the names."""
        digest = hashlib.sha256()
        for name, values in sorted(self._columns.items()):
            digest.update(f"{name}:{len(values)}:".encode())
            for piece in hashed_pieces(values):
                if self.is_media(name):
                    digest.update(media_key(piece))
                else:
                    digest.update(pa.RecordBatch.from_arrays([piece], ["cells"]).serialize())
        return digest.hexdigest()[:FINGERPRINT_LENGTH]

    @property
    def notes(self) -> list[str]:
        """Nothing is guessed."""
        return []

    def _hidden(self) -> dict[str, str]:
        return {}

    def where(self, row: int) -> str:
        """How messages name a row, given from 0: ``user/name, split 'train', row 17``."""
        for split, size in self._sizes.items():
            if row < size:
                return f"{self.path}, split '{split}', {row_name(row, None)}"
            row -= size
        raise IndexError(row)


def load_splits(path: str | Path, name: str | None, revision: str | None) -> dict[str, Dataset]:
    """The splits of a data set by name.

    Raises:
        DataError: it cannot be found or read, or holds nothing.
    """
    import datasets

    from mmbert.data.tables.arrow_cache import bars_in_terminals

    folder = Path(path)
    try:
        if folder.is_dir():
            refuse_special_inside(folder)
        with bars_in_terminals():
            if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
                found = datasets.load_from_disk(str(folder))
            else:
                found = datasets.load_dataset(str(path), name, revision=revision)
    except MmbertError:
        raise
    except Exception as error:  # the library raises whatever builders and the network make it meet
        raise DataError(f"data.path={path}: {first_sentence(error)} {remedy(folder)}") from error
    if isinstance(found, datasets.Dataset):
        found = {str(found.split or "train"): found}
    assert isinstance(found, Mapping)
    splits = {str(split): part for split, part in found.items() if len(part)}
    if not splits:
        raise DataError(f"data.path={path}: the data set has no rows.")
    return splits


def first_sentence(error: Exception) -> str:
    """The first line of an error message, as a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".:") + "."


def remedy(folder: Path) -> str:
    """What to do about a data set that is not there."""
    if folder.is_dir():
        return "The folder must be one of save_to_disk, or of Parquet, CSV or JSON files, pictures or sounds."
    return (
        "Give the name of a data set on the hub (user/name) and, where it has several, data.name=CONFIGURATION; or a "
        "folder: without network, one that save_to_disk wrote elsewhere."
    )


def dataset_arrow_files(part: Dataset, path: str | Path) -> list[str]:
    """The files of a split, with its rows in its own order.

    Raises:
        DataError: it lies in no file.
    """
    if part._indices is not None:  # rows that were chosen or shuffled, and never written in that order
        part = part.flatten_indices()
    files = [str(file["filename"]) for file in part.cache_files]
    if not files:
        raise DataError(
            f"data.path={path}: the data set lies in no file. Save it with save_to_disk and give the folder."
        )
    return files


def class_names(part: Dataset) -> dict[str, list[str]]:
    """The names of the classes of every column that holds their numbers, or lists of their numbers."""
    from datasets import ClassLabel

    inner = {name: getattr(feature, "feature", feature) for name, feature in part.features.items()}
    return {name: list(feature.names) for name, feature in inner.items() if isinstance(feature, ClassLabel)}


def hashed_pieces(values: pa.ChunkedArray) -> Iterator[pa.Array]:
    """A column by HASHED_ROWS rows, copied, so that how it was cut up in its file does not show."""
    for start in range(0, len(values), HASHED_ROWS):
        rows = np.arange(start, min(start + HASHED_ROWS, len(values)))
        yield pa.concat_arrays(values.take(pa.array(rows)).chunks)


def media_key(piece: pa.Array) -> bytes:
    """What stands for pictures or sounds: their bytes, or the names of their files without the folder."""
    digest = hashlib.sha256()
    for cell in piece.to_pylist():
        content = None if cell is None else cell["bytes"]
        named = "" if cell is None or content is not None else Path(cell["path"] or "").name
        digest.update(f"{named}:{-1 if content is None else len(content)}:".encode())
        digest.update(content or b"")
    return digest.digest()
