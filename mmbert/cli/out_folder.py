"""The word ``out=`` of commands that write a folder: what cannot be written to is told before anything is computed."""

from __future__ import annotations

import os
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
    if not os.access(there, os.W_OK | os.X_OK):
        inside = "" if there == folder else f" ({there} does not let you)"
        raise ConfigError(f"{key}={given} cannot be written{inside}: name another folder, {key}=FOLDER.")
    return folder
