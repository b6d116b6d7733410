"""Saves a model as a folder of JSON, safetensors and the encoders' assets, and loads it. No pickle, no code in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

import mmbert
from mmbert.core.errors import InputError
from mmbert.core.init_args import SavesInitArgs, class_path
from mmbert.core.permissions import usual_permissions
from mmbert.core.whole_files import whole_folder
from mmbert.encoders.base import Encoder
from mmbert.encoders.pretrained import frozen_file
from mmbert.fusion.base import Fusion
from mmbert.model.rebuild import rebuild_encoders, rebuild_fusion, rebuild_tasks
from mmbert.model.saved_files import (
    CHECKSUMS,
    FROZEN_WEIGHTS,
    MODEL_CARD,
    MODEL_CONFIG,
    MODEL_FORMAT,
    MODEL_WEIGHTS,
    PRUNED_SHAPES,
    check_saved_files,
    checksums,
    read_saved_config,
    read_tensors,
)
from mmbert.model.trust import refuse_untrusted
from mmbert.tasks.base import Task


@dataclass(frozen=True)
class ModelParts:
    """The content of a saved model's folder.

    Attributes:
        encoders: by name.
        fusion: built for them.
        tasks: by name.
        state: the whole model's ``state_dict``.
        card: the model card, Markdown; None = there is none.
    """

    encoders: Mapping[str, Encoder]
    fusion: Fusion
    tasks: Mapping[str, Task]
    state: Mapping[str, Tensor]
    card: str | None = None


def save_parts(parts: ModelParts, folder: Path) -> Path:
    """Writes a model next to ``folder`` and renames it into place, so that a kill never leaves an incomplete one.

    Raises:
        InputError: a part was built with arguments that JSON cannot hold.
    """
    folder = folder.absolute()
    with whole_folder(folder) as scratch:
        config, state = describe(parts), distinct_tensors(parts.state)
        for name, encoder in parts.encoders.items():
            assets = scratch / "encoders" / name
            assets.mkdir(parents=True)
            encoder.save_assets(assets)
            if encoder.pruned_shapes is not None:
                config["encoders"][name][PRUNED_SHAPES] = encoder.pruned_shapes
            if encoder.constant and (frozen := pop_encoder_state(state, name)):
                config["encoders"][name][FROZEN_WEIGHTS] = frozen_file.write_frozen_weights(frozen, assets, folder)
        for name, task in parts.tasks.items():
            assets = scratch / "tasks" / name
            assets.mkdir(parents=True)
            task.save_assets(assets)
        remove_empty(scratch / "tasks")
        with usual_permissions(scratch / MODEL_WEIGHTS):
            save_file(state, scratch / MODEL_WEIGHTS)
        config[CHECKSUMS] = checksums(scratch)
        (scratch / MODEL_CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if parts.card is not None:
            (scratch / MODEL_CARD).write_text(parts.card, encoding="utf-8")
    return folder


def remove_empty(folder: Path) -> None:
    """Removes the folders in a folder that hold nothing, and itself if nothing is left."""
    for inner in folder.iterdir():
        if not any(inner.iterdir()):
            inner.rmdir()
    if not any(folder.iterdir()):
        folder.rmdir()


def describe(parts: ModelParts) -> dict[str, Any]:
    """The content of ``config.json``: the class and the arguments of every part."""
    return {
        "format": MODEL_FORMAT,
        "mmbert_version": mmbert.__version__,
        "encoders": {name: part_config(part) for name, part in parts.encoders.items()},
        "fusion": part_config(parts.fusion),
        "tasks": {name: part_config(part) for name, part in parts.tasks.items()},
    }


def part_config(part: SavesInitArgs) -> dict[str, Any]:
    """Class path and constructor arguments of one part, as JSON values.

    Raises:
        InputError: JSON cannot hold an argument.
    """
    try:
        return {"class": class_path(part), "args": json.loads(json.dumps(part.init_args))}
    except TypeError as error:
        raise InputError(
            f"{type(part).__name__} was built with arguments that JSON cannot hold ({error}), so it cannot be saved. "
            "Give it numbers, strings, lists and dictionaries, and build the rest inside."
        ) from error


def load_parts(folder: Path, trust_custom_code: bool = False) -> ModelParts:
    """The parts of a saved model, still without their weights, and the weights.

    Args:
        folder: of the saved model.
        trust_custom_code: allow classes from outside the package, whose import runs their code.

    Raises:
        InputError: there is no saved model, it is damaged, a class is of the wrong kind, or one is from outside the
            package without ``trust_custom_code``.
    """
    config = read_saved_config(folder)
    if not trust_custom_code:
        refuse_untrusted(config, folder)
    check_saved_files(folder, config)
    encoders = rebuild_encoders(config, folder)
    fusion = rebuild_fusion(config, folder)
    tasks = rebuild_tasks(config, folder)
    state = {current_name(name): tensor for name, tensor in read_tensors(folder / MODEL_WEIGHTS).items()}
    for name in encoders:
        state |= {state_prefix(name) + key: tensor for key, tensor in frozen_weights(config, folder, name).items()}
    return ModelParts(encoders, fusion, tasks, state, read_card(folder))


def current_name(name: str) -> str:
    """The present name of a saved tensor; ``decision_heads`` were called ``panels`` in earlier versions."""
    return "decision_heads." + name.removeprefix("panels.") if name.startswith("panels.") else name


def state_prefix(encoder: str) -> str:
    """The prefix of an encoder's tensors in a model's state dict."""
    return f"encoders.{encoder}."


def pop_encoder_state(state: dict[str, Tensor], encoder: str) -> dict[str, Tensor]:
    """Removes an encoder's tensors from a model's state dict, in place; returns them as the encoder's state dict."""
    names = [name for name in state if name.startswith(state_prefix(encoder))]
    return {name.removeprefix(state_prefix(encoder)): state.pop(name) for name in names}


def frozen_weights(config: dict[str, Any], folder: Path, encoder: str) -> dict[str, Tensor]:
    """A frozen encoder's tensors from their own file; empty for an encoder that has none.

    Raises:
        InputError: the file is missing or damaged.
    """
    fingerprint = config["encoders"][encoder].get(FROZEN_WEIGHTS)
    return {} if fingerprint is None else frozen_file.read_frozen_weights(folder / "encoders" / encoder, fingerprint)


def encoder_weights(folder: Path, encoder: str) -> dict[str, Tensor]:
    """The state dict of one encoder of a saved model.

    Raises:
        InputError: their file is missing or damaged.
    """
    config, prefix = read_saved_config(folder), state_prefix(encoder)
    check_saved_files(folder, config, MODEL_WEIGHTS)
    found = read_tensors(folder / MODEL_WEIGHTS, lambda name: name.startswith(prefix))
    state = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return state | frozen_weights(config, folder, encoder)


def read_card(folder: Path) -> str | None:
    """The model card of a saved model, None if it has none."""
    path = folder / MODEL_CARD
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def distinct_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict fit for safetensors: contiguous, on the CPU, no storage shared between names."""
    seen: set[int] = set()
    distinct = {}
    for name, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous()
        shared = tensor.numel() > 0 and tensor.data_ptr() in seen
        distinct[name] = tensor.clone() if shared else tensor
        seen.add(tensor.data_ptr())
    return distinct
