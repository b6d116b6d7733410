"""What the ``datasets`` library leaves out of a folder without a message: counted, and named in a note."""

from __future__ import annotations

import os
import re
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mmbert.data.tables.formats import FORMATS

if TYPE_CHECKING:
    from datasets import DatasetBuilder

#: Where the library's own builders are.
PACKAGED = "datasets.packaged_modules."
#: Files that a note names.
NAMED_FILES = 5
#: What the library takes for the key and the field of a member: all up to the first dot of its name, and the rest.
MEMBER = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")


def left_out_notes(builder: DatasetBuilder, splits: Mapping[str, Any]) -> list[str]:
    """What of its files a builder of the library did not bring into the splits.

    Args:
        builder: it has prepared them.
        splits: ``datasets.Dataset`` by name.
    """
    notes = []
    for split, files in (builder.config.data_files or {}).items():
        local = [str(file) for file in files if os.path.isfile(str(file))]
        if hasattr(builder, "EXTENSIONS"):
            media = [file for file in local if os.path.splitext(file)[1].lower() in builder.EXTENSIONS]
            notes += unread_media(str(split), media, [splits[split].data.table] if split in splits else [])
        elif builder_kind(builder) == "webdataset":
            notes += unread_fields(str(split), local, set(splits[split].column_names), len(splits[split]))
    return notes


def builder_kind(builder: DatasetBuilder) -> str:
    """What the library calls a builder of its own: ``csv``, ``imagefolder``, ``webdataset``."""
    modules = [kind.__module__ for kind in type(builder).__mro__ if kind.__module__.startswith(PACKAGED)]
    return modules[0].removeprefix(PACKAGED).partition(".")[0] if modules else ""


def unread_media(split: str, files: Sequence[str], tables: Sequence[pa.Table]) -> list[str]:
    """Pictures or sounds of a folder that stand in no row, because ``metadata.csv`` does not name them."""
    columns = [column for table in tables for column in table.columns]
    used = {nfc_path(path) for column in columns for path in media_paths(column)}
    lost = [file for file in files if nfc_path(file) not in used]
    if not lost:
        return []
    return [
        f"split '{split}': {len(lost):,} of {len(files):,} files stand in no row of metadata.csv (.jsonl, .parquet) "
        f"and are left out: {listed(os.path.basename(file) for file in lost)}"
    ]


def nfc_path(path: str) -> str:
    """A path in the form in which equal files have equal ones."""
    return unicodedata.normalize("NFC", os.path.abspath(path))


def media_paths(column: pa.ChunkedArray) -> Iterator[str]:
    """The paths of the pictures and sounds of a column, those in lists too."""
    for chunk in column.chunks:
        while pa.types.is_list(chunk.type) or pa.types.is_large_list(chunk.type):
            chunk = chunk.flatten()
        if pa.types.is_struct(chunk.type) and {field.name for field in chunk.type} == {"bytes", "path"}:
            yield from (path for path in chunk.field("path").to_pylist() if path)


def unread_fields(split: str, shards: Iterable[str], columns: set[str], rows: int) -> list[str]:
    """Members of WebDataset shards whose kind the library did not see in the samples that it took for a pattern."""
    fields: Counter[str] = Counter()
    first: dict[str, str] = {}
    keys = 0
    for shard in shards:
        last = None
        for key, name in members(shard):
            keys += key != last
            last = key
            fields[name] += 1
            first.setdefault(name, f"{key} in {os.path.basename(shard)}")
    notes = [
        f"split '{split}': the members .{name} of {count:,} of {keys:,} samples, first of {first[name]}, are left out: "
        f"the datasets library takes the fields of a set from the first five samples of one shard. Give these samples "
        f"a member .{name} too, an empty one where there is nothing"
        for name, count in fields.items()
        if name not in columns
    ]
    if keys != rows:
        notes.append(f"split '{split}': its shards have {keys:,} samples, of which {rows:,} rows came back")
    return notes


def members(shard: str) -> Iterator[tuple[str, str]]:
    """(key, field) of the members of a shard, in order; no content is read."""
    with tarfile.open(shard) as tar:
        for member in tar:
            found = MEMBER.match(member.name) if member.isfile() else None
            if found is not None:
                yield found.group(1), found.group(2)


def unread_tables(path: str | Path, used: Iterable[str]) -> list[str]:
    """Tables of a folder that are in no split, because others of another format, or with names of splits, are."""
    folder = Path(path)
    if not folder.is_dir() or (folder / "README.md").is_file():  # which may say that they belong to another set
        return []
    known = {os.path.abspath(file) for file in used}
    lost = [
        file.relative_to(folder)
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in FORMATS
        and os.path.abspath(file.resolve()) not in known
        and os.path.abspath(file) not in known
        and not any(part.startswith((".", "__")) for part in file.relative_to(folder).parts)
    ]
    if not lost:
        return []
    return [f"{len(lost):,} tables of {folder} belong to no split and are left out: {listed(map(str, lost))}"]


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - NAMED_FILES:,} more" if len(every) > NAMED_FILES else ""
    return ", ".join(every[:NAMED_FILES]) + more
