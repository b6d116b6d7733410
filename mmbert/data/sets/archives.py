"""Archives are unpacked safely: .tar (also .gz, .bz2, .xz), .zip, and Debian packages (.deb).

Files and folders alone come out. A member that would leave the folder, or more than the promised bytes or files, is an
error; links and devices are left out, for a data set needs none.
"""

from __future__ import annotations

import io
import lzma
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from mmbert.core.errors import DataError

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
ARCHIVE_ENDINGS = (*TAR_ENDINGS, ".zip", ".deb")
#: More files than this are in none of the sets, and would fill a file system's table of files.
MOST_FILES = 2_000_000
GIB = 2**30
AR_MAGIC = b"!<arch>\n"
AR_HEADER_BYTES = 60
#: What a damaged archive raises, by the library that notices.
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, NotImplementedError)


def is_archive(path: Path) -> bool:
    """Whether a file's name says that it is an archive that can be unpacked."""
    return path.name.lower().endswith(ARCHIVE_ENDINGS)


def unpack_archive(archive: Path, folder: Path, most_gib: float) -> None:
    """Unpacks an archive into a folder that exists.

    Args:
        archive: a file with one of ``ARCHIVE_ENDINGS``.
        folder: what comes out lies below it.
        most_gib: the most that may come out, in GiB.

    Raises:
        DataError: it is damaged, no archive of its kind, too large, or a member leaves the folder.
    """
    name = archive.name.lower()
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(archive) as opened:
                unpack_zip(opened, archive, folder, most_gib)
        elif name.endswith(".deb"):
            with package_files(archive) as tar:
                unpack_tar(tar, archive, folder, most_gib)
        else:
            with tarfile.open(archive) as tar:
                unpack_tar(tar, archive, folder, most_gib)
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk is full, or the file cannot be read
            raise
        raise DataError(f"{archive} is damaged, or no {name[name.rindex('.') :]} archive ({error}).") from error


def unpack_tar(tar: tarfile.TarFile, archive: Path, folder: Path, most_gib: float) -> None:
    """Writes the files of an open tar archive below a folder."""
    room = Room(archive, most_gib)
    for member in tar:
        if not (member.isfile() or member.isdir()):
            continue
        try:
            room.take(member.size)
            tar.extract(member, folder, filter="data")
        except tarfile.FilterError as error:
            raise DataError(f"{archive}: the member '{member.name}' would be written outside the folder.") from error
    while tar.fileobj is not None and tar.fileobj.read(2**20):  # to the end, where the checksum is
        pass


def unpack_zip(opened: zipfile.ZipFile, archive: Path, folder: Path, most_gib: float) -> None:
    """Writes the files of an open zip archive below a folder."""
    room = Room(archive, most_gib)
    for member in opened.infolist():
        unix_kind = member.external_attr >> 28  # 8 = a file, 4 = a folder, 10 = a link, 0 = it was not said
        if unix_kind not in (0, 4, 8):
            continue
        parts = Path(member.filename).parts
        if ".." in parts or Path(member.filename).is_absolute():
            raise DataError(f"{archive}: the member '{member.filename}' would be written outside the folder.")
        if member.flag_bits & 1:
            raise DataError(f"{archive} is encrypted: unpack it yourself, and name the folder.")
        room.take(member.file_size)
        opened.extract(member, folder)


class Room:
    """What an archive may still fill."""

    def __init__(self, archive: Path, most_gib: float) -> None:
        self.archive, self.most_gib = archive, most_gib
        self.bytes, self.files = most_gib * GIB, MOST_FILES

    def take(self, size: int) -> None:
        """Counts a file of ``size`` bytes.

        Raises:
            DataError: there is no room for it.
        """
        self.bytes -= size
        self.files -= 1
        if self.bytes < 0 or self.files < 0:
            raise DataError(
                f"{self.archive} holds more than {self.most_gib:g} GiB or {MOST_FILES:,} files, which the data set has "
                "not: is it the right archive?"
            )


@contextmanager
def package_files(package: Path) -> Iterator[tarfile.TarFile]:
    """The files of a Debian package as an open tar archive.

    A package is an ar archive of three members; the one called ``data.tar.…`` holds the files. Python's library reads
    xz, gzip and bzip2; zstd is left to ``dpkg-deb``.

    Raises:
        DataError: it is no package, or is cut off.
    """
    name, start, size = data_member(package)
    if name.endswith(".zst"):
        with zstd_files(package) as tar:
            yield tar
        return
    with (
        package.open("rb") as file,
        tarfile.open(fileobj=cast(IO[bytes], Window(file, start, size)), mode="r:*") as tar,
    ):
        yield tar


def data_member(package: Path) -> tuple[str, int, int]:
    """Name, first byte and size in bytes of the member ``data.tar…`` of a Debian package."""
    whole = package.stat().st_size
    with package.open("rb") as file:
        if file.read(len(AR_MAGIC)) != AR_MAGIC:
            raise DataError(f"{package} is no Debian package.")
        while header := file.read(AR_HEADER_BYTES):
            size = header[48:58].strip()
            if len(header) < AR_HEADER_BYTES or header[58:] != b"`\n" or not size.isdigit():
                break
            name, start = header[:16].decode("ascii", "replace").strip().rstrip("/"), file.tell()
            if start + int(size) > whole:
                break
            if name.startswith("data.tar"):
                return name, start, int(size)
            file.seek(int(size) + int(size) % 2, io.SEEK_CUR)  # members begin at even bytes
    raise DataError(f"{package} is damaged: a Debian package that is cut off, or lacks its data. Fetch it again.")


@contextmanager
def zstd_files(package: Path) -> Iterator[tarfile.TarFile]:
    """The files of a package that is compressed by zstd, through ``dpkg-deb``."""
    if shutil.which("dpkg-deb") is None:
        raise DataError(f"{package} is compressed by zstd, which needs dpkg-deb: unpack it, and name the folder.")
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            yield tar
        process.stdout.read()  # what follows the last member, so that dpkg-deb ends by itself
    if process.returncode:
        raise DataError(f"{package} is damaged: dpkg-deb cannot read it.")


class Window(io.RawIOBase):
    """A part of an open file as a file of its own."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self.file, self.start, self.size, self.at = file, start, size, 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read from any place."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to a place, which is returned."""
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        return self.at

    def read(self, size: int | None = -1) -> bytes:
        """At most ``size`` bytes; all that are left where it is negative or None."""
        left = max(self.size - self.at, 0)
        count = left if size is None or size < 0 else min(size, left)
        self.file.seek(self.start + self.at)
        content = self.file.read(count)
        self.at += len(content)
        return content
