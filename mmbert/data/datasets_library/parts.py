"""The splits of a data set as files of Arrow streams: saved ones, the library's cache, or tables read by our readers.

Tables (CSV, TSV, JSONL, Parquet) in a folder are read as ``data=manifest`` reads them: the same cell is the same label
and the same text in both. Which file belongs to which split is the library's rule. What lies on the hub is read and
kept by the library, so that it is there without network too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.core.errors import DataError, MmbertError
from mmbert.core.regular_files import refuse_special_inside
from mmbert.data.datasets_library.class_names import namings, noted_features
from mmbert.data.datasets_library.left_out import builder_kind, left_out_notes, unread_tables
from mmbert.data.datasets_library.media_folder import media_folder_parts
from mmbert.data.datasets_library.split_part import SplitPart
from mmbert.data.tables.formats import FORMATS

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder

#: Builders of the library whose files our own readers read, by the last part of their module's name.
TABLE_BUILDERS = ("csv", "json", "parquet")
#: What may stand behind a table's ending.
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4")


def find_parts(path: str | Path, name: str | None, revision: str | None) -> tuple[list[SplitPart], list[str]]:
    """The parts of a data set, in the order of its splits, and what of it was left out, a sentence each.

    Raises:
        DataError: it cannot be found or read, or holds nothing.
    """
    import datasets

    from mmbert.data.tables.arrow_cache import bars_in_terminals

    folder = Path(path)
    notes: list[str] = []
    try:
        if folder.is_dir():
            refuse_special_inside(folder)
        with bars_in_terminals():
            if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
                parts = saved_parts(datasets.load_from_disk(str(folder)), path)
            elif folder.is_dir():
                parts, notes = folder_parts(partial(datasets.load_dataset_builder, str(path), name), path)
            else:
                found = datasets.load_dataset(str(path), name, revision=revision)
                parts, notes = saved_parts(found, path), hub_notes(found, path)
    except MmbertError:
        raise
    except Exception as error:  # the library raises whatever builders and the network make it meet
        raise DataError(f"data.path={path}: {first_sentence(error)} {remedy(folder)}") from error
    if not parts:
        raise DataError(f"data.path={path}: the data set has no rows.")
    return parts, notes


def hub_notes(found: Mapping[str, Dataset], path: str | Path) -> list[str]:
    """What the library guesses of CSV files of the hub, which it reads and keeps itself."""
    if not any(part.info.builder_name == "csv" and part.info.features for part in dict(found).values()):
        return []
    return [
        f"{path}: its CSV files are read by the datasets library, which takes words such as NA and None for empty "
        "cells and 007 for 7; download the files and give their folder to read them as they are"
    ]


def folder_parts(make: Callable[..., DatasetBuilder], path: str | Path) -> tuple[list[SplitPart], list[str]]:
    """What a builder of the library finds in a folder: its tables read by our readers, all else by its own.

    Args:
        make: gives the builder; takes options of its kind.
        path: the folder.
    """
    builder = make()
    kind = builder_kind(builder)
    files = [str(file) for split in (builder.config.data_files or {}).values() for file in split]
    endings = {file: table_ending(file) for file in files if os.path.isfile(file)}
    declared = builder.info.features
    if hasattr(builder, "METADATA_FILENAMES") and (found := media_folder_parts(builder)) is not None:
        return found
    ours = len(endings) == len(files) and all(endings.values())
    if kind in TABLE_BUILDERS and ours and (declared is None or kind == "parquet"):
        return table_parts(builder, endings), unread_tables(path, list(endings))
    if kind == "csv":  # with types that a README declares: pandas' words for nothing are words here too
        builder = make(keep_default_na=False, na_values=[""])
    builder.download_and_prepare()
    splits = builder.as_dataset()
    return saved_parts(splits, path), left_out_notes(builder, splits)


def table_parts(builder: DatasetBuilder, endings: Mapping[str, str]) -> list[SplitPart]:
    """A part for each table, unpacked first if it is compressed; tables without rows are none."""
    import datasets

    from mmbert.data.tables.arrow_cache import NoRows, cached_files

    parts = []
    loader = datasets.DownloadManager(dataset_name=builder.dataset_name, base_path=builder.base_path)
    for split, files in builder.config.data_files.items():
        for file in map(str, files):
            local = Path(loader.extract(file))
            with suppress(NoRows):
                streams = tuple(cached_files(local, endings[file]))
                naming = namings(declared_features(local, endings[file]) or builder.info.features or {})
                source = local if str(local) == file else None
                parts.append(SplitPart(str(split), streams, naming, source, FORMATS[endings[file]].hidden(local)))
    return parts


def table_ending(file: str) -> str:
    """Which of our readers reads a file, also a compressed one; empty where none does."""
    name = Path(file)
    while name.suffix.lower() in COMPRESSED:
        name = name.with_suffix("")
    ending = name.suffix.lower()
    return ending if ending in FORMATS else ""


def declared_features(path: Path, ending: str) -> Mapping[str, Any] | None:
    """What the library noted of its types in a Parquet file; None elsewhere."""
    from pyarrow import parquet

    return noted_features(parquet.read_schema(path)) if ending == ".parquet" else None


def saved_parts(found: Any, path: str | Path) -> list[SplitPart]:
    """The parts of one or more ``datasets.Dataset``; a split without rows is none.

    Raises:
        DataError: one lies in no file.
    """
    import datasets

    if isinstance(found, datasets.Dataset):
        found = {str(found.split or "train"): found}
    assert isinstance(found, Mapping)
    return [
        SplitPart(str(split), tuple(dataset_arrow_files(part, path)), namings(part.features))
        for split, part in found.items()
        if len(part)
    ]


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


def first_sentence(error: Exception) -> str:
    """The first line of an error message, or of what caused it where the library says only that it failed."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    cause = error.__cause__
    if type(error).__name__ == "DatasetGenerationError" and isinstance(cause, Exception):
        return f"{lines[0].rstrip('.:')}: {first_sentence(cause)}"
    return lines[0].rstrip(".:") + "."


def remedy(folder: Path) -> str:
    """What to do about a data set that is not there."""
    if folder.is_dir():
        return "The folder must be one of save_to_disk, or of Parquet, CSV or JSON files, pictures or sounds."
    return (
        "Give the name of a data set on the hub (user/name) and, where it has several, data.name=CONFIGURATION; or a "
        "folder: without network, one that save_to_disk wrote elsewhere."
    )
