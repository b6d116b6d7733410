"""Which shards ``data.path`` means: a folder, a file, a pattern, or several; and the split that a name tells."""

from __future__ import annotations

import glob
import re
from itertools import product

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.streaming.locations import files_in, is_address

SHARD_ENDING = ".tar"
#: What comes packed once more, and so cannot be read from its middle.
COMPRESSED_SHARDS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
#: ``{000000..000041}``.
NUMBER_RANGE = re.compile(r"\{([0-9]+)\.\.([0-9]+)\}")
#: Words for splits in names of files and folders.
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}


def shard_names(path: str) -> list[str]:
    """The shards in the order of their names.

    Args:
        path: a folder, a shard, or a pattern with ``{000..041}`` or ``*``; of several kinds, parted by ``::``.

    Raises:
        ConfigError: a range is no range.
        DataError: there are none, or one was compressed as a whole.
    """
    found = named_files(path, SHARD_ENDING)
    for name in [*found, *expanded_parts(path)]:
        refuse_compressed(name)
    if not found:
        packed = "" if is_address(path) else next((n for e in COMPRESSED_SHARDS for n in files_in(path, e)), "")
        refuse_compressed(packed)
        raise DataError(
            f"data.path={path}: there are no shards ({SHARD_ENDING} files). mmbert-pack writes shards of a table."
        )
    return found


def named_files(path: str, ending: str) -> list[str]:
    """The files that ``data.path`` means, each once, in the order of their names.

    Args:
        path: see ``shard_names``.
        ending: of the files of a folder.

    Raises:
        ConfigError: a range is no range.
    """
    found: list[str] = []
    for name in expanded_parts(path):
        if name.endswith(ending) and "*" not in name:
            found.append(name)
        elif "*" in name and not is_address(name):
            found += sorted(glob.glob(name))
        elif not name.endswith(COMPRESSED_SHARDS):
            found += files_in(name.rstrip("/"), ending)
    return list(dict.fromkeys(found))


def expanded_parts(path: str) -> list[str]:
    """What is parted by ``::``, with every range of numbers written out."""
    return [name for part in path.split("::") for name in expanded_names(part.strip())]


def refuse_compressed(name: str) -> None:
    """Refuses a shard that was compressed as a whole.

    Raises:
        DataError: it was.
    """
    if name.endswith(COMPRESSED_SHARDS):
        raise DataError(
            f"{name}: a compressed shard cannot be read from its middle. Unpack it (gunzip {name}): pictures and "
            "sounds are compressed already."
        )


def expanded_names(pattern: str) -> list[str]:
    """``train-{00..02}.tar`` -> the three names.

    Raises:
        ConfigError: a range ends before it begins.
    """
    pieces, choices = NUMBER_RANGE.split(pattern), []
    for first, last in zip(pieces[1::3], pieces[2::3], strict=True):
        if int(last) < int(first):
            raise ConfigError(f"data.path={pattern}: the range {{{first}..{last}}} ends before it begins.")
        choices.append([str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)])
    fixed = pieces[::3]
    return [
        "".join([fixed[0], *(c + f for c, f in zip(chosen, fixed[1:], strict=True))]) for chosen in product(*choices)
    ]


def split_of(name: str) -> str | None:
    """The split that the name of a shard, else that of its folder, has a word for."""
    pieces = name.rstrip("/").split("/")
    for piece in reversed(pieces[-2:]):
        words = re.split(r"[^a-z]+", piece.removesuffix(SHARD_ENDING).lower())
        known = list(dict.fromkeys(SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS))
        if len(known) == 1:
            return known[0]
    return None
