"""The weights of a frozen encoder as a file of their own, which the saved models of many runs share by hard links.

They are most of a saved model and the same in every run of a study. So they are in a file that is named by their hash,
and a model that is saved next to another with the same encoder makes a hard link to the existing file. Each folder
stays complete: deleting one model removes nothing of another, and a copy is a plain copy.
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

#: Where this process last wrote each file.
WRITTEN: dict[str, Path] = {}
#: At most this many folders next to the model's run are searched for the same weights.
LOOKED_INTO = 1000


def file_name(fingerprint: str) -> str:
    """The name of the file with these weights."""
    return f"frozen-{fingerprint}.safetensors"


def write_frozen_weights(state: Mapping[str, Tensor], folder: Path, model: Path) -> str:
    """Writes or links an encoder's weights into a folder; returns their fingerprint.

    Args:
        state: its ``state_dict``, with contiguous tensors as safetensors needs them.
        folder: ``encoders/NAME`` of the model that is being saved.
        model: where that model will be; the same weights are searched for in ``model/`` of the folders next to its run.
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
    """Files of this name that this process wrote, or that are in models of the runs in the same folder."""
    if name in WRITTEN:
        yield WRITTEN[name]
    with contextlib.suppress(OSError), os.scandir(model.parent.parent) as beside:
        for _, run in zip(range(LOOKED_INTO), beside, strict=False):
            yield from Path(run.path, model.name, "encoders").glob(f"*/{name}")


def linked(source: Path, target: Path, size: int) -> bool:
    """Hard-links a file that this user owns; False if it is not theirs, cut short, or on another file system."""
    try:
        found = source.lstat()
        if found.st_uid != os.getuid() or found.st_size < size or source.is_symlink():
            return False
        os.link(source, target)
    except OSError:
        return False
    return True


def read_frozen_weights(folder: Path, fingerprint: str) -> dict[str, Tensor]:
    """The weights that ``write_frozen_weights`` wrote.

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
