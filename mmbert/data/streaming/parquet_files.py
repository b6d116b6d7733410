"""Which Parquet files a data set has, and the split of each: by the ``datasets`` library's rule, or by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.core.errors import DataError, MmbertError
from mmbert.core.regular_files import refuse_special_inside
from mmbert.data.datasets_library.left_out import builder_kind, unread_tables
from mmbert.data.datasets_library.parts import first_sentence, remedy
from mmbert.data.streaming import locations
from mmbert.data.streaming.shard_names import named_files, split_of

if TYPE_CHECKING:
    from datasets import DatasetBuilder

PARQUET_ENDING = ".parquet"
#: What the library calls the splits for which names of files have other words.
LIBRARY_SPLITS = {"train": "train", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class ParquetFiles:
    """The files of a data set.

    Attributes:
        files: (split, path or address), in the order of the rows.
        features: of the set, as the library describes them (``datasets.Features``); None = it says nothing.
        notes: what was left out, a sentence each.
    """

    files: list[tuple[str, str]]
    features: Mapping[str, Any] | None
    notes: list[str]


def find_parquet(path: str, name: str | None, revision: str | None) -> ParquetFiles:
    """The Parquet files that ``data.path`` means.

    Args:
        path: a folder, or a set on the hub (``user/name``), whose files the library finds; or addresses and patterns,
            whose split is a word in the name of the file or its folder.
        name: configuration.
        revision: of the hub's repository.

    Raises:
        DataError: there are none.
    """
    if locations.is_address(path) or "::" in path or path.endswith(PARQUET_ENDING) or set("*{") & set(path):
        names = named_files(path, PARQUET_ENDING)
        if not names:
            raise DataError(f"data.path={path}: there are no Parquet files ({PARQUET_ENDING}).")
        files = [(LIBRARY_SPLITS[split_of(file) or "train"], file) for file in names]
        return ParquetFiles(sorted(files, key=lambda file: list(LIBRARY_SPLITS.values()).index(file[0])), None, [])
    folder = Path(path)
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        raise DataError(
            f"data.path={path}: a folder of save_to_disk is mapped from the disk as it is. Leave out data.streaming."
        )
    builder = library_builder(folder, path, name, revision)
    found = {str(split): list(map(str, files)) for split, files in (builder.config.data_files or {}).items()}
    if builder_kind(builder) != "parquet":
        raise DataError(f"data.path={path}: {other_kind(builder_kind(builder), folder.is_dir())}")
    files = [(split, file) for split, names in found.items() for file in names]
    notes = unread_tables(path, [file for _, file in files]) if folder.is_dir() else []
    return ParquetFiles(files, builder.info.features, notes)


def library_builder(folder: Path, path: str, name: str | None, revision: str | None) -> DatasetBuilder:
    """What the library makes of a folder or a name; no data are fetched.

    Raises:
        DataError: nothing.
    """
    import datasets

    try:
        if folder.is_dir():
            refuse_special_inside(folder)
        return datasets.load_dataset_builder(path, name, revision=None if folder.is_dir() else revision)
    except MmbertError:
        raise
    except Exception as error:  # the library raises whatever builders and the network make it meet
        raise DataError(f"data.path={path}: {first_sentence(error)} {remedy(folder)}") from error


def other_kind(kind: str, here: bool) -> str:
    """What to do about a set that is no Parquet."""
    if kind == "webdataset":
        return "it is made of shards (tar files): use data=webdataset."
    reason = f"it is made of {kind} files, and only Parquet can be read here and there. " if kind else ""
    if here:
        return f"{reason}Leave out data.streaming, or write it as Parquet."
    return f"{reason}The hub has many as Parquet: data.revision=refs/convert/parquet. Or leave out data.streaming."
