"""Files that are whole or not there: written under another name beside them, flushed to the disk, then renamed.

    with whole_file(folder / "results.csv") as temporary:
        table.to_csv(temporary)

Neither a reader nor a kill nor a full disk ever finds half a file, and what was there before stays until the new one is
whole. What a kill leaves are files called ``.NAME.….tmp``, and folders called ``.NAME-…``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

ENDING = ".tmp"
#: Errors of writing to an open file, which know no name.
NAMELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
#: Attribute of errors that have no ``filename``: the file that could not be written.
WRITTEN_TO = "written_to"
#: So many bytes of a file's name stand in the temporary one, which must not become too long for the file system.
NAME_BYTES = 200
#: That wait for the disk when a folder of many files becomes whole.
SYNC_THREADS = 16


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name to write to; at the end of the context what was written becomes ``path``, unless something was raised.

    The file gets the permissions of any file that this process makes, whatever the library that writes it thinks. A
    link is replaced, not followed: a folder from elsewhere must not say which of one's files is overwritten. Pipes,
    devices and ``/dev/stdout`` are written to directly.

    Args:
        path: of the file; its folder is made if it does not exist.

    Raises:
        OSError: it cannot be written; ``filename`` is set where the system refused.
    """
    target = path.absolute()
    if target.exists() and (not target.is_file() or Path("/dev") in target.parents):
        yield path
        return
    temporary = target.with_name(f".{short(target.name)}.{os.getpid()}.{threading.get_ident()}{ENDING}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        temporary.touch(exist_ok=False)
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        sync(temporary)
        temporary.chmod(mode)
        temporary.replace(target)
    except Exception as error:
        name_file(error, path, temporary)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def name_file(error: Exception, path: Path, temporary: Path | None = None) -> None:
    """Makes an error say which file could not be written: a full disk has no name, and nobody knows a temporary one.

    Args:
        error: what was raised; libraries' own errors get the attribute ``WRITTEN_TO`` instead of ``filename``.
        path: of the file that was meant.
        temporary: that was written instead.
    """
    if isinstance(error, OSError) and error.errno is not None:
        nameless = error.filename is None and error.errno in NAMELESS
        if nameless or error.filename is not None and Path(os.fsdecode(error.filename)) == temporary:
            error.filename = str(path)
    elif not hasattr(error, WRITTEN_TO):
        with contextlib.suppress(AttributeError, TypeError):
            setattr(error, WRITTEN_TO, str(path))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """A context in which a file is written that grows; what is raised says which, see ``name_file``."""
    try:
        yield
    except Exception as error:
        name_file(error, path)
        raise


def write_whole_text(path: Path, text: str) -> None:
    """A text file in UTF-8, whole or not at all."""
    write_whole_bytes(path, text.encode("utf-8"))


def write_whole_bytes(path: Path, content: bytes) -> None:
    """A file of bytes, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def sync(path: Path) -> None:
    """Waits until a file's bytes are on the disk; some file systems cannot, and are trusted."""
    with path.open("rb") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write to; at the end of the context it becomes ``folder``, unless something was raised.

    What was in ``folder`` before stays until the new one is whole, and is then deleted.
    """
    folder = Path(os.path.realpath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{short(folder.name)}-", dir=folder.parent))
    try:
        inner = scratch / "new"  # mkdtemp makes folders that only the owner can enter; this one is like any other
        inner.mkdir()
        yield inner
        with ThreadPoolExecutor(SYNC_THREADS) as pool:  # a disk takes many files at once sooner than one by one
            list(pool.map(sync, (path for path in inner.rglob("*") if path.is_file())))
        if folder.exists():
            folder.rename(scratch / "old")
        inner.rename(folder)
    except Exception as error:
        name_file(error, folder)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def clear_leftovers(folder: Path, names: Iterable[str] | None = None) -> None:
    """Deletes what kills have left of ``whole_file`` and ``whole_folder`` in a folder that nobody else writes to.

    Args:
        folder: whose subfolders are not looked into.
        names: of the files and folders that were to be written; None = of all files.
    """
    name = ".+" if names is None else "|".join(re.escape(short(name)) for name in names)
    files, folders = re.compile(rf"\.({name})(\.\d+\.\d+)?\{ENDING}"), re.compile(rf"\.({name})-[a-z0-9_]{{8}}")
    for path in folder.glob(".*") if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            if names is not None and folders.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
        elif files.fullmatch(path.name):
            path.unlink(missing_ok=True)


def short(name: str) -> str:
    """The beginning of a name, no longer than ``NAME_BYTES`` in UTF-8."""
    return name.encode()[:NAME_BYTES].decode(errors="ignore")


@contextmanager
def building(folder: Path) -> Iterator[None]:
    """Lets one process at a time build a folder, the others wait; what builders that were killed have left goes.

    Whoever gets in looks first whether the folder is there by now.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.parent / f".{folder.name}.lock"
    with FileLock(lock):
        try:
            clear_leftovers(folder.parent, [folder.name])
            yield
        finally:
            lock.unlink(missing_ok=True)  # still locked: whoever waits for it sees that it is gone, and takes a new one
