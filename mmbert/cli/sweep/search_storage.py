"""Where a search of Optuna keeps itself, and how several processes meet there."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from mmbert.cli.sweep.one_job import first_line
from mmbert.core.errors import ConfigError
from mmbert.core.folder_lock import FolderInUse, folder_lock

SEARCH_LOG = "optuna.log"
STUDY_NAME = "search"
SHARING_A_SEARCH = (
    "wait until it has ended, or name another folder: hydra.sweep.dir=FOLDER. Several processes work on one search if "
    "each is started with hydra.sweeper.shared=true"
)


def cut_incomplete_line(path: Path) -> None:
    """Takes away the half line that a kill may have left at the end of a search's log: Optuna would not read on."""
    content = path.read_bytes() if path.exists() else b""
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def mend_log(folder: Path) -> None:
    """``cut_incomplete_line`` of a search that nobody works on at this moment."""
    if (folder / SEARCH_LOG).exists():
        with suppress(FolderInUse), folder_lock(folder, SHARING_A_SEARCH):
            cut_incomplete_line(folder / SEARCH_LOG)


@contextmanager
def waited_for(folder: Path) -> Iterator[None]:
    """Holds the lock on a search's trials; waits while another process has it."""
    while True:
        with ExitStack() as stack:
            try:
                stack.enter_context(folder_lock(folder, "", file=SEARCH_LOG))
            except FolderInUse:
                time.sleep(0.05)
                continue
            yield
            return


def search_storage(folder: Path, address: str | None = None) -> BaseStorage:
    """Where a search keeps itself: a file to which many processes may write, or a database.

    Raises:
        ConfigError: the database cannot be had.
    """
    if address is None:
        return JournalStorage(JournalFileBackend(str(folder / SEARCH_LOG)))
    try:
        return RDBStorage(address)
    except Exception as error:  # of SQLAlchemy and of each database's own driver
        raise ConfigError(
            f"hydra.sweeper.storage={without_password(address)}: the database cannot be had "
            f"({type(error).__name__}: {first_line(error)}). Such as sqlite:///search.db or postgresql://user@host/name."
        ) from error


def without_password(address: str) -> str:
    """An address of a database as it may be shown."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", address)


def study_name(folder: Path, address: str | None) -> str:
    """What Optuna calls the search: in a database, which may have many, by the sweep's folder."""
    return STUDY_NAME if address is None else str(folder)
