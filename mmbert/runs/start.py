"""How a run takes its folder: its lock, what earlier attempts have left there, and the command that starts it again."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from mmbert.core.distributed import is_rank_zero
from mmbert.core.errors import DataError
from mmbert.core.folder_lock import folder_lock
from mmbert.core.whole_files import clear_leftovers
from mmbert.runs.folder import IN_USE, RunFolder


@contextmanager
def run_lock(run: RunFolder, remedy: str = IN_USE) -> Iterator[None]:
    """Keeps other processes from writing to the folder, and clears what kills have left of half-written files.

    The first process of a distributed run holds the lock for all. Reading the folder needs none.

    Raises:
        FolderInUse: another process writes there; ``remedy`` says what to do.
        OSError: the folder cannot be written to.
    """
    if not is_rank_zero():
        yield
        return
    with folder_lock(run.path, remedy):
        clear_leftovers(run.path, [path.name for path in run.written()])
        for folder in (run.checkpoints, run.predictions, run.plots, run.samples, run.models):
            clear_leftovers(folder)
        yield


def clear_earlier(run: RunFolder, resume: bool) -> None:
    """Takes away what an earlier attempt has left that this one does not go on from; by the first process alone.

    Args:
        run: its folder, whose lock is held.
        resume: the run was begun before; without a checkpoint it starts anew all the same.

    Raises:
        ConfigError: a new run would overwrite another.
    """
    if not is_rank_zero():
        return
    if not resume:
        run.refuse_taken()
    if not (resume and run.resumable):
        run.clear()
    if not resume:
        run.config.unlink(missing_ok=True)


def start_command(run: RunFolder) -> str | None:
    """The command that starts a run which was killed before it began, in the same folder; None if nothing tells it."""
    with contextlib.suppress(DataError):
        if command := run.read_job().get("command"):
            return f"{command} {shlex.quote(f'hydra.run.dir={run}')}"
    with contextlib.suppress(DataError):
        if run.hydra_overrides.is_file():
            return shlex.join(["mmbert-train", *run.read_overrides(), f"hydra.run.dir={run}"])
    return None


def what_is_kept(run: RunFolder) -> str:
    """What a run that has just failed has left to go on from, and how, as a sentence."""
    if run.metrics.is_file():
        return f"The numbers are in {run.metrics}: mmbert-train resume={run} writes the rest."
    if run.resumable:
        return f"What was computed before the last checkpoint is kept: mmbert-train resume={run} goes on from it."
    if run.config.is_file():
        return f"There was no checkpoint yet: mmbert-train resume={run} begins anew with the same options."
    return "Nothing had begun yet: start it again."
