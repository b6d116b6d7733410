"""The word ``out=`` of commands that write a folder: what cannot be written to is told before anything is computed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mmbert.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


def out_folder(own: Mapping[str, str], key: str = "out") -> Path | None:
    """The folder that a word names, which need not exist; None if the word is not given.

    Raises:
        ConfigError: it is empty, a file, lies under a file, or cannot be written to.
    """
    if key not in own:
        return None
    given = own[key]
    if not given.strip():
        raise ConfigError(f"{key}=: a folder is wanted, {key}=FOLDER; without the word the default is taken.")
    folder = Path(given)
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        what = "no folder" if there == folder else f"inside {there}, which is no folder"
        raise ConfigError(f"{key}={given} is {what}: name another, {key}=FOLDER.")
    try:
        with tempfile.TemporaryFile(dir=there):  # what the rights say is not all: file systems refuse by themselves
            pass
    except OSError as error:
        why = error.strerror if there == folder else f"{there}: {error.strerror}"
        raise ConfigError(f"{key}={given} cannot be written ({why}): name another folder, {key}=FOLDER.") from error
    return folder
