"""A config node -> the object that it describes. The only file that calls Hydra's ``instantiate``."""

from __future__ import annotations

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mmbert.core.errors import ConfigError
from mmbert.core.init_args import targets_in
from mmbert.core.moved import current_path
from mmbert.core.working_folder import admit_working_folder, shadowed_hint

#: Whose classes tell wrong values of options by a TypeError.
LIGHTNING = "pytorch_lightning."


def make(part: DictConfig, **extra: Any) -> Any:
    """Builds the object of a node's ``_target_`` with the node's options as plain Python values.

    Args:
        part: the node.
        extra: further arguments, which take precedence over those of the node.

    Raises:
        ConfigError: the target does not exist or refuses its options.
    """
    target = part.get("_target_")
    if target is not None and current_path(target) != target:
        part = DictConfig({**part, "_target_": current_path(target)})
    for path in targets_in(OmegaConf.to_container(part)):
        admit_working_folder(path)
    try:
        # extra does not pass through OmegaConf, which would read a class called "${x}" as an interpolation
        return instantiate(part, _convert_="all", _partial_=True)(**extra)
    except InstantiationException as error:
        cause = error.__cause__ or error
        hint = shadowed_hint(str(part.get("_target_")))
        raise ConfigError(f"{part.get('_target_')} cannot be found or built: {cause}{hint}") from error
    except TypeError as error:
        if f"{error}".startswith(f"{str(part.get('_target_')).rpartition('.')[2]}.__init__()"):
            raise ConfigError(f"{part.get('_target_')} cannot be built: {error}") from error
        if not str(part.get("_target_")).startswith(LIGHTNING):
            raise
        raise ConfigError(f"{part.get('_target_')} refuses its options: {error}") from error


def resolved(part: Any) -> Any:
    """A config node as plain dictionaries and lists, interpolations resolved; anything else as it is."""
    return OmegaConf.to_container(part, resolve=True) if OmegaConf.is_config(part) else part
