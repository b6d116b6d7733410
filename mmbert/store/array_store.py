"""``ArrayStore``: an append-only store of arrays on disk, found by 128-bit keys and read through memory maps.

It is a folder of segments. Each process that writes has a segment of its own, three files that only grow:

    NAME.long    for each entry an array of any length, concatenated without padding
    NAME.fixed   for each entry an array of the same length
    NAME.index   for each entry a record: key, place and checksums

The record is written after the arrays it refers to and holds a checksum of itself: a process that is killed leaves at
worst some bytes without a record. An entry whose bytes do not match the record's checksum is treated as absent. A
tombstone, a record in a later segment, deletes it for all processes.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import xxhash

from mmbert.core.whole_files import naming

#: A key is 128 bits, as two numbers: (n, 2) uint64.
RECORD = np.dtype(
    [
        ("key", "<u8", (2,)),
        ("offset", "<u8"),
        ("length", "<u8"),  # numbers in the long array; TOMBSTONE = the entry is deleted
        ("long_sum", "<u8"),
        ("fixed_sum", "<u8"),
        ("own_sum", "<u8"),
    ]
)
TOMBSTONE = 2**63
#: Odd constants, one for each word of a record but the last.
MIX = np.random.default_rng(20240101).integers(1, 2**63, 6, np.uint64) * np.uint64(2) + np.uint64(1)
ABSENT = -1
SEGMENT_FILES = (".long", ".fixed", ".index")
#: A place is a segment's number and a record's number in one int64.
SEGMENT_BITS = 32


def checksum(array: np.ndarray) -> int:
    """A 64-bit checksum of a contiguous array's bytes."""
    return xxhash.xxh3_64_intdigest(array) if array.size else 0  # type: ignore[arg-type]


def array_bytes(array: np.ndarray) -> Any:
    """An array's bytes, without a copy if it is contiguous."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def record_sums(records: np.ndarray) -> np.ndarray:
    """(n,) uint64: a checksum of each record's other fields."""
    words = np.ascontiguousarray(records).view("<u8").reshape(len(records), -1)[:, :-1]
    mixed = words * MIX
    mixed ^= mixed >> np.uint64(29)
    return (mixed * MIX[::-1]).sum(1, dtype=np.uint64) + np.uint64(1)


class Segment:
    """One process's entries, open for reading.

    Args:
        base: the path without its ending.
        long_type: of the numbers in the long array.
        fixed_type: of those in the fixed one.
        fixed_length: how many of them an entry has.
    """

    def __init__(self, base: Path, long_type: np.dtype, fixed_type: np.dtype, fixed_length: int) -> None:
        self.base = base
        self.long_type, self.fixed_type, self.fixed_length = long_type, fixed_type, fixed_length
        self.records = np.zeros(0, RECORD)
        self._maps: dict[str, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}  # another process maps the files anew

    def refresh(self) -> np.ndarray:
        """Reads the records that were added since the last call and returns them; damaged ones get the key 0."""
        known = len(self.records)
        path = self.base.with_suffix(".index")
        count = (path.stat().st_size if path.exists() else 0) // RECORD.itemsize - known
        if count <= 0:
            return self.records[:0]
        fresh = np.fromfile(path, RECORD, count, offset=known * RECORD.itemsize)
        broken = record_sums(fresh) != fresh["own_sum"]
        fresh["key"][broken] = 0  # keeps its place in the numbering, but is never found
        self.records = np.concatenate([self.records, fresh])
        return fresh

    def entry(self, number: int, with_long: bool = True) -> tuple[np.ndarray, np.ndarray] | None:
        """An entry's long array, flat (empty unless ``with_long``), and its fixed one; None if a checksum differs."""
        _, offset, length, long_sum, fixed_sum, _ = self.records[number].item()  # all at once: one field takes as long
        fixed = self._slice("fixed", self.fixed_type, number * self.fixed_length, self.fixed_length)
        if fixed is None or checksum(fixed) != fixed_sum:
            return None
        if not with_long:
            return np.zeros(0, self.long_type), fixed
        long = self._slice("long", self.long_type, offset // self.long_type.itemsize, length)
        return None if long is None or checksum(long) != long_sum else (long, fixed)

    def _slice(self, which: str, kind: np.dtype, start: int, length: int) -> np.ndarray | None:
        if not length:
            return np.zeros(0, kind)
        mapped = self._maps.get(which)
        if mapped is None or start + length > len(mapped):
            path = self.base.with_suffix(f".{which}")
            whole = (path.stat().st_size if path.exists() else 0) // kind.itemsize
            if start + length > whole:
                return None
            mapped = np.memmap(path, kind, "r", shape=(whole,)).view(np.ndarray)
            self._maps[which] = mapped
        return mapped[start : start + length]


class ArrayStore:
    """Entries of all segments in a folder.

    Args:
        folder: of the segments; need not exist yet.
        long_type: NumPy's name of the long arrays' dtype, such as ``float32``.
        fixed_type: of the fixed arrays' dtype.
        fixed_length: numbers in a fixed array; 0 = none.
    """

    def __init__(self, folder: Path, long_type: str, fixed_type: str, fixed_length: int) -> None:
        self.folder = folder
        self.long_type, self.fixed_type, self.fixed_length = np.dtype(long_type), np.dtype(fixed_type), fixed_length
        self.segments: list[Segment] = []
        self._high, self._low = np.zeros(0, np.uint64), np.zeros(0, np.uint64)
        self._places = np.zeros(0, np.int64)
        self.refresh()

    def refresh(self) -> None:
        """Reads the records that were written since the last call, by this process or another."""
        known = {segment.base.name for segment in self.segments}
        for path in sorted(self.folder.glob("*.index")):  # names begin with their time: later records come later
            if path.stem not in known:
                base = path.with_suffix("")
                self.segments.append(Segment(base, self.long_type, self.fixed_type, self.fixed_length))
        grown = [len(segment.refresh()) for segment in self.segments]
        if any(grown):
            self._sort()

    def _sort(self) -> None:
        order = sorted(range(len(self.segments)), key=lambda number: self.segments[number].base.name)
        keys = np.concatenate([self.segments[n].records["key"] for n in order])
        places = np.concatenate([(n << SEGMENT_BITS) + np.arange(len(self.segments[n].records)) for n in order])
        sorting = np.lexsort((np.arange(len(keys)), keys[:, 1], keys[:, 0]))  # of equal keys the last written is last
        self._high, self._low = keys[sorting, 0], keys[sorting, 1]
        self._places = places[sorting]

    def __len__(self) -> int:
        """Entries that can be found."""
        keys = np.stack([self._high, self._low], 1)
        distinct = np.unique(keys, axis=0)
        return int((self.find(distinct) != ABSENT).sum())

    def keys(self) -> np.ndarray:
        """(n, 2) uint64: the keys of all entries that can be found."""
        keys = np.stack([self._high, self._low], 1)
        distinct = np.unique(keys, axis=0)
        return distinct[self.find(distinct) != ABSENT]

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Keys (n, 2) uint64 -> their places (n,) int64, ABSENT where there is no entry, as for the key 0."""
        found = np.full(len(keys), ABSENT, np.int64)
        if not len(self._places) or not len(keys):
            return found
        first = np.searchsorted(self._high, keys[:, 0], "left")
        at = np.searchsorted(self._high, keys[:, 0], "right") - 1
        open_ = (at >= first) & (keys != 0).any(1)  # damaged records have the key 0
        while open_.any():  # more than once only where two keys share their first half
            hit = open_ & (self._low[np.maximum(at, 0)] == keys[:, 1])
            found[hit] = self._places[at[hit]]
            at = at - 1
            open_ = open_ & ~hit & (at >= first)
        for place in np.unique(found[found != ABSENT] >> SEGMENT_BITS):
            here = (found != ABSENT) & (found >> SEGMENT_BITS == place)
            numbers = found[here] & (2**SEGMENT_BITS - 1)
            dead = self.segments[int(place)].records["length"][numbers] == TOMBSTONE
            found[np.flatnonzero(here)[dead]] = ABSENT
        return found

    def entry(self, place: int, with_long: bool = True) -> tuple[np.ndarray, np.ndarray] | None:
        """The arrays at a place: the long one, flat (empty unless ``with_long``), and the fixed one (fixed_length,).

        None = damaged. They are read-only views of the files.
        """
        return self.segments[place >> SEGMENT_BITS].entry(place & (2**SEGMENT_BITS - 1), with_long)

    def key(self, place: int) -> np.ndarray:
        """(2,) uint64: the key of the entry at a place."""
        key: np.ndarray = self.segments[place >> SEGMENT_BITS].records["key"][place & (2**SEGMENT_BITS - 1)]
        return key

    def length(self, place: int) -> int:
        """Numbers in the long array at a place."""
        return int(self.segments[place >> SEGMENT_BITS].records["length"][place & (2**SEGMENT_BITS - 1)])

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.glob("*.*") if path.suffix in SEGMENT_FILES)

    def delete(self, keys: np.ndarray) -> None:
        """Deletes entries: no process finds them after its next ``refresh``."""
        with SegmentWriter(self) as writer:
            writer.delete(keys)


class SegmentWriter:
    """Appends entries to an array store, in a segment of its own whose files are made with the first entry.

    Args:
        array_store: the store that is written to.
    """

    def __init__(self, array_store: ArrayStore) -> None:
        self.array_store = array_store
        name = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}"
        self.base = array_store.folder / name
        self._files: dict[str, Any] = {}
        self._offset = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def put(self, keys: np.ndarray, longs: Sequence[np.ndarray], fixed: Sequence[np.ndarray]) -> None:
        """Writes entries: keys (n, 2) uint64, n long arrays of any length and n fixed arrays (fixed_length,).

        Raises:
            ValueError: a fixed array has another length.
        """
        if len(keys):
            with naming(self.base):
                self._put(keys, longs, fixed)

    def _put(self, keys: np.ndarray, longs: Sequence[np.ndarray], fixed: Sequence[np.ndarray]) -> None:
        records = np.zeros(len(keys), RECORD)
        records["key"] = keys
        self._open()
        for number, (long, short) in enumerate(zip(longs, fixed, strict=True)):
            long = np.ascontiguousarray(long, self.array_store.long_type).reshape(-1)
            short = np.ascontiguousarray(short, self.array_store.fixed_type).reshape(-1)
            if len(short) != self.array_store.fixed_length:
                raise ValueError(f"a fixed array has {len(short)} numbers, not {self.array_store.fixed_length}")
            record = records[number]
            record["offset"], record["length"] = self._offset, len(long)
            record["long_sum"], record["fixed_sum"] = checksum(long), checksum(short)
            self._files["long"].write(array_bytes(long))
            self._files["fixed"].write(array_bytes(short))
            self._offset += long.nbytes
        self._write_records(records)

    def delete(self, keys: np.ndarray) -> None:
        """Writes tombstones for keys (n, 2) uint64."""
        records = np.zeros(len(keys), RECORD)
        records["key"], records["length"], records["offset"] = keys, TOMBSTONE, self._offset
        self._open()
        empty = np.zeros(self.array_store.fixed_length, self.array_store.fixed_type)
        for _ in range(len(keys)):  # records and fixed arrays have the same numbers
            self._files["fixed"].write(empty.tobytes())
        self._write_records(records)

    def _open(self) -> None:
        if self._files:
            return
        self.array_store.folder.mkdir(parents=True, exist_ok=True)
        for which in ("long", "fixed", "index"):
            self._files[which] = self.base.with_suffix(f".{which}").open("xb", buffering=2**20)

    def _write_records(self, records: np.ndarray) -> None:
        """Writes the records after their arrays have been flushed to the operating system."""
        self._files["long"].flush()
        self._files["fixed"].flush()
        records["own_sum"] = record_sums(records)
        self._files["index"].write(records.tobytes())
        self._files["index"].flush()

    def close(self) -> None:
        """Closes the segment's files."""
        files, self._files = self._files, {}
        with naming(self.base):
            for file in files.values():
                file.close()
