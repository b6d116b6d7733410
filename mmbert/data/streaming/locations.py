"""Files by path or by address (``s3://bucket/file``, ``https://…``): listed, measured, read, copied here.

Addresses go through fsspec, which knows object stores by extras: ``pip install 'mmbert[object_store]'`` brings S3.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mmbert.core.errors import ConfigError, DataError, MmbertError
from mmbert.core.regular_files import refuse_special
from mmbert.core.whole_files import whole_file

Found = TypeVar("Found")

#: Attempts at a read over the network, and seconds before the second one, doubled before each further one.
READ_ATTEMPTS, FIRST_WAIT = 4, 0.5
#: Bytes that are copied at a time.
COPIED_AT_ONCE = 8 * 2**20
#: What stores say of a file that changes with it; which of them depends on the store.
VERSION_KEYS = (
    "size",
    "ETag",
    "etag",
    "oid",
    "blob_id",
    "md5Hash",
    "content_settings",
    "LastModified",
    "last_modified",
)
#: Ways of addresses, and the extra or package that one needs.
SCHEME_PACKAGES = {
    "s3": "'mmbert[object_store]'",
    "s3a": "'mmbert[object_store]'",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
}
SCHEME_PACKAGES |= {"abfs": "adlfs", "http": "aiohttp", "https": "aiohttp"}


def is_address(name: str | Path) -> bool:
    """Whether a name is an address such as ``s3://bucket/file``, not a path."""
    return "://" in str(name)


def file_in(folder: str | Path, name: str) -> str:
    """A file in a folder, by path or address; a name that is whole in itself stays."""
    if is_address(name) or os.path.isabs(name):
        return name
    return f"{str(folder).rstrip('/')}/{name}" if is_address(folder) else os.path.join(folder, name)


def exists(name: str) -> bool:
    """Whether there is such a file.

    Raises:
        DataError: that cannot be found out.
    """
    if not is_address(name):
        return os.path.isfile(name)
    return bool(attempted(name, lambda files, path: files.isfile(path)))


def files_in(folder: str, ending: str) -> list[str]:
    """The files of a folder and of those inside it whose names end so, sorted.

    Raises:
        DataError: the folder cannot be listed.
    """
    if not is_address(folder):
        return sorted(str(path) for path in Path(folder).rglob(f"*{ending}") if path.is_file())
    found = attempted(folder, lambda files, path: files.find(path))
    scheme = folder.partition("://")[0]
    whole = [name if is_address(name) else f"{scheme}://{name}" for name in found]
    return sorted(name for name in whole if name.endswith(ending))


def sizes(names: Sequence[str]) -> dict[str, int | None]:
    """Bytes of files by name; None where nobody says, and a name is missing where there is no such file."""
    found: dict[str, int | None] = {}
    by_folder: dict[str, dict[str, int]] = {}
    for name in names:
        if not is_address(name):
            with contextlib.suppress(OSError):
                found[name] = os.stat(name).st_size
            continue
        folder = name.rpartition("/")[0]
        if folder not in by_folder:
            by_folder[folder] = sizes_in(folder)
        if by_folder[folder]:
            if name.rpartition("/")[2] in by_folder[folder]:
                found[name] = by_folder[folder][name.rpartition("/")[2]]
        else:
            with contextlib.suppress(FileNotFoundError):
                found[name] = attempted(name, lambda files, path: files.size(path))
    return found


def file_state(name: str) -> str:
    """What changes with the content of a file: size and time of change, or what its store says of it.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: that cannot be found out.
    """
    if not is_address(name):
        about = os.stat(name)
        return f"{about.st_size} {about.st_mtime_ns}"
    found = attempted(name, lambda files, path: files.info(path))
    known = [f"{key} {found[key]}" for key in VERSION_KEYS if found.get(key) is not None]
    return " ".join(known)


def sizes_in(folder: str) -> dict[str, int]:
    """Bytes of the files of a folder by name, asked for at once; none where the store does not list."""
    if folder.startswith(("http://", "https://")):
        return {}
    found = attempted(folder, lambda files, path: files.ls(path, detail=True))
    return {each["name"].rpartition("/")[2]: int(each["size"]) for each in found if each.get("type") == "file"}


def read_bytes(name: str, start: int | None = None, end: int | None = None) -> bytes:
    """The bytes of a file, or those from ``start`` up to ``end``.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it cannot be read.
    """
    if is_address(name):
        return bytes(attempted(name, lambda files, path: files.cat_file(path, start=start, end=end)))
    refuse_special(name)
    with open(name, "rb") as file:
        file.seek(start or 0)
        return file.read() if end is None else file.read(end - (start or 0))


def copy_here(name: str, path: Path) -> None:
    """Copies a file from an address to a path, whole or not at all.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it cannot be read.
    """

    def copy(files: Any, source: str) -> None:
        with (
            files.open(source, "rb", block_size=COPIED_AT_ONCE) as remote,
            whole_file(path) as temporary,
            temporary.open("wb") as file,
        ):
            while part := remote.read(COPIED_AT_ONCE):
                file.write(part)

    attempted(name, copy)


def file_system(name: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the file's path in it.

    Raises:
        ConfigError: what it needs is not installed, or nobody knows such addresses.
    """
    import fsspec

    scheme = name.partition("://")[0]
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(name)
        return found
    except ImportError as error:
        needed = SCHEME_PACKAGES.get(scheme, f"a package for {scheme}://")
        raise ConfigError(f"{name}: this address needs more than is installed: pip install {needed}") from error
    except ValueError as error:
        raise ConfigError(
            f"{name}: {error}. Addresses begin with s3://, gs://, http://, https:// or the like."
        ) from error


def attempted(name: str, read: Callable[[Any, str], Found]) -> Found:
    """What a function makes of an address's file system and path, tried again where the network fails.

    Raises:
        FileNotFoundError: there is no such file.
        MmbertError: what the function raises itself, at once.
        DataError: it cannot be read; the message says what the store answered.
    """
    files, path = file_system(name)
    for attempt in range(READ_ATTEMPTS):
        try:
            return read(files, path)
        except (FileNotFoundError, MmbertError):
            raise
        except Exception as error:  # stores and networks raise whatever they meet
            final = isinstance(error, (PermissionError, NotImplementedError)) or attempt == READ_ATTEMPTS - 1
            if final:
                raise DataError(f"{name} cannot be read: {answer_of(error)}. {address_remedy(error)}") from error
            time.sleep(FIRST_WAIT * 2**attempt)
            files.invalidate_cache()
    raise AssertionError


def answer_of(error: Exception) -> str:
    """What a store's error says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def address_remedy(error: Exception) -> str:
    """What to do about an address that cannot be read."""
    if isinstance(error, PermissionError):
        return "Is this user allowed to? S3 takes AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or a profile."
    return "Is the address right, and the network up? S3 beside AWS needs AWS_ENDPOINT_URL."
