"""The files of a saved model: their names, the shape of ``config.json``, checksums of the others, tensors.

Whatever is missing, damaged or of the wrong shape becomes one ``InputError`` that names the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from torch import Tensor

import mmbert
from mmbert.core.errors import InputError
from mmbert.core.regular_files import SpecialFileError, refuse_special_inside
from mmbert.model.trust import check_names

MODEL_FORMAT = 2
MODEL_CONFIG = "config.json"
MODEL_WEIGHTS = "model.safetensors"
MODEL_CARD = "README.md"
#: In ``config.json``, by encoder: the fingerprint of weights that are in a file of their own.
FROZEN_WEIGHTS = "frozen_weights"
#: In ``config.json``, by encoder that was pruned: its shapes (``mmbert.encoders.pruned_shapes``).
PRUNED_SHAPES = "pruned"
#: In ``config.json``: of weights and assets, by their path in the folder. Models of earlier versions have none.
CHECKSUMS = "checksums"
#: Characters of a class path.
LONGEST_PATH = 500
AGAIN = "Copy the saved model again, its folder whole."


def read_saved_config(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a saved model: of each part its class and its arguments.

    Raises:
        InputError: there is none, it is damaged, or a newer version of mmbert wrote it.
    """
    for name in (MODEL_CONFIG, MODEL_WEIGHTS):
        if not (folder / name).is_file():
            found = next(folder.glob(f"*/{name}"), None)
            inside = "" if found is None else f" Its folder {found.parent.name}/ does: use that."
            raise InputError(f"{folder} holds no saved model: {name} is missing.{inside}")
    try:
        refuse_special_inside(folder)
    except SpecialFileError as error:
        raise InputError(f"{error.filename}: {error.strerror}, so {folder} is not read as a saved model.") from error
    path = folder / MODEL_CONFIG
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}. {AGAIN}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} holds no JSON object. {AGAIN}")
    version = config.get("format", 0)
    if isinstance(version, int) and version > MODEL_FORMAT:
        raise InputError(
            f"{folder} was saved by mmbert {config.get('mmbert_version')} in a newer format than this version "
            f"({mmbert.__version__}) reads: update mmbert."
        )
    for where, what in config_faults(config):
        raise InputError(f"{path}: {where} is {what}. {AGAIN}")
    check_names(config, folder)
    return config


def is_saved_model(folder: Path) -> bool:
    """Whether a folder holds, or once held, what ``save_pretrained`` writes; models of transformers do not."""
    try:
        config: Any = json.loads((folder / MODEL_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and {"mmbert_version", "encoders", "tasks"} <= set(config)


def config_faults(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where ``config.json`` is not made as ``save_pretrained`` makes it, and what stands there instead."""
    if type(config.get("format", 0)) is not int:
        yield "format", "no whole number"
    parts = {"fusion": config.get("fusion")}
    for group in ("encoders", "tasks"):
        if not isinstance(config.get(group), dict):
            yield group, "no group of parts by name"
        else:
            parts |= {f"{group}.{name}": part for name, part in config[group].items()}
    for where, part in parts.items():
        if not isinstance(part, dict) or not is_class_path(part.get("class")):
            yield where, "no part with a class"
        elif not isinstance(part.get("args"), dict):
            yield f"{where}.args", "no group of arguments"
        elif not isinstance(part.get(FROZEN_WEIGHTS, ""), str):
            yield f"{where}.{FROZEN_WEIGHTS}", "no fingerprint"
    sums = config.get(CHECKSUMS, {})
    if not isinstance(sums, dict) or not all(isinstance(value, str) for value in sums.values()):
        yield CHECKSUMS, "no group of checksums by file"


def is_class_path(value: Any) -> bool:
    """Whether a value may be ``package.module.Class``."""
    return isinstance(value, str) and len(value) <= LONGEST_PATH and value.isprintable()


def checksums(folder: Path) -> dict[str, str]:
    """Of weights and assets by their path in the folder; not of ``config.json``, the card, and frozen weights.

    Frozen weights are in files that are named by their hash.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("frozen-"))
    names = [path.relative_to(folder).as_posix() for path in files]
    return {name: file_checksum(folder / name) for name in names if name not in (MODEL_CONFIG, MODEL_CARD)}


def check_saved_files(folder: Path, config: Mapping[str, Any], beginning: str = "") -> None:
    """Refuses files that are not those that were saved.

    Args:
        folder: of the saved model.
        config: its ``config.json``.
        beginning: of the paths of those files that count.

    Raises:
        InputError: names the first that is missing or has other bytes.
    """
    for name, saved in config.get(CHECKSUMS, {}).items():
        if not name.startswith(beginning):
            continue
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path} is missing: the saved model is not whole. {AGAIN}")
        if file_checksum(path) != saved:
            raise InputError(
                f"{path} is not the file that was saved: it is damaged, or was changed. {AGAIN} If it was changed on "
                f'purpose, delete its line under "{CHECKSUMS}" in {MODEL_CONFIG}.'
            )


def file_checksum(path: Path) -> str:
    """A 128-bit hash of a file's bytes.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error


def read_tensors(path: Path, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name.

    Args:
        path: of the file.
        wanted: which names.

    Raises:
        InputError: it is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if wanted(name)}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, TypeError, RuntimeError, AttributeError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}). {AGAIN}") from error


def load_saved_weights(module: torch.nn.Module, state: Mapping[str, Tensor], source: Path) -> None:
    """Loads weights that were read from a file.

    Raises:
        InputError: a tensor is missing, too many, of another shape or kind, or not finite; names it.
    """
    own = module.state_dict()
    for name, tensor in state.items():
        here = own.get(name)
        if here is not None and here.is_floating_point() != tensor.is_floating_point():
            raise InputError(f"{source}: the tensor '{name}' is {tensor.dtype}, but {here.dtype} is needed. {AGAIN}")
        if not is_finite(tensor) and (here is None or is_finite(here)):
            raise InputError(
                f"{source}: the tensor '{name}' holds NaN or infinity, so every answer would be nonsense. {AGAIN} If "
                "it is the same there, the training that saved it had diverged: train again with a lower rate."
            )
    try:
        module.load_state_dict(dict(state))
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InputError(f"{source} does not fit its {MODEL_CONFIG}: {' '.join(lines[1:3])[:500]} {AGAIN}") from error


def is_finite(tensor: Tensor) -> bool:
    """Whether all numbers of a tensor are; whole numbers always are."""
    if not tensor.is_floating_point() and not tensor.is_complex():
        return True
    wide = tensor.float() if tensor.is_floating_point() and tensor.element_size() == 1 else tensor
    return bool(torch.isfinite(wide).all())
