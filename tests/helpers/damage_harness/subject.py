"""``Subject``: a kind of file that is damaged, and the code that reads it."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random
from typing import Any


class Lost(Exception):
    """Something else than what was damaged is gone: another run, another entry, another file."""


class Subject:
    """A class in ``subjects/`` for each kind of file; its methods run in a process of their own.

    Attributes:
        name: as the published table has it.
        inputs: damaged inputs of a full count.
        quick: how many of them every test run tries.
        seconds: that one may take.
        imports: modules that are imported once, before processes are forked.
        names_files: whether each error must name a file of the folder.
    """

    name = ""
    inputs = 500
    quick = 10
    seconds = 20.0
    imports: tuple[str, ...] = ()
    names_files = True

    def make(self, folder: Path) -> None:
        """Writes the whole files into an empty folder."""
        raise NotImplementedError

    def damage(self, draw: Random, folder: Path) -> str:
        """Damages a copy of that folder; returns what was done."""
        raise NotImplementedError

    def use(self, folder: Path) -> Any:
        """Reads the folder as a command does; returns what came of it, which must be picklable.

        Raises:
            MmbertError: the command ends with this message and exit code 2.
            Lost: more is gone than what was damaged.
        """
        raise NotImplementedError

    def wrong(self, found: Any, whole: Any, what: str) -> str:
        """Why a result is nonsense, empty if it is none.

        Args:
            found: the result of the damaged files.
            whole: that of the whole ones.
            what: was done to them.
        """
        return ""

    def copy(self, whole: Path, folder: Path) -> None:
        """Copies the whole folder for one case."""
        shutil.copytree(whole, folder)


def all_files(folder: Path) -> list[Path]:
    """The files below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
