"""Where mmbert keeps what it makes for itself: demo data, and the store."""

from __future__ import annotations

import os
from pathlib import Path


def home(folder: str | Path | None = None) -> Path:
    """The folder for what mmbert makes itself: the one given, $MMBERT_HOME, or ~/.cache/mmbert."""
    return Path(folder or os.environ.get("MMBERT_HOME") or Path.home() / ".cache" / "mmbert").expanduser()
