"""Lists, verifies, prunes and compacts the array stores of a store, for ``mmbert-store``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.regular_files import refuse_special
from mmbert.store.array_store import ABSENT, RECORD, ArrayStore, SegmentWriter
from mmbert.store.locks import exclusive_lock
from mmbert.store.use_store import ABOUT, USES


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


def array_stores(folder: Path) -> list[ArrayStoreSummary]:
    """All array stores in a store's folder, the largest first."""
    found = [
        summarise_array_store(about.parent)
        for what in ("tokens", "inputs")
        for about in (folder / what).glob(f"*/{ABOUT}")
    ]
    return sorted(found, key=lambda one: -one.size)


def summarise_array_store(folder: Path) -> ArrayStoreSummary:
    """The summary of the array store in a folder.

    Raises:
        ConfigError: its description cannot be read.
    """
    about, array_store, uses = read_about(folder), open_array_store(folder), list(read_uses(folder))
    return ArrayStoreSummary(
        name=folder.name,
        what=about["what"],
        encoder=describe_encoder(about["identity"]),
        entries=len(array_store),
        size=array_store.size(),
        data=tuple(dict.fromkeys(use["data"] for use in uses)),
        runs=len(uses),
        hits=sum(use["reused"] for use in uses),
        last=max((datetime.fromisoformat(use["when"]) for use in uses), default=None),
        folder=folder,
    )


def describe_encoder(identity: dict[str, Any]) -> str:
    """``TextEncoder minilm, mean, float32``."""
    if "encoder" not in identity:
        return f"{identity['kind']} inputs of {identity['processor'].rpartition('.')[2]}"
    options = identity["options"]
    config = options.get("config") or {}
    named = [options.get("name") or config.get("model_type"), options.get("pooling"), identity.get("dtype")]
    return ", ".join([identity["encoder"].rpartition(".")[2], *(str(part) for part in named if part)])


def read_about(folder: Path) -> dict[str, Any]:
    """The description of an array store, its ``about.json``.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    try:
        refuse_special(folder / ABOUT)
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder / ABOUT} cannot be read: {error}") from error
    return about


def read_uses(folder: Path) -> Iterator[dict[str, Any]]:
    """The record of uses, one a line; incomplete lines are skipped."""
    path = folder / USES
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def open_array_store(folder: Path) -> ArrayStore:
    """Opens the array store in a folder with the layout of its description."""
    long, fixed, length = read_about(folder)["layout"]
    return ArrayStore(folder, str(long), str(fixed), int(length))


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
    """Reads every entry and deletes damaged ones, which are then computed again. Returns (entries, damaged)."""
    array_store = open_array_store(one.folder)
    keys = array_store.keys()
    places = array_store.find(keys)
    damaged = [n for n, place in enumerate(places) if array_store.entry(int(place)) is None]
    if damaged:
        array_store.delete(keys[damaged])
    return len(keys), len(damaged)


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
        gone = [one for one in by_age if one.last is None or one.last < limit]
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
