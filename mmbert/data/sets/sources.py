"""Where the raw files of a data set come from: what the user names, ``$MMBERT_HOME/sources``, or apt.

A source is a folder with the files, a folder with the archives, one archive, or several. Nothing is downloaded but
Debian packages, and those by ``apt-get download``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mmbert.core.errors import DataError
from mmbert.core.whole_files import building, whole_folder
from mmbert.data.sets.archives import ARCHIVE_ENDINGS, is_archive, unpack_archive

#: Folder of ``$MMBERT_HOME`` in which sources are looked for, and packages are kept.
SOURCES = "sources"
#: How deep below a folder that the user names the set's own folder may lie, and how many folders are looked at.
DEEPEST, MOST_FOLDERS = 4, 5000
EDGE_BYTES = 2**20
DOWNLOAD_SECONDS = 1800


@dataclass(frozen=True)
class DataCard:
    """What is to be said about a data set, and how its raw files are recognised.

    Attributes:
        name: as in ``data=NAME``.
        version: of the recipe; it counts up when other rows come out of the same files.
        licence: of the data.
        homepage: where it is described or published.
        holds: patterns of ``Path.glob``; the set's folder is the one below which each has a match.
        archives: file names as patterns, one for each archive that is needed; alternatives are joined by ``|``.
        packages: Debian packages, each an archive ``NAME_*.deb`` that apt can fetch.
        fetch: how to get the files, a whole sentence.
        citation: the paper, as one line.
        metric: by which papers compare.
        figure: a usual result in it, with its source.
        most_gib: the most that the archives may hold, in GiB.
    """

    name: str
    version: int
    licence: str
    homepage: str
    holds: tuple[str, ...]
    archives: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    fetch: str = ""
    citation: str = ""
    metric: str = ""
    figure: str = ""
    most_gib: float = 20.0

    @property
    def wanted(self) -> list[str]:
        """Patterns of the archives that are needed."""
        return [*(f"{package}_*.deb" for package in self.packages), *self.archives]


class NoSource(DataError):
    """The raw files of a set are not there."""


def find_sources(card: DataCard, source: str | Path | Sequence[str | Path] | None, home_folder: Path) -> list[Path]:
    """The folder or the archives that a set is made from.

    Args:
        card: of the set.
        source: what the user names: a folder, an archive or several; None = looked for in ``home_folder/sources``.
        home_folder: mmbert's own.

    Raises:
        NoSource: nothing is named and nothing is there.
        DataError: what is named is not there, or is something else.
    """
    if source is None:
        return sources_in(card, home_folder / SOURCES) or missing(card, home_folder / SOURCES)
    found: list[Path] = []
    for path in (Path(one).expanduser() for one in ([source] if isinstance(source, (str, Path)) else source)):
        if not path.exists():
            raise DataError(f"data.source={path} does not exist. {how_to_fetch(card)}")
        if path.is_dir():
            inside = sources_in(card, path)
            if not inside:
                raise DataError(f"data.source={path} is a folder without the files of {card.name}: {expected(card)}")
            found += inside
        elif is_archive(path):
            found.append(path)
        else:
            raise DataError(f"data.source={path} is neither a folder nor an archive ({', '.join(ARCHIVE_ENDINGS)}).")
    return found


def sources_in(card: DataCard, folder: Path) -> list[Path]:
    """The set's own folder in a folder, or all of its archives there; empty if it has neither."""
    if not folder.is_dir():
        return []
    named = folder / card.name
    for place in [named, folder] if named.is_dir() else [folder]:
        archives = [newest(place, pattern) for pattern in card.wanted]
        if archives and all(archives):
            return [path for path in archives if path]
        if place == named or folder.name != SOURCES:  # the folder of all sources is not searched through
            root = set_folder(card, place)
            if root is not None:
                return [root]
    return []


def newest(folder: Path, pattern: str) -> Path | None:
    """The newest file of a folder that matches one of the alternatives of a pattern."""
    matches = [path for one in pattern.split("|") for path in folder.glob(one) if path.is_file()]
    return max(matches, key=lambda path: path.stat().st_mtime, default=None)


def set_folder(card: DataCard, folder: Path) -> Path | None:
    """The folder itself, or the first one in it, below which each pattern of ``holds`` has a match."""
    for place in islice(folders_below(folder), MOST_FOLDERS):
        if all(next(place.glob(pattern), None) for pattern in card.holds):
            return place
    return None


def folders_below(folder: Path) -> Iterator[Path]:
    """A folder and those in it, down to ``DEEPEST``, the higher ones first; links are not followed."""
    level = [folder]
    for _ in range(DEEPEST + 1):
        yield from level
        level = [path for place in level for path in sorted_folders(place)]


def sorted_folders(folder: Path) -> list[Path]:
    """The folders in a folder by name; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def missing(card: DataCard, folder: Path) -> list[Path]:
    """Raises what says how to get the set."""
    looked = " and ".join(pattern.replace("|", " or ") for pattern in card.wanted) or "such a folder"
    raise NoSource(f"There is no data set {card.name}: {looked} is not in {folder}. {how_to_fetch(card)}")


def how_to_fetch(card: DataCard) -> str:
    """What to do where the files are missing, with licence and option."""
    apt = f"apt-get download {' '.join(card.packages)} fetches it where there is apt. " if card.packages else ""
    fetch = f"{card.fetch} " if card.fetch else f"It is published at {card.homepage}. "
    return f"{apt}{fetch}Licence: {card.licence}. Then say where it is: data.source=FILE_OR_FOLDER"


def expected(card: DataCard) -> str:
    """What is looked for in a folder."""
    archives = f", or the archives {', '.join(card.wanted)}," if card.wanted else ""
    return f"{', '.join(card.holds)}{archives} is looked for. {how_to_fetch(card)}"


def download_packages(card: DataCard, folder: Path) -> list[Path]:
    """The Debian packages of a set, fetched into a folder by apt where they are not there yet.

    Returns:
        their files; nothing where the set has none or the machine has no apt.

    Raises:
        DataError: apt cannot fetch one.
    """
    if not card.packages or shutil.which("apt-get") is None:
        return []
    for package in card.packages:
        with building(folder / package):
            if newest(folder, f"{package}_*.deb") is None:
                with whole_folder(folder / package) as scratch:
                    apt_download(card, package, scratch)
                for path in (folder / package).glob("*.deb"):
                    path.replace(folder / path.name)
                (folder / package).rmdir()
    return sources_in(card, folder)


def apt_download(card: DataCard, package: str, folder: Path) -> None:
    """Runs ``apt-get download`` in a folder."""
    command = ["apt-get", "download", package]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
        words = (done.stderr or done.stdout).strip().splitlines()
        failed = done.returncode != 0 or newest(folder, f"{package}_*.deb") is None
    except (subprocess.TimeoutExpired, OSError) as error:
        words, failed = [str(error)], True
    if failed:
        reason = words[-1] if words else "it says nothing"
        raise DataError(f"'{' '.join(command)}' failed ({reason}). {how_to_fetch(card)}")


def unpacked(card: DataCard, sources: Sequence[Path], scratch: Path) -> Path:
    """The set's own folder: the one that was named, or that of the archives unpacked into ``scratch``.

    Raises:
        DataError: an archive is damaged, or the set is not in it.
    """
    folders = [path for path in sources if path.is_dir()]
    if len(sources) == 1 and folders:
        return folders[0]
    if folders:
        raise DataError(f"data.source names {folders[0]} beside archives: name one folder, or archives alone.")
    scratch.mkdir(exist_ok=True)
    for archive in sources:
        unpack_archive(archive, scratch, card.most_gib)
    root = set_folder(card, scratch)
    if root is None:
        names = ", ".join(str(path) for path in sources)
        raise DataError(f"{names}: an archive without the files of {card.name}: {expected(card)}")
    return root


def sources_fingerprint(sources: Sequence[Path]) -> str:
    """Eight hexadecimal digits that change with the sources.

    Of archives size, first and last MiB count, and the latter hold the checksum or the directory; of the files in a
    folder name, size and time of the last change.
    """
    digest = hashlib.sha256()
    for path in sources:
        if path.is_dir():
            for place, folders, names in os.walk(path):
                folders.sort()
                for name in sorted(names):
                    facts = os.stat(os.path.join(place, name))
                    relative = os.path.relpath(os.path.join(place, name), path)
                    digest.update(f"{relative} {facts.st_size} {facts.st_mtime_ns}\n".encode())
        else:
            size = path.stat().st_size
            with path.open("rb") as file:
                digest.update(f"{size}\n".encode() + file.read(EDGE_BYTES))
                file.seek(max(size - EDGE_BYTES, 0))
                digest.update(file.read())
    return digest.hexdigest()[:8]
