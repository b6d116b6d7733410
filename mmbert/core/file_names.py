"""The file that a name means, however the accents in it are encoded."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path


def named_file(folder: str | Path, name: str) -> str:
    """The path of a file that a table names, relative to a folder.

    An é is one character (NFC) in most tables and two (NFD) in the names of files that were made on a Mac, and the
    other way round. Where no file has the name as it is written, the other forms are tried, folder by folder; if none
    is there, the path is that of the name as it is written.
    """
    path = os.path.join(folder, name)
    if name.isascii() or os.path.lexists(path):
        return path
    found = "/" if os.path.isabs(name) else str(folder)
    for piece in name.strip("/").split("/"):
        forms = dict.fromkeys([piece, unicodedata.normalize("NFC", piece), unicodedata.normalize("NFD", piece)])
        there = next((form for form in forms if os.path.lexists(os.path.join(found, form))), None)
        if there is None:
            return path
        found = os.path.join(found, there)
    return found
