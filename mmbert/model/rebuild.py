"""Builds the parts of a saved model anew from the classes and arguments in its ``config.json``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open

from mmbert.core.arguments import arguments_complaint
from mmbert.core.errors import InputError, MmbertError
from mmbert.core.init_args import find_class
from mmbert.encoders.base import Encoder
from mmbert.encoders.pruned_shapes import shrink
from mmbert.fusion.base import Fusion
from mmbert.model.build_limit import BuildLimit, TooLarge
from mmbert.model.saved_files import AGAIN, CHECKSUMS, MODEL_CONFIG, MODEL_WEIGHTS, PRUNED_SHAPES
from mmbert.tasks.base import Task

Part = TypeVar("Part")


def rebuild_encoders(config: dict[str, Any], folder: Path) -> dict[str, Encoder]:
    """The encoders by name, with random weights.

    Raises:
        InputError: names the part of ``config.json`` that cannot be built.
    """
    encoders = {}
    for name, part in config["encoders"].items():
        kind: type[Encoder] = class_of(part, Encoder, folder)
        assets = folder / "encoders" / name

        known = any(file.startswith(f"encoders/{name}/") for file in config.get(CHECKSUMS, {}))

        def build(kind: type[Encoder] = kind, part: Any = part, assets: Path = assets, known: bool = known) -> Encoder:
            encoder = kind(**kind.rebuild_args(part["args"], assets))
            if part.get(PRUNED_SHAPES) is not None:
                shrink(encoder, part[PRUNED_SHAPES])
                encoder.pruned_shapes = part[PRUNED_SHAPES]
            if not known and assets.is_dir() and kind.__module__.startswith("mmbert."):
                try_out(encoder)
            return encoder

        encoders[name] = built(build, kind, part, folder, f"encoders.{name}")
    return encoders


def try_out(encoder: Encoder) -> None:
    """Runs an encoder once, without an input: of a model without checksums nobody knows whether its files are whole."""
    with torch.no_grad():
        encoder.eval()(encoder.processor.collate([None]))


def rebuild_fusion(config: dict[str, Any], folder: Path) -> Fusion:
    """The fusion strategy, with random weights.

    Raises:
        InputError: it cannot be built.
    """
    kind: type[Fusion] = class_of(config["fusion"], Fusion, folder)
    return built(lambda: kind(**config["fusion"]["args"]), kind, config["fusion"], folder, "fusion")


def rebuild_tasks(config: dict[str, Any], folder: Path) -> dict[str, Task]:
    """The tasks by name, with random weights.

    Raises:
        InputError: names the part of ``config.json`` that cannot be built.
    """
    tasks = {}
    for name, part in config["tasks"].items():
        kind: type[Task] = class_of(part, Task, folder)

        def build(kind: type[Task] = kind, args: Any = part["args"], assets: Path = folder / "tasks" / name) -> Task:
            return kind(**kind.rebuild_args(args, assets))

        tasks[name] = built(build, kind, part, folder, f"tasks.{name}")
    return tasks


def class_of(part: dict[str, Any], base: type[Any], folder: Path) -> type[Any]:
    """The class that a part of ``config.json`` names.

    Raises:
        InputError: it is no subclass of ``base``, so a folder cannot have anything else called.
    """
    try:
        found = find_class(part["class"])
    except InputError as error:
        raise InputError(f"{folder / MODEL_CONFIG}: {error}") from error
    if not isinstance(found, type) or not issubclass(found, base):
        raise InputError(f"{folder / MODEL_CONFIG} names '{part['class']}', which is no {base.__name__}.")
    return found


def built(build: Callable[[], Part], kind: type[Any], part: dict[str, Any], folder: Path, where: str) -> Part:
    """A part that is built from its arguments, once these have been checked.

    Raises:
        InputError: it cannot be; says where in ``config.json``.
    """
    wrong = arguments_complaint(kind, part["args"])
    if wrong:
        raise InputError(f"{folder / MODEL_CONFIG}: {where}.args: {wrong} {AGAIN}")
    with part_errors(folder, where):
        if not part["class"].startswith("mmbert."):
            return build()
        with BuildLimit(*weights_on_disk(folder)):
            return build()


@contextmanager
def part_errors(folder: Path, where: str) -> Iterator[None]:
    """Turns whatever goes wrong while a part is built from a saved config into one error that names file and part.

    Wide on purpose: transformers, timm and classes of one's own raise what they like at arguments that do not fit.

    Raises:
        MmbertError: something went wrong.
    """
    path = folder / MODEL_CONFIG
    try:
        yield
    except TooLarge:
        raise InputError(
            f"{path}: {where} describes a network that is far larger than the weights beside it. {AGAIN}"
        ) from None
    except MmbertError as error:
        raise type(error)(f"{path}: {where} cannot be built: {error}") from error
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")[:300]
        raise InputError(f"{path}: {where} cannot be built ({type(error).__name__}: {first}). {AGAIN}") from error


def weights_on_disk(folder: Path) -> tuple[int, int]:
    """Bytes and number of all tensors of a saved model.

    Raises:
        InputError: a file of weights is damaged.
    """
    size = count = 0
    for path in (folder / MODEL_WEIGHTS, *folder.glob("encoders/*/*.safetensors")):
        try:
            with safe_open(path, "pt") as file:
                count += len(file.keys())
            size += path.stat().st_size
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path} cannot be read ({error}). {AGAIN}") from error
    return size, count
