"""Errors of a machine that is out of memory, disk space or permissions, as messages with a remedy."""

from __future__ import annotations

import errno
import gc
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mmbert.core.errors import MmbertError, TrainingError

#: How libraries say that memory was refused; torch's CPU allocator and CUDA's own libraries have no class for it.
NO_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|out of memory|cannot allocate memory|_ALLOC_FAILED"
    r"|worker \(pid.* (is killed by signal|exited unexpectedly)",
    re.IGNORECASE,
)
NO_SPACE = re.compile(r"no space left on device|disk quota exceeded|unable to allocate shared memory", re.IGNORECASE)
FULL = {errno.ENOSPC, errno.EDQUOT}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def explain_out_of_memory(folder: Path, less_memory: str, afterwards: str = "") -> Iterator[None]:
    """A context in which what the machine refuses becomes a ``TrainingError`` with a remedy.

    Args:
        folder: where results are written.
        less_memory: what to do with less memory, the rest of a sentence.
        afterwards: what to do when there is room on the disk again, a sentence.

    Raises:
        TrainingError: memory or disk is full, or the folder must not be written to.
    """
    try:
        yield
    except MmbertError:
        raise
    except Exception as error:
        words = explanation(error, folder, less_memory, afterwards)
        if words is None:
            raise
        free_memory_of(error)
        raise TrainingError(words) from error


def explanation(error: Exception, folder: Path, less_memory: str, afterwards: str) -> str | None:
    """The message for an error that the machine is to blame for, None for any other."""
    reason = "; ".join([error_summary(error), *getattr(error, "__notes__", ())])
    if any(map(is_memory, chain(error))):
        return f"The memory is full ({reason}). Use less of it: {less_memory}."
    full = next(filter(is_space, chain(error)), None)
    # in a worker's error it follows the traceback
    shared = next((line.strip() for line in str(full).splitlines() if "/torch_" in line), "")
    if shared:
        return f"The shared memory is full ({shared}): use fewer loader workers, data.num_workers=0."
    if full is not None:
        return f"The disk is full: {where(full, folder)} ({error_summary(full)}). Free some room. {afterwards}".strip()
    if isinstance(error, OSError) and error.errno in FORBIDDEN and inside(error.filename, folder):
        return f"{error.filename} cannot be written ({error.strerror}): name another folder, or get the right to."
    return None


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


def where(error: BaseException, folder: Path) -> Path:
    """The folder on the disk that is full: that of the file, where the error knows it."""
    name = getattr(error, "filename", None)
    return Path(str(name)).absolute().parent if isinstance(name, (str, Path)) else folder


def inside(name: Any, folder: Path) -> bool:
    """Whether a file lies in a folder, or is it."""
    return isinstance(name, (str, Path)) and Path(name).absolute().is_relative_to(folder.absolute())


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those it came from."""
    while error is not None:
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
