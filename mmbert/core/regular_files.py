"""Pipes, sockets and devices are no files: opening one may wait for ever, and reading one may never end."""

from __future__ import annotations

import errno
import os
import stat

#: What stands at a path that is neither a file nor a folder, by the question that recognises it.
SPECIAL = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class SpecialFileError(OSError):
    """A path names a pipe, a socket or a device, or a link to one, where a file is wanted."""


def refuse_special(path: str | os.PathLike[str]) -> None:
    """Asks before a path is opened; whatever is wrong with it besides, whoever opens it will say.

    Raises:
        SpecialFileError: it is there, and neither a file nor a folder. ``strerror`` says what it is.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # ValueError: a null character in the name
        return
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return
    what = next((what for is_it, what in SPECIAL if is_it(mode)), "something else")
    raise SpecialFileError(errno.EINVAL, f"this is {what}, not a file", str(path))


def refuse_special_inside(folder: str | os.PathLike[str]) -> None:
    """``refuse_special`` for everything in a folder, such as that of a saved model, and in the folders in it.

    Raises:
        SpecialFileError: the first that is no file.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                refuse_special_inside(entry.path)
            elif not entry.is_file(follow_symlinks=False):  # of most folders the kind of every entry is known by now
                refuse_special(entry.path)
