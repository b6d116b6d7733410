"""Which plain text files are meant, and their lines."""

from __future__ import annotations

import glob
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.core.regular_files import SpecialFileError, refuse_special

#: Endings of files that are taken from a folder; a file or a pattern may have any ending.
TEXT_ENDINGS = (".txt", ".md", ".txt.gz", ".md.gz")


def text_files(given: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files that are meant, each once, sorted within a folder and a pattern.

    Args:
        given: a file, a folder (with all below it), a pattern such as ``corpus/*.txt``, or a list of these.

    Raises:
        ConfigError: nothing was given.
        DataError: there is no such file, or a folder has none.
    """
    places = [given] if isinstance(given, (str, Path)) else list(given)
    if not places or any(str(place).strip() in ("", ".") for place in places):
        raise ConfigError("data.path is empty, or the folder that you stand in; name text files: data.path=FOLDER.")
    found: dict[Path, None] = {}
    for place in places:
        found |= dict.fromkeys(files_of(str(place)))
    return list(found)


def files_of(place: str) -> list[Path]:
    """The files of one entry of ``data.path``.

    Raises:
        DataError: there are none.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.name.lower().endswith(TEXT_ENDINGS) and p.is_file())
        if not inside:
            raise DataError(f"{path} has no text file ({', '.join(TEXT_ENDINGS)}), nor has a folder in it.")
        return inside
    if path.exists():
        return [path]
    matches = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    if matches:
        return [match for match in matches if match.is_file()]
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    raise DataError(f"{path}: there is no such file or folder. {nearest(path.name, siblings)}".strip())


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, counted from 1, without their ends; one is in memory at a time.

    Raises:
        DataError: the file cannot be read, or a line is no UTF-8.
    """
    number = 0
    try:
        refuse_special(path)
        with open_bytes(path) as file:
            for number, raw in enumerate(file, 1):
                line = raw[3:] if number == 1 and raw.startswith(b"\xef\xbb\xbf") else raw
                yield number, line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(
            f"{path}, line {number}: the text is not UTF-8 (byte 0x{byte:02X} at place {error.start + 1} of the line). "
            "Convert the file, for example: iconv -f LATIN1 -t UTF-8 OLD > NEW (UTF-16 and GB18030 are written so)."
        ) from error
    except SpecialFileError as error:
        raise DataError(f"{path}: {error}") from error
    except (OSError, EOFError) as error:
        what = getattr(error, "strerror", None) or error
        raise DataError(f"{path}, after line {number}: the file cannot be read ({what}).") from error


def open_bytes(path: Path) -> BinaryIO:
    """A file as bytes, unpacked if its name ends in .gz."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")
