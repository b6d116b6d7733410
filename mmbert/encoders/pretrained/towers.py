"""Loads the part of a model that reads sounds or pictures, and what prepares its inputs, from the hub or a folder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mmbert.core.errors import ConfigError, WeightsError
from mmbert.core.regular_files import refuse_special_inside
from mmbert.encoders.pretrained.transformers import apply_overrides, model_error, nobody_asked, refuse_kernels
from mmbert.encoders.pretrained.weights import hub
from mmbert.encoders.towers.base import Tower

if TYPE_CHECKING:
    from transformers import PretrainedConfig

#: What a model's folder says of the preparation of inputs.
PREPARER_FILE = "preprocessor_config.json"
#: The classes of transformers that find it, by kind of input.
FINDERS = {"audio": "AutoFeatureExtractor", "image": "AutoImageProcessor"}


def load_tower(
    kind: str,
    name: str,
    source: str,
    pretrained: bool,
    overrides: dict[str, Any],
    towers: Collection[type[Tower]],
    **options: Any,
) -> tuple[Tower, Any]:
    """A tower, and what transformers prepares its inputs with; no code that lies beside them is ever run.

    Args:
        kind: of input: ``audio`` or ``image``.
        name: of the model, as it was given.
        source: what transformers is given: a name on the hub, or a folder.
        pretrained: load the weights; False = random ones.
        overrides: of the part's configuration.
        towers: those that are known.
        **options: of the tower.

    Raises:
        ConfigError: the model is of another kind, an override is no option of it, or it names code to be fetched.
        WeightsError: it cannot be had, or lacks weights.
    """
    try:
        if Path(source).is_dir():
            refuse_special_inside(source)
        with hub(), nobody_asked():
            from transformers import AutoConfig

            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
            tower = tower_of(kind, name, config, towers)
            refuse_kernels(name, config)
            part = tower.part_config(config)
            apply_overrides(name, part, {**overrides, **tower.fixed_options(part)})
            preparer = load_preparer(kind, name, source, tower)
            model = load_part(name, source, config, tower) if pretrained else tower.build(part)
    except (OSError, ValueError, KeyError) as error:
        raise model_error(name, source, error, kind) from error
    return tower(model.float(), preparer, name, **options), preparer


def tower_of(kind: str, name: str, config: PretrainedConfig, towers: Collection[type[Tower]]) -> type[Tower]:
    """The tower for a model.

    Raises:
        ConfigError: there is none.
    """
    for tower in towers:
        if config.model_type in tower.whole:
            return tower
    known = ", ".join(sorted({model_type for tower in towers for model_type in tower.whole}))
    raise ConfigError(
        f"encoders.{kind}.name={name}: by its config.json it is of type {config.model_type}, which is no {kind} model "
        f"that this encoder knows: {known}. Name one of these; a text model belongs to encoders.text.name."
    )


def load_preparer(kind: str, name: str, source: str, tower: type[Tower]) -> Any:
    """The feature extractor or image processor of a model.

    Raises:
        WeightsError: the folder has no file that says so, or the file is another model's.
    """
    try:
        found = found_preparer(source, kind)
    except (OSError, ValueError, KeyError, TypeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"The {kind} model '{name}' has no {PREPARER_FILE} that can be read, so that it is not known how its "
            f"inputs are prepared ({first}). Copy that file of the model into the folder, beside config.json."
        ) from error
    if type(found).__name__ not in tower.preparers:
        raise WeightsError(
            f"The {PREPARER_FILE} of '{name}' is for a {type(found).__name__}, but the model needs "
            f"{' or '.join(tower.preparers)}. Copy the model's own file into the folder, beside config.json."
        )
    return found


def load_part(name: str, source: str, config: PretrainedConfig, tower: type[Tower]) -> nn.Module:
    """A tower's part of a model, with its weights.

    Raises:
        WeightsError: some of its weights are not there, or have another shape.
    """
    import transformers

    kind = getattr(transformers, tower.whole[config.model_type])
    try:
        whole, report = kind.from_pretrained(source, config=config, dtype=torch.float32, output_loading_info=True)
    except RuntimeError as error:  # tensors of another shape
        lines = str(error).strip().splitlines() or [type(error).__name__]
        first = next((line.strip() for line in lines if "mismatch" in line.lower()), lines[0])
        raise WeightsError(f"The weights of '{name}' do not fit its config.json: {first}") from error
    part = tower.part(whole)
    names = {id(parameter): key for key, parameter in whole.named_parameters()}
    needed = {names[id(parameter)] for parameter in part.parameters()}
    if lacking := sorted(needed & set(report["missing_keys"])):
        raise WeightsError(
            f"'{name}' has no weights for {len(lacking)} of the {len(needed)} tensors of its {type(part).__name__} "
            f"(such as {lacking[0]}). Name a model that has them, or set pretrained=false."
        )
    return part


def load_preparer_of(folder: str, kind: str) -> Any:
    """The feature extractor or image processor that an encoder wrote among its files.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        refuse_special_inside(folder)
        return found_preparer(folder, kind)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise model_error(folder, folder, error, kind) from error


def found_preparer(source: str, kind: str) -> Any:
    """What transformers finds by the file of a folder, or of a model on the hub."""
    import transformers

    options = {"backend": "pil"} if kind == "image" else {}
    return getattr(transformers, FINDERS[kind]).from_pretrained(source, trust_remote_code=False, **options)
