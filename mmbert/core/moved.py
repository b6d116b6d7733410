"""Class paths that were changed: configs of earlier runs, and users' own YAML, may still hold the old ones."""

from __future__ import annotations

#: New beginnings of class paths by old ones, each a package or module with the dot after it.
MOVED = {"mmbert.training.balance_modalities.": "mmbert.training.modality_balance."}


def current_path(path: str) -> str:
    """The path by which a class can be imported now; paths that were not changed stay as they are."""
    for old, new in MOVED.items():
        if path.startswith(old):
            return new + path.removeprefix(old)
    return path
