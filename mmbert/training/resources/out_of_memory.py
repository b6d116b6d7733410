"""Errors of a machine that is out of memory, disk space or permissions, as messages with a remedy."""

from __future__ import annotations

import errno
import gc
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mmbert.core.errors import MmbertError, TrainingError
from mmbert.core.home import home
from mmbert.core.whole_files import WRITTEN_TO

#: How libraries say that memory was refused; torch's CPU allocator and CUDA's own libraries have no class for it.
NO_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|out of memory|cannot allocate memory|_ALLOC_FAILED"
    r"|worker \(pid.* (is killed by signal: (?!terminated|hangup|interrupt)|exited unexpectedly)",
    re.IGNORECASE,
)
NO_SPACE = re.compile(r"no space left on device|disk quota exceeded|unable to allocate shared memory", re.IGNORECASE)
FULL = {errno.ENOSPC, errno.EDQUOT}
SHARED_MEMORY = Path("/dev/shm")
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def explain_out_of_memory(
    folder: Path,
    less_memory: str,
    afterwards: str | Callable[[], str] = "",
    places: Mapping[Path, str] | None = None,
) -> Iterator[None]:
    """A context in which what the machine refuses becomes a ``TrainingError`` with a remedy.

    Args:
        folder: where results are written.
        less_memory: what to do with less memory, the rest of a sentence.
        afterwards: what is kept, and what to do when there is room on the disk again, a sentence; called at the error.
        places: further folders that are written to, each with what to do if it is full or forbidden, see
            ``writing_places``.

    Raises:
        TrainingError: memory or disk is full, or a folder must not be written to.
    """
    try:
        yield
    except MmbertError:
        raise
    except Exception as error:
        kept = afterwards if isinstance(afterwards, str) else afterwards()
        words = explanation(error, folder, less_memory, kept, places or {})
        if words is None:
            raise
        free_memory_of(error)
        raise TrainingError(words) from error


def writing_places(folder: Path, store: Mapping[str, Any] | None) -> dict[Path, str]:
    """The folders that a run or an evaluation writes to, each with what to do if its disk is full or must not be used.

    Args:
        folder: of the run or the evaluation.
        store: the config's ``store``; None = it is not used.
    """
    places = {
        Path(tempfile.gettempdir()): "name another folder for temporary files, TMPDIR=FOLDER",
        home(): "name another folder for what is kept between runs, MMBERT_HOME=FOLDER",
        folder: "write to another disk, hydra.run.dir=FOLDER; a run that has begun may be moved there and resumed",
    }
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        if os.environ.get(name):
            places[Path(os.environ[name])] = f"name another folder for W&B, {name}=FOLDER, or leave it out, logger=csv"
    if store is not None and store.get("enabled"):
        where_kept = Path(store["dir"]).expanduser() if store.get("dir") else home() / "features"
        places[where_kept] = "keep less, mmbert-store prune or store.max_gib, or elsewhere, store.dir=FOLDER"
    return places


def explanation(
    error: Exception, folder: Path, less_memory: str, afterwards: str, places: Mapping[Path, str]
) -> str | None:
    """The message for an error that the machine is to blame for, None for any other."""
    reason = "; ".join([error_summary(error), *getattr(error, "__notes__", ())])
    if any(map(is_memory, chain(error))):
        return f"The memory is full ({reason}). Use less of it: {less_memory}."
    full = next(filter(is_space, chain(error)), None)
    # in a worker's error it follows the traceback
    shared = next((line.strip() for line in str(full).splitlines() if "/torch_" in line), "")
    if shared:
        return f"The shared memory is full ({shared}{disk_state(SHARED_MEMORY)}): use fewer loader workers, " + (
            "data.num_workers=0, or give the container more of it."
        )
    if full is not None:
        place = where(error, folder)
        state = "" if full_quota(full) else disk_state(place)
        remedy = remedy_for(place, {**places, folder: places.get(folder, "")})
        room = f"Free some room{f', or {remedy}' if remedy else ''}."
        return f"The disk is full: {place} ({error_summary(full)}{state}). {room} {afterwards}".strip()
    refused = next((e for e in chain(error) if isinstance(e, OSError) and e.errno in FORBIDDEN), None)
    if refused is None or not (refused.errno == errno.EROFS or remedy_for(refused.filename, {**places, folder: "-"})):
        return None
    remedy = remedy_for(refused.filename, places) or "name another folder"
    return f"{refused.filename} cannot be written ({refused.strerror}): {remedy}, or get the right to."


def less_memory(cfg: DictConfig) -> str:
    """What a run's own options can do about memory, those that help most first."""
    size, bites = int(cfg.data.get("batch_size") or 1), int(cfg.trainer.get("accumulate_grad_batches") or 1)
    ways = []
    if size > 1:
        ways.append(
            f"data.batch_size={max(1, size // 2)} trainer.accumulate_grad_batches={2 * bites} (the same steps in "
            "smaller bites)"
        )
    if str(cfg.trainer.get("precision")).startswith("32"):
        ways.append("trainer.precision=bf16-mixed")
    for name, part in cfg.encoders.items():
        if part and part.get("gradient_checkpointing") is False and not part.get("frozen"):
            ways.append(f"encoders.{name}.gradient_checkpointing=true")
    return ", ".join([*ways, "data.num_workers=0 where it is the memory of the machine and not of its GPU"])


def is_memory(error: BaseException) -> bool:
    """Whether memory was refused."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or isinstance(error, RuntimeError) and bool(NO_MEMORY.search(str(error)))


def is_space(error: BaseException) -> bool:
    """Whether a disk was full: some libraries pass the system's words on in errors of their own."""
    return getattr(error, "errno", None) in FULL or bool(NO_SPACE.search(str(error)))


def full_quota(error: BaseException) -> bool:
    """Whether it is the user's share of the disk that is used up, not the disk."""
    return getattr(error, "errno", None) == errno.EDQUOT or "quota" in str(error).lower()


def where(error: BaseException, folder: Path) -> Path:
    """The folder on the disk that is full: that of the file that could not be written, where an error knows it."""
    names = [getattr(part, "filename", None) or getattr(part, WRITTEN_TO, None) for part in chain(error)]
    name = next((name for name in names if isinstance(name, (str, Path))), None)
    return folder if name is None else Path(name).absolute().parent


def remedy_for(name: Any, places: Mapping[Path, str]) -> str:
    """What to do about a file or folder, by the innermost of the places that it lies in; empty if it lies in none."""
    if not isinstance(name, (str, Path)):
        return ""
    path = Path(name).absolute()
    around = [place for place in places if path.is_relative_to(place.absolute())]
    return places[max(around, key=lambda place: len(place.absolute().parts))] if around else ""


def disk_state(place: Path) -> str:
    """``; 0.2 of 20.0 GiB are free there``; empty where that cannot be known."""
    there = next((folder for folder in (place, *place.parents) if folder.exists()), None)
    try:
        usage = shutil.disk_usage(there or place)
    except OSError:
        return ""
    return f"; {usage.free / 2**30:.1f} of {usage.total / 2**30:.1f} GiB are free there"


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those it came from, each once: chains may lead back to where they began."""
    known: set[int] = set()
    while error is not None and id(error) not in known:
        known.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def free_memory_of(error: BaseException) -> None:
    """Frees what the failed calls held: the next job of a sweep needs the memory, and the error lives until its end."""
    for part in chain(error):
        traceback.clear_frames(part.__traceback__)
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def error_summary(error: BaseException) -> str:
    """What an error says, without the dumps that some append."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
