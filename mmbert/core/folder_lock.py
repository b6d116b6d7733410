"""A lock on a folder that a process writes to, so that no second process spoils what the first one makes.

    with folder_lock(run_dir, "wait until it has ended"):
        ...

The system takes the lock back when the process ends, however it ends: a run that was killed can go on at once. The file
``.lock`` in the folder says who holds it, and is there as long as somebody does (after a kill, until the next one).
Reading needs no lock. On network file systems the lock holds between machines where the file system has locks (NFS 4,
NFS 3 with lockd, Lustre with ``-o flock``); where it has none, a warning says that nobody is held off.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from mmbert.core.errors import ConfigError

LOCK_FILE = ".lock"
#: What file systems without locks answer.
WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}

log = logging.getLogger(__name__)
#: Open lock files of this process by path, each with the thread that holds it.
_held: dict[Path, tuple[int, int]] = {}


class FolderInUse(ConfigError):
    """Another process writes to the folder."""


@contextmanager
def folder_lock(folder: Path, remedy: str, shared: bool = False, file: str | None = None) -> Iterator[None]:
    """Holds the lock of a folder, which is made if it does not exist.

    A thread may take the same lock again inside. Processes that are forked meanwhile do not keep it.

    Args:
        folder: that is written to.
        remedy: what whoever is refused can do, the rest of a sentence.
        shared: others may hold it at the same time, if they share it too.
        file: the only file of the folder that is written to; others may be written meanwhile.

    Raises:
        FolderInUse: another process, or thread, holds the lock; the message says which, since when and on what machine.
        OSError: the folder cannot be written to.
    """
    path = Path(os.path.realpath(folder)) / (LOCK_FILE if file is None else f".{file}{LOCK_FILE}")
    if _held.get(path, (0, None))[1] == threading.get_ident():
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = acquired(path, shared)
    if opened is None:
        raise FolderInUse(f"{folder if file is None else folder / file} is in use by {holder(path)}: {remedy}.")
    _held[path] = (opened, threading.get_ident())
    try:
        yield
    finally:
        del _held[path]
        release(path, opened, shared)


def refuse_locked(folder: Path, remedy: str) -> None:
    """Refuses a folder whose lock somebody else holds at this moment, without taking it; see ``folder_lock``.

    Raises:
        FolderInUse: somebody holds it.
    """
    path = Path(os.path.realpath(folder)) / LOCK_FILE
    if not path.is_file() or path in _held:
        return
    with contextlib.suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(f"{folder} is in use by {holder(path)}: {remedy}.") from None


def acquired(path: Path, shared: bool) -> int | None:
    """The lock file, open and locked, with the name of this process in it; None if somebody else has it."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in WITHOUT_LOCKS:
                log.warning("%s: this file system has no locks. Let no second process write there.", path.parent)
                return file
            os.close(file)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return None
            raise
        if same_file(path, file):
            write_holder(file)
            return file
        os.close(file)  # its last holder has deleted it meanwhile


def same_file(path: Path, file: int) -> bool:
    """Whether an open file is still what is found under its name."""
    try:
        now = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(file)
    return (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino)


def write_holder(file: int) -> None:
    """Leaves who holds the lock, for messages."""
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    about = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    with contextlib.suppress(OSError):  # a full disk is no reason to have no lock
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(about).encode(), 0)


def holder(path: Path) -> str:
    """``process 4711 on gpu-3 (since 2026-11-29T14:00:00+00:00)``, as far as it is known."""
    try:
        about = json.loads(path.read_bytes()[:1000])
        return f"process {int(about['pid'])} on {about['host']} (since {about['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def release(path: Path, file: int, shared: bool) -> None:
    """Deletes the lock file, unless others share it, and lets go of it."""
    with contextlib.suppress(OSError):
        if shared:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while others share it: theirs to delete
        if same_file(path, file):
            path.unlink()
    os.close(file)


def _let_go_in_child() -> None:
    """A forked process gives up what it has inherited: a loader's worker may outlive the run that was killed."""
    for file, _ in _held.values():
        with contextlib.suppress(OSError):
            os.close(file)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
