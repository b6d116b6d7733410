"""Lists, verifies, prunes and compacts the array stores of a store, for ``mmbert-store``."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mmbert.core.errors import ConfigError, nearest
from mmbert.store.array_store import ABSENT, RECORD, SEGMENT_FILES, ArrayStore, SegmentWriter
from mmbert.store.description import ABOUT, USES, describe_encoder, open_array_store, read_about, read_uses
from mmbert.store.locks import exclusive_lock


@dataclass(frozen=True)
class ArrayStoreSummary:
    """One array store, as it is listed.

    Attributes:
        name: 16 hexadecimal digits, the hash of the identity.
        what: ``tokens`` or ``inputs``.
        encoder: a short description.
        entries: distinct inputs.
        size: bytes on disk.
        data: tables that it was used for.
        runs: how often it was used.
        hits: entries that runs found there, added up.
        last: when it was used last; None = never.
        folder: its folder.
        fault: why it cannot be read; empty if it can.
        notes: what else is damaged, a sentence each.
    """

    name: str
    what: str
    encoder: str
    entries: int
    size: int
    data: tuple[str, ...]
    runs: int
    hits: int
    last: datetime | None
    folder: Path
    fault: str = ""
    notes: tuple[str, ...] = ()


def array_stores(folder: Path) -> list[ArrayStoreSummary]:
    """All array stores in a store's folder, the largest first; those that cannot be read among them."""
    folders = [path for what in ("tokens", "inputs") for path in (folder / what).glob("*") if is_array_store(path)]
    return sorted(map(summarise_array_store, folders), key=lambda one: -one.size)


def is_array_store(folder: Path) -> bool:
    """Whether a folder holds an array store, or the rest of one."""
    hidden = folder.name.startswith(".")  # one that is being deleted
    return not hidden and folder.is_dir() and ((folder / ABOUT).is_file() or any(folder.glob("*.index")))


def summarise_array_store(folder: Path) -> ArrayStoreSummary:
    """The summary of the array store in a folder; of one that cannot be read what is known, and the fault."""
    uses, damaged = read_uses(folder)
    last = max((use.when for use in uses), default=None)
    if damaged:  # the last use may be among the damaged lines
        written = datetime.fromtimestamp((folder / USES).stat().st_mtime, UTC)
        last = written if last is None else max(last, written)
    facts: dict[str, Any] = {
        "name": folder.name,
        "data": tuple(dict.fromkeys(use.data for use in uses)),
        "runs": len(uses),
        "hits": sum(use.reused for use in uses),
        "last": last,
        "folder": folder,
        "size": sum(path.stat().st_size for path in folder.glob("*.*") if path.suffix in SEGMENT_FILES),
    }
    notes = (
        [f"{folder / USES}: {len(damaged)} damaged lines, left out; the first is line {damaged[0]}"] if damaged else []
    )
    try:
        about, array_store = read_about(folder), open_array_store(folder)
    except ConfigError as error:
        fault = str(error)
        return ArrayStoreSummary(what=folder.parent.name, encoder="?", entries=0, fault=fault, notes=(*notes,), **facts)
    encoder, entries = describe_encoder(about["identity"]), len(array_store)
    return ArrayStoreSummary(what=about["what"], encoder=encoder, entries=entries, notes=(*notes,), **facts)


def select_array_stores(folder: Path, names: Sequence[str]) -> list[ArrayStoreSummary]:
    """The array stores with these names or beginnings of names; without any, all.

    Raises:
        ConfigError: no array store, or several, fit a name.
    """
    found = array_stores(folder)
    if not names:
        return found
    result = []
    for name in names:
        fitting = [one for one in found if one.name.startswith(name)]
        if len(fitting) != 1:
            none, several = f"There is no array store '{name}'", f"{len(fitting)} array stores begin with '{name}'"
            what = several if fitting else none
            raise ConfigError(f"{what} in {folder}. {nearest(name, [one.name for one in found])}")
        result += fitting
    return result


def verify_array_store(one: ArrayStoreSummary) -> tuple[int, int]:
    """Reads every entry and deletes damaged ones, which are then computed again. Returns (entries, damaged).

    Damaged records of the index count among the damaged.

    Raises:
        ConfigError: the array store cannot be read at all.
    """
    array_store = open_array_store(one.folder)
    keys = array_store.keys()
    places = array_store.find(keys)
    damaged = [n for n, place in enumerate(places) if array_store.entry(int(place)) is None]
    if damaged:
        array_store.delete(keys[damaged])
    broken = sum(int((segment.records["key"] == 0).all(1).sum()) for segment in array_store.segments)
    return len(keys), len(damaged) + broken


def prune_array_stores(
    found: Sequence[ArrayStoreSummary], older_than_days: float | None, max_gib: float | None
) -> list[ArrayStoreSummary]:
    """Deletes array stores; returns what was deleted. Without either limit all of them are.

    Args:
        found: those that may be deleted.
        older_than_days: delete those that were not used for so long.
        max_gib: then delete the least recently used, until the others fit in so many GiB.
    """
    now = datetime.now(UTC)
    by_age = sorted(found, key=lambda one: one.last or datetime.min.replace(tzinfo=UTC))
    gone = []
    if older_than_days is not None:
        limit = now - timedelta(days=older_than_days)
        gone = [one for one in by_age if (one.last or last_written(one.folder)) < limit]
    if max_gib is not None:
        left = sum(one.size for one in found) - sum(one.size for one in gone)
        for one in by_age:
            if left <= max_gib * 2**30:
                break
            if one not in gone:
                gone.append(one)
                left -= one.size
    if older_than_days is None and max_gib is None:
        gone = by_age
    for one in gone:
        delete_array_store(one)
    return gone


def last_written(folder: Path) -> datetime:
    """When an array store was last written to: what counts where its record of uses is gone, or there was no use."""
    times = [path.stat().st_mtime for path in folder.glob("*") if path.is_file()]
    return datetime.fromtimestamp(max(times, default=0.0), UTC)


def delete_array_store(one: ArrayStoreSummary) -> None:
    """Deletes an array store once no process fills it; one that reads it keeps what it has mapped."""
    with exclusive_lock(one.folder):
        doomed = one.folder.with_name(f".{one.name}.gone")
        one.folder.rename(doomed)
    shutil.rmtree(doomed)


def compact_array_store(one: ArrayStoreSummary) -> int:
    """Rewrites an array store as one segment without damaged, deleted and repeated entries; returns bytes freed."""
    with exclusive_lock(one.folder):
        array_store = open_array_store(one.folder)
        old = [segment.base for segment in array_store.segments]
        if len(old) < 2 and array_store.size() == live_size(array_store):
            return 0
        before = array_store.size()
        with SegmentWriter(array_store) as writer:
            keys = array_store.keys()
            for key, place in zip(keys, array_store.find(keys).tolist(), strict=True):
                if (entry := array_store.entry(place)) is not None:
                    writer.put(key[None], *([array] for array in entry))
        for base in old:
            for ending in (".index", ".long", ".fixed"):
                base.with_suffix(ending).unlink(missing_ok=True)
        return before - open_array_store(one.folder).size()


def live_size(array_store: ArrayStore) -> int:
    """Bytes that an array store's entries take, without deleted ones."""
    places = array_store.find(array_store.keys())
    lengths = [array_store.length(place) for place in places[places != ABSENT].tolist()]
    each = array_store.fixed_length * array_store.fixed_type.itemsize + RECORD.itemsize
    return sum(lengths) * array_store.long_type.itemsize + len(lengths) * each
