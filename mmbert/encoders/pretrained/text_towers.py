"""The text towers of models for texts and pictures or sounds (CLIP, SigLIP, CLAP), as models of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

#: Models of which a text encoder takes the text tower.
WITH_TEXT_TOWER = ("clip", "siglip", "clap")
#: By ``model_type`` of a tower, its class in transformers.
TOWER_CLASSES = {
    "clip_text_model": "CLIPTextModel",
    "siglip_text_model": "SiglipTextModel",
    "clap_text_model": "ClapTextModel",
}


def text_config(config: PretrainedConfig) -> PretrainedConfig:
    """The configuration of the text tower, of a model that has one; any other as it is."""
    found: PretrainedConfig = config.text_config if config.model_type in WITH_TEXT_TOWER else config
    return found


def loaded_text_model(source: str, config: PretrainedConfig) -> nn.Module:
    """A text model with its weights, of a model with several towers the one for texts.

    Args:
        source: a folder, or a name on the hub.
        config: of the whole model.
    """
    import transformers

    kind = getattr(transformers, TOWER_CLASSES.get(config.model_type, "AutoModel"))
    # dtype: a checkpoint in half precision would otherwise stay so
    options = {} if config.model_type in TOWER_CLASSES else {"trust_remote_code": False}
    network: nn.Module = kind.from_pretrained(source, config=config, dtype=torch.float32, **options)
    if config.model_type not in WITH_TEXT_TOWER:
        return network
    found: Any = network.text_model
    return found  # type: ignore[no-any-return]


def random_text_model(config: PretrainedConfig) -> nn.Module:
    """A text model with random weights.

    Args:
        config: of the text tower.
    """
    import transformers

    if config.model_type in TOWER_CLASSES:
        tower: nn.Module = getattr(transformers, TOWER_CLASSES[config.model_type])._from_config(config)
        return tower.float()
    network: nn.Module = transformers.AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False)
    return network


def keep_pooler(name: str, network: Any, pooling: str) -> None:
    """Removes a pooler that is not read, whose parameters would get no gradients; refuses a pooling that reads nothing.

    Args:
        name: of the model.
        network: a text model of transformers.
        pooling: ``mean``, ``cls`` or ``pooler``.

    Raises:
        ConfigError: the model has no pooler, or its first token sees nothing but itself.
    """
    kind = network.config.model_type
    if kind == "clip_text_model" and pooling == "cls":
        raise ConfigError(
            f"pooling=cls: the first token of {name} reads no other, so it is the same of every text. Choose "
            "pooling=pooler, the token at the text's end, or pooling=mean."
        )
    if kind == "siglip_text_model":
        if pooling != "pooler":
            network.head = nn.Identity()
        elif network.head.out_features != network.config.hidden_size:
            raise ConfigError(
                f"pooling=pooler: the pooled vector of {name} has {network.head.out_features} numbers, its tokens "
                f"{network.config.hidden_size}. Choose pooling=mean."
            )
    elif kind != "clip_text_model":
        if pooling == "pooler" and getattr(network, "pooler", None) is None:
            raise ConfigError(f"{name} has no pooler. Choose pooling=cls or pooling=mean.")
        if pooling != "pooler" and getattr(network, "pooler", None) is not None:
            network.pooler = None


def attends_to_padding(config: PretrainedConfig) -> bool:
    """Whether a text model was trained on texts padded to its full length, without a mask."""
    return bool(config.model_type == "siglip_text_model")


def padded_to(ids: Tensor, length: int, pad: Tensor) -> Tensor:
    """ids (B, L) -> (B, length), the rest ``pad`` ()."""
    rest = pad.to(ids.dtype).expand(ids.shape[0], length)
    return torch.cat([ids, rest], 1)[:, :length]
