"""The samples of a shard: its members in their order, those that follow one another with the same key being one sample.

The key of a member is its name up to the first dot after the last slash, as every reader of WebDataset shards has it;
the rest is its field: ``train/0017.left.png`` is the field ``left.png`` of the sample ``train/0017``.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

#: Key and field of a member's name.
MEMBER_NAME = re.compile(r"^((?:.*/|)[^./][^.]*)[.]([^/]+)$", re.DOTALL)
TAR_BLOCK = tarfile.BLOCKSIZE


@dataclass
class TarSample:
    """One sample.

    Attributes:
        key: of all its members.
        members: by field, the first byte of the content in the shard, and the number of bytes.
        fault: why it cannot be used; empty = it can.
    """

    key: str
    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    fault: str = ""


def tar_samples(file: BinaryIO, ignored: list[str]) -> Iterator[TarSample]:
    """Every sample of a shard; the one in which it breaks off comes last and has a fault.

    Args:
        file: the shard, at its beginning.
        ignored: names of members that are of no sample (no field in their name, no plain file) are added to it.
    """
    sample: TarSample | None = None
    end = 0
    fault = ""
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                archive.members.clear()  # type: ignore[attr-defined] # else the archive keeps every header
                end = archive.offset  # type: ignore[attr-defined] # where the next header begins
                found = MEMBER_NAME.match(member.name)
                if found is None or not member.isreg():
                    if not member.isdir():
                        ignored.append(member.name)
                    continue
                key, name = found.groups()
                if sample is not None and sample.key != key:
                    yield sample
                    sample = None
                sample = sample or TarSample(key)
                if name in sample.members and not sample.fault:
                    sample.fault = f"it has two members '{key}.{name}'; keys are cut at the first dot of a name"
                sample.members[name] = member.offset_data, member.size
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        fault = f"the shard is damaged here or cut ({error or type(error).__name__})"
    if not fault:
        file.seek(end)
        mark = file.read(TAR_BLOCK)
        if len(mark) < TAR_BLOCK:
            fault = "the shard ends here without an end mark, it was cut"
        elif mark.strip(b"\0"):
            fault = "the shard is damaged after this sample"
    if fault:
        sample = sample or TarSample("")
        sample.fault = fault
    if sample is not None:
        yield sample
