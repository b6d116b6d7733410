"""What lies in a store: listed, verified, and thrown away when it is not needed any more."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mmbert.core.errors import ConfigError, nearest
from mmbert.store.array_store import ABSENT, RECORD, ArrayStore, Writer
from mmbert.store.locks import alone
from mmbert.store.use_store import ABOUT, USES


@dataclass(frozen=True)
class Kept:
    """One shelf, as it is listed.

    Attributes:
        name: sixteen letters.
        what: ``tokens`` or ``inputs``.
        encoder: in words.
        entries: different inputs.
        size: bytes on disk.
        data: tables that it was used for.
        runs: how often it was used.
        hits: entries that runs found there, added up.
        last: when it was used last; None = never.
        folder: where it lies.
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


def array_stores(folder: Path) -> list[Kept]:
    """All shelves of a store, the largest first."""
    found = [kept(about.parent) for what in ("tokens", "inputs") for about in (folder / what).glob(f"*/{ABOUT}")]
    return sorted(found, key=lambda one: -one.size)


def kept(folder: Path) -> Kept:
    """One shelf's facts."""
    about, array_store, uses = read_about(folder), open_shelf(folder), list(read_uses(folder))
    return Kept(
        name=folder.name,
        what=about["what"],
        encoder=in_words(about["identity"]),
        entries=len(array_store),
        size=array_store.size(),
        data=tuple(dict.fromkeys(use["data"] for use in uses)),
        runs=len(uses),
        hits=sum(use["reused"] for use in uses),
        last=max((datetime.fromisoformat(use["when"]) for use in uses), default=None),
        folder=folder,
    )


def in_words(identity: dict[str, Any]) -> str:
    """``TextEncoder minilm, mean, float32``."""
    if "encoder" not in identity:
        return f"{identity['kind']} inputs of {identity['processor'].rpartition('.')[2]}"
    options = identity["options"]
    config = options.get("config") or {}
    named = [options.get("name") or config.get("model_type"), options.get("pooling"), identity.get("dtype")]
    return ", ".join([identity["encoder"].rpartition(".")[2], *(str(part) for part in named if part)])


def read_about(folder: Path) -> dict[str, Any]:
    """What a shelf's own file says of it.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder / ABOUT} cannot be read: {error}") from error
    return about


def read_uses(folder: Path) -> Iterator[dict[str, Any]]:
    """The record of uses; a line of which a part arrived is left out."""
    path = folder / USES
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def open_shelf(folder: Path) -> ArrayStore:
    """A shelf as its own file describes it."""
    long, fixed, length = read_about(folder)["layout"]
    return ArrayStore(folder, str(long), str(fixed), int(length))


def chosen(folder: Path, names: Sequence[str]) -> list[Kept]:
    """The shelves of these names, or of names that begin so; all without any.

    Raises:
        ConfigError: there is none of a name, or several.
    """
    found = array_stores(folder)
    if not names:
        return found
    result = []
    for name in names:
        fitting = [one for one in found if one.name.startswith(name)]
        if len(fitting) != 1:
            what = f"{len(fitting)} shelves begin with '{name}'" if fitting else f"There is no shelf '{name}'"
            raise ConfigError(f"{what} in {folder}. {nearest(name, [one.name for one in found])}")
        result += fitting
    return result


def verify(one: Kept) -> tuple[int, int]:
    """Reads every entry; damaged ones are taken out, to be computed again. Returns (entries, damaged)."""
    array_store = open_shelf(one.folder)
    keys = array_store.keys()
    places = array_store.find(keys)
    damaged = [n for n, place in enumerate(places) if array_store.entry(int(place)) is None]
    if damaged:
        array_store.bury(keys[damaged])
    return len(keys), len(damaged)


def prune(found: Sequence[Kept], older_than_days: float | None, max_gib: float | None) -> list[Kept]:
    """Throws shelves away; returns them.

    Args:
        found: those that may go.
        older_than_days: those that were not used for so long.
        max_gib: then those that were not used for longest, until the others fit.
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
        throw_away(one)
    return gone


def throw_away(one: Kept) -> None:
    """Removes a shelf, when no process is filling it; one that reads it keeps what it has mapped."""
    with alone(one.folder):
        doomed = one.folder.with_name(f".{one.name}.gone")
        one.folder.rename(doomed)
    shutil.rmtree(doomed)


def compact(one: Kept) -> int:
    """Writes a shelf's entries into one segment, without what is damaged, buried or twice; returns bytes freed."""
    with alone(one.folder):
        array_store = open_shelf(one.folder)
        old = [segment.base for segment in array_store.segments]
        if len(old) < 2 and array_store.size() == exact_size(array_store):
            return 0
        before = array_store.size()
        with Writer(array_store) as writer:
            keys = array_store.keys()
            for key, place in zip(keys, array_store.find(keys).tolist(), strict=True):
                if (entry := array_store.entry(place)) is not None:
                    writer.put(key[None], *([array] for array in entry))
        for base in old:
            for ending in (".index", ".long", ".fixed"):
                base.with_suffix(ending).unlink(missing_ok=True)
        return before - open_shelf(one.folder).size()


def exact_size(array_store: ArrayStore) -> int:
    """Bytes that a shelf's living entries take."""
    places = array_store.find(array_store.keys())
    lengths = [array_store.length(place) for place in places[places != ABSENT].tolist()]
    each = array_store.fixed_length * array_store.fixed_type.itemsize + RECORD.itemsize
    return sum(lengths) * array_store.long_type.itemsize + len(lengths) * each
