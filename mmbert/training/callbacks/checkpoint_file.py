"""Checkpoint files, written whole and read whole: a damaged one is one error, and nothing of it is used."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from mmbert.core.errors import DataError, MmbertError
from mmbert.core.whole_files import whole_file

#: What Lightning and we ask of every checkpoint, and what it must be.
NEEDED: dict[str, type] = {"state_dict": dict, "epoch": int, "global_step": int}

#: Files whose bytes this process has checked: path, size, time and inode.
CHECKED: set[tuple[str, int, int, int]] = set()


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoint files that are whole or not there, and are read whole or not at all.

    Attributes:
        restoring: the file whose content is being put back; None = none, or that is done.
    """

    restoring: Path | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Writes a checkpoint."""
        with whole_file(Path(path)) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Reads a checkpoint.

        Raises:
            DataError: it is damaged.
        """
        self.restoring = Path(path)
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path, mmap: bool = False) -> dict[str, Any]:
    """A checkpoint on the CPU, as plain tensors and containers.

    Args:
        path: of the file.
        mmap: leave the tensors on the disk until they are looked at.

    Raises:
        DataError: there is none, or it is damaged.
    """
    try:
        check_bytes(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except MmbertError:
        raise
    # wide on purpose: an unpickler of damaged bytes raises whatever it likes
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise DataError(damaged(path, f"{type(error).__name__}: {lines[0][:200]}")) from error
    for name, kind in NEEDED.items():
        if not isinstance(found, dict) or not isinstance(found.get(name), kind):
            raise DataError(damaged(path, f"it has no '{name}'"))
    return found


def check_bytes(path: Path) -> None:
    """Compares a checkpoint's bytes with its checksums, at which torch itself does not look; of each file once.

    Raises:
        DataError: they differ.
    """
    state = path.stat()
    seen = (str(path), state.st_size, state.st_mtime_ns, state.st_ino)
    if seen in CHECKED:
        return
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise DataError(damaged(path, f"{broken} in it has other bytes than were saved"))
    CHECKED.add(seen)


@contextmanager
def restoring_errors(io: Any) -> Iterator[None]:
    """Turns whatever goes wrong while a checkpoint is put back into one error that names its file.

    Args:
        io: the trainer's; others than ``WholeCheckpoints`` are left alone.

    Raises:
        DataError: the checkpoint does not fit the run.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, AssertionError, RuntimeError) as error:
        path = io.restoring if isinstance(io, WholeCheckpoints) else None
        if path is None or isinstance(error, torch.OutOfMemoryError):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
        what = f"it does not fit the run ({type(error).__name__}: {' '.join(lines[:2])[:300]})"
        raise DataError(damaged(path, what)) from error


def damaged(path: Path, what: str) -> str:
    """The message on a damaged checkpoint, with what can still be done."""
    others = sorted(other for other in path.parent.glob("*.ckpt") if other.name != path.name)
    instead = f" Or go on from another: cp {others[0]} {path}" if others else ""
    return (
        f"{path} is damaged: {what}. Nothing of it was used. Copy it again from where it is whole; or delete it, and "
        f"resume= begins anew.{instead}"
    )
