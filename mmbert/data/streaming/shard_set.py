"""``ShardSet``: which shards there are, their index, and what of them is missing since they were indexed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import pyarrow.compute as pc
import xxhash
from pyarrow import parquet

from mmbert.core.errors import DataError
from mmbert.core.home import home
from mmbert.core.whole_files import building, write_whole_bytes
from mmbert.data.streaming import locations
from mmbert.data.streaming.description import DESCRIPTION, INDEX, ShardDescription
from mmbert.data.streaming.locators import BLOCK_COLUMN, KEY_COLUMN, is_locator
from mmbert.data.streaming.shard_cache import ShardCache
from mmbert.data.streaming.shard_index import write_shard_index
from mmbert.data.streaming.shard_names import shard_names

Indexed = TypeVar("Indexed")

#: Part of the key of an index in the cache: to be raised when the same shards are indexed differently.
INDEX_VERSION = 1


@dataclass(frozen=True)
class ShardSet:
    """Shards and their index.

    Attributes:
        index: the file of the index, on this machine.
        description: what is in the shards.
        names: their paths or addresses.
        sizes: bytes of them as they are now; None = nobody says, or there is no such file.
        gone: numbers of shards that are not there.
    """

    index: Path
    description: ShardDescription
    names: list[str]
    sizes: list[int | None]
    gone: frozenset[int]

    def faults(self) -> dict[int, str]:
        """Rows whose content is not there, or not whole, and why."""
        found = dict(self.description.faults)
        cut = {
            number: size
            for number, (size, shard) in enumerate(zip(self.sizes, self.description.shards, strict=True))
            if size is not None and size < shard.bytes
        }
        if not cut and not self.gone:
            return found
        index = parquet.read_table(self.index)
        blocks = index.column(BLOCK_COLUMN).to_numpy()
        ends = np.zeros(len(index), np.int64)
        for field in index.schema:
            if is_locator(field.type):
                place, size = (pc.struct_field(index.column(field.name), part) for part in ("place", "size"))
                ends = np.maximum(ends, pc.fill_null(pc.add(place, size), 0).to_numpy())
        for number in sorted({*cut, *self.gone}):
            there = cut.get(number, -1)
            name = self.names[number]
            why = (
                f"{name}: there is no such file"
                if number in self.gone
                else (f"{name} is cut: it has {there:,} bytes, and had {self.description.shards[number].bytes:,}")
            )
            for row in np.flatnonzero((blocks == number) & (ends > there)).tolist():
                key = index.column(KEY_COLUMN)[row].as_py()
                found[row] = f"{why}; sample '{key}' is not whole"
        return found


def open_shards(path: str, cache: ShardCache | None) -> ShardSet:
    """The shards that ``data.path`` means; those of others are indexed now, unless they were before.

    Args:
        path: see ``shard_names``; a folder with a description is as ``mmbert-pack`` left it.
        cache: of shards that lie elsewhere.

    Raises:
        DataError: there are none, they cannot be read, or the description is none.
    """
    folder = path.rstrip("/")
    described = locations.file_in(folder, DESCRIPTION)
    single = "::" in path or path.endswith(".tar") or "*" in path or "{" in path
    if not single and locations.exists(described):
        description = ShardDescription.of(small_file(described), described)
        names = [locations.file_in(folder, shard.name) for shard in description.shards]
        index = index_here(folder, description)
    else:
        names = shard_names(path)
        index = made_index(names, cache)
        description = ShardDescription.of((index.parent / DESCRIPTION).read_bytes(), str(index.parent / DESCRIPTION))
        names = [shard.name for shard in description.shards]
    sizes = locations.sizes(names)
    gone = frozenset(number for number, name in enumerate(names) if name not in sizes)
    return ShardSet(index, description, names, [sizes.get(name) for name in names], gone)


def index_here(folder: str, description: ShardDescription) -> Path:
    """The index beside a description; one that lies elsewhere is copied."""
    name = locations.file_in(folder, INDEX)
    if not locations.is_address(name):
        if not Path(name).is_file():
            raise DataError(f"{name}: there is no such file, though {DESCRIPTION} is there. Pack the shards anew.")
        return Path(name)
    key = xxhash.xxh3_64_hexdigest(f"{name}\n{description.fingerprint}".encode())
    here = home() / "shards" / key / INDEX
    if not here.is_file():
        write_whole_bytes(here, small_file(name))
    return here


def made_index(names: list[str], cache: ShardCache | None) -> Path:
    """The index of shards without one, in mmbert's home; made anew where a shard has change_time.

    Raises:
        DataError: a shard is not there.
    """
    sizes = locations.sizes(names)
    lost = next((name for name in names if name not in sizes), None)
    if lost is not None:
        raise DataError(f"{lost}: there is no such file.")
    states = [(name, sizes[name], change_time(name)) for name in names]
    folder = home() / "shards" / xxhash.xxh3_128_hexdigest(f"{INDEX_VERSION}\n{states}".encode())
    if (folder / INDEX).is_file():
        return folder / INDEX

    @contextmanager
    def opened(name: str) -> Iterator[tuple[BinaryIO, int]]:
        if not locations.is_address(name):
            with open(name, "rb") as file:
                yield file, sizes[name] or 0
            return
        kept = cache or ShardCache(home() / "shards" / "fetched", 0)
        with kept.opened(name, sizes[name], "") as file:
            yield file, sizes[name] or file.seek(0, 2) + file.seek(0)

    with building(folder):
        if not (folder / INDEX).is_file():
            write_shard_index(folder, names, opened, indexing)
    return folder / INDEX


def change_time(name: str) -> int:
    """When a file on this machine was change_time, in nanoseconds; elsewhere its size alone tells."""
    return 0 if locations.is_address(name) else Path(name).stat().st_mtime_ns


def indexing(files: Iterable[Indexed]) -> Iterable[Indexed]:
    """The files, with a moving bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    quiet = not sys.stderr.isatty()
    return track(list(files), "indexing", console=Console(stderr=True), disable=quiet, transient=True)


def small_file(name: str) -> bytes:
    """The bytes of a small file.

    Raises:
        DataError: it is not there.
    """
    try:
        return locations.read_bytes(name)
    except FileNotFoundError:
        raise DataError(f"{name}: there is no such file.") from None
