"""Writes samples into shards: tar files that every reader of WebDataset shards reads."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmbert.data.streaming.description import Shard
from mmbert.data.streaming.locators import MemberPlace
from mmbert.data.tables.content_key import content_key

#: What a name of a member has no other characters than, besides the dots that part its key, its field and its ending.
NO_PLAIN_NAME = re.compile(r"[^A-Za-z0-9_-]+")
#: A shard's number in its name.
DIGITS = 6


class ShardWriter:
    """Fills shards one after another; a context that closes the last one.

    Args:
        folder: of the shards.
        most_bytes: a shard is closed before it becomes larger, unless one sample is larger by itself.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder, self.most_bytes = folder, most_bytes
        self.shards: list[Shard] = []
        self._archive: tarfile.TarFile | None = None
        self._path, self._split, self._samples = folder, "", 0
        self._numbers: dict[str, int] = {}

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        elif self._archive is not None:
            self._archive.close()

    @property
    def number(self) -> int:
        """Of the shard that the last sample was written into."""
        return len(self.shards)

    def add(self, split: str, key: str, members: Mapping[str, bytes]) -> dict[str, MemberPlace]:
        """Writes a sample.

        Args:
            split: whose it is; the samples of a split must come together.
            key: without a dot.
            members: content by field.

        Returns:
            Where each member lies.
        """
        needed = sum(tarfile.BLOCKSIZE + in_whole_blocks(len(content)) for content in members.values())
        archive = self._archive
        if archive is None or split != self._split or self._samples and self._size + needed > self.most_bytes:
            archive = self._begin(split)
        places: dict[str, MemberPlace] = {}
        for field, content in members.items():
            info = tarfile.TarInfo(f"{key}.{field}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
            start = archive.offset - in_whole_blocks(len(content))  # type: ignore[attr-defined] # behind the content's last block
            places[field] = (self.number, start, len(content), info.name, *content_key(content))
        self._samples += 1
        return places

    @property
    def _size(self) -> int:
        """Bytes of the shard so far, and of its end mark."""
        assert self._archive is not None
        return int(self._archive.offset) + tarfile.RECORDSIZE  # type: ignore[attr-defined]

    def _begin(self, split: str) -> tarfile.TarFile:
        self.close()
        called = NO_PLAIN_NAME.sub("_", split)
        number = self._numbers.get(called, 0)
        self._numbers[called] = number + 1
        self._path = self.folder / f"{called}-{number:0{DIGITS}}.tar"
        self._split = split
        self._archive = tarfile.open(self._path, "w")  # noqa: SIM115 - the next call, or the context's end, closes it
        return self._archive

    def close(self) -> None:
        """Ends the shard that is being written."""
        if self._archive is not None:
            self._archive.close()
            self.shards.append(Shard(self._path.name, self._split, self._samples, self._path.stat().st_size))
        self._archive, self._samples = None, 0


def in_whole_blocks(size: int) -> int:
    """Bytes that a content takes in a tar file, whose blocks are whole."""
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def field_names(columns: Sequence[str], taken: Iterable[str] = ("json",)) -> dict[str, str]:
    """For each column a name that members can have: without dots and slashes, and no two alike."""
    found: dict[str, str] = {}
    used = set(taken)
    for column in columns:
        plain = NO_PLAIN_NAME.sub("_", column).strip("_") or "column"
        name, number = plain, 2
        while name.lower() in used:
            name, number = f"{plain}_{number}", number + 1
        used.add(name.lower())
        found[column] = name
    return found
