"""The weights of a frozen encoder as a file: the saved models of many runs share one copy on disk.

They are most of what a model holds and the same in every run of a study. So they lie in a file of their own, named by
what is in it, and a model that is saved beside another with the same encoder makes a second name (a hard link) for the
file there is. Each folder stays whole: deleting one model takes nothing from another, and a copy is a plain copy.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmbert.core.errors import InputError
from mmbert.core.permissions import usual_permissions
from mmbert.encoders.pretrained.fingerprint import tensors_fingerprint

#: Where this process has written each file last.
WRITTEN: dict[str, Path] = {}
#: Folders beside the model's run that are looked into at most; of more the others stay unseen.
LOOKED_INTO = 1000


def file_name(fingerprint: str) -> str:
    """Of the file with these weights."""
    return f"frozen-{fingerprint}.safetensors"


def write(state: Mapping[str, Tensor], folder: Path, model: Path) -> str:
    """Leaves an encoder's weights in a folder; returns their fingerprint.

    Args:
        state: as its ``state_dict``, fit for safetensors.
        folder: ``encoders/NAME`` of the model that is being saved.
        model: where that model will be; others are looked for in ``model/`` of the folders beside its run.
    """
    fingerprint = tensors_fingerprint(state)
    target = folder / file_name(fingerprint)
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    if not any(linked(source, target, size) for source in candidates(target.name, model)):
        with usual_permissions(target):
            save_file(dict(state), target)
    WRITTEN[target.name] = model / "encoders" / folder.name / target.name
    return fingerprint


def candidates(name: str, model: Path) -> Iterator[Path]:
    """Files of this name that this process wrote, or that lie in models of the runs beside."""
    if name in WRITTEN:
        yield WRITTEN[name]
    with contextlib.suppress(OSError), os.scandir(model.parent.parent) as beside:
        for _, run in zip(range(LOOKED_INTO), beside, strict=False):
            yield from Path(run.path, model.name, "encoders").glob(f"*/{name}")


def linked(source: Path, target: Path, size: int) -> bool:
    """Makes a second name for a file of one's own; False if it is none, cut short, or on another file system."""
    try:
        found = source.lstat()
        if found.st_uid != os.getuid() or found.st_size < size or source.is_symlink():
            return False
        os.link(source, target)
    except OSError:
        return False
    return True


def read(folder: Path, fingerprint: str) -> dict[str, Tensor]:
    """The weights that ``write`` has left.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = folder / file_name(fingerprint)
    try:
        state = load_file(path)
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is missing: the saved model is not whole. Copy its folder again, with all."
        ) from error
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read ({error}): copy the saved model again.") from error
    if tensors_fingerprint(state) != fingerprint:
        raise InputError(f"{path} holds other weights than were saved: it is damaged. Copy the saved model again.")
    return state
