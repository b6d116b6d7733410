"""Finds the file of a table, and its copy as Arrow."""

from __future__ import annotations

from pathlib import Path

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.data.tables.formats import FORMATS
from mmbert.data.tables.reading import reading


def only_path(path: str | Path) -> Path:
    """What ``data.path`` names.

    Raises:
        ConfigError: it is no single name.
    """
    if not isinstance(path, (str, Path)):
        given = f"{len(path)} names" if isinstance(path, (list, tuple)) else f"{path}"
        raise ConfigError(f"data.path is {given}; it must name one table or data set: data.path=my.csv.")
    return Path(path)


def arrow_files(path: Path) -> list[str]:
    """The file's copy in the cache of the ``datasets`` library, as Arrow streams that can be memory-mapped.

    Raises:
        ConfigError: the path is empty.
        DataError: there is no such file, or it cannot be read in the format of its ending.
    """
    endings = ", ".join(FORMATS)
    if path == Path():
        raise ConfigError(f"data.path is empty, or the folder that you stand in; it must name a table ({endings}).")
    with reading(path):
        path.exists()  # a folder above it may be closed to this user
    if path.is_dir():
        raise DataError(f"{path} is a folder; data.path must name a table ({endings}).")
    if not path.is_file():
        siblings = [p.name for p in path.parent.iterdir() if p.suffix in FORMATS] if path.parent.is_dir() else []
        raise DataError(f"{path}: there is no such file. {nearest(path.name, siblings)}".strip())
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path}: tables end in {endings}.")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty (0 bytes).")
    from mmbert.data.tables.arrow_cache import cached_files

    return cached_files(path)
