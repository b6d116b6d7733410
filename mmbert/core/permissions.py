"""Who may read a file that a library wrote: the user's umask says so, whatever the library thinks."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def usual_permissions(path: Path) -> Iterator[None]:
    """What is written to ``path`` meanwhile ends with the permissions of any file that this process makes.

    safetensors writes files that nobody but their owner can read, so that a colleague could not load a saved model.
    """
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    yield
    path.chmod(mode)
