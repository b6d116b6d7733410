"""``description.json`` beside shards: what they hold, and how large each is, so that one cut short is found at once."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from mmbert.core.errors import DataError

DESCRIPTION, INDEX = "description.json", "index.parquet"
SHARD_FORMAT, SHARD_VERSION = "mmbert shards", 1


@dataclass(frozen=True)
class Shard:
    """One shard.

    Attributes:
        name: of its file, relative to the description, or whole.
        split: whose samples it has; None = nobody says.
        samples: how many.
        bytes: of the file.
    """

    name: str
    split: str | None
    samples: int
    bytes: int


@dataclass(frozen=True)
class ShardDescription:
    """What ``description.json`` says.

    Attributes:
        fingerprint: changes with the content of the samples, not with how they are divided into shards.
        columns: kind by name: ``media`` are members of the shards, ``cell`` lie in the index and in ``KEY.json``.
        shards: by their numbers.
        faults: of shards that were read once to be indexed, rows that cannot be used, and why.
        notes: what of the shards was not used, a sentence each.
    """

    fingerprint: str
    columns: dict[str, str]
    shards: list[Shard]
    faults: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """As it is written."""
        splits: Counter[str] = Counter()
        for shard in self.shards:
            splits[str(shard.split)] += shard.samples
        head: dict[str, Any] = {"format": SHARD_FORMAT, "version": SHARD_VERSION}
        head |= {"fingerprint": self.fingerprint, "samples": dict(splits)}
        rest = {key: value for key, value in asdict(self).items() if key not in head and value != []}
        return json.dumps({**head, **rest}, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def of(cls, content: bytes, where: str) -> ShardDescription:
        """Reads what ``text`` wrote.

        Raises:
            DataError: it is something else, or of a later version.
        """
        try:
            found: Any = json.loads(content)
            if found["format"] != SHARD_FORMAT or found["version"] > SHARD_VERSION:
                raise DataError(
                    f"{where} is of the format {found['format']}, version {found['version']}; this mmbert reads "
                    f"'{SHARD_FORMAT}' up to version {SHARD_VERSION}."
                )
            shards = [
                Shard(str(s["name"]), s["split"] and str(s["split"]), int(s["samples"]), int(s["bytes"]))
                for s in found["shards"]
            ]
            faults = [(int(row), str(why)) for row, why in found.get("faults", [])]
            notes = list(map(str, found.get("notes", [])))
            return cls(str(found["fingerprint"]), dict(found["columns"]), shards, faults, notes)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{where} describes no shards ({error}). mmbert-pack writes such files.") from error
