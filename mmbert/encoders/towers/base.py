"""``Tower``: the part of a model of transformers that reads one kind of input, with what differs between models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from mmbert.core.errors import ConfigError
from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.continuous import Continuous

if TYPE_CHECKING:
    from transformers import PretrainedConfig


class Tower(nn.Module):
    """A part of a model of transformers, from prepared inputs to tokens.

    Args:
        model: the part, as ``part`` or ``build`` gives it.
        preparer: what transformers prepares its inputs with: a feature extractor or an image processor.
        name: of the model, for messages.

    Attributes:
        whole: by ``model_type`` of a ``config.json`` the class of transformers that loads such weights.
        preparers: names of the classes that may prepare the inputs.
    """

    whole: ClassVar[dict[str, str]]
    preparers: ClassVar[tuple[str, ...]]
    model: Any

    def __init__(self, model: nn.Module, preparer: Any, name: str) -> None:
        super().__init__()
        self.model = model

    @classmethod
    def part_config(cls, config: PretrainedConfig) -> PretrainedConfig:
        """The configuration of the part, of a model's."""
        return config

    @classmethod
    def fixed_options(cls, config: PretrainedConfig) -> dict[str, Any]:
        """Entries of the part's configuration that are always changed; none by itself."""
        return {}

    @classmethod
    def part(cls, whole: Any) -> nn.Module:
        """The part, of a model that was loaded."""
        found: nn.Module = whole
        return found

    @classmethod
    def build(cls, config: PretrainedConfig) -> nn.Module:
        """The part with random weights.

        Args:
            config: of the part.
        """
        import transformers

        kind = cls.whole[config.model_type]
        built: nn.Module = getattr(transformers, kind)._from_config(config)
        return built

    @property
    def width(self) -> int:
        """D, of a token."""
        return int(self.model.config.hidden_size)

    def blocks(self) -> nn.ModuleList:
        """The layers, the lowest first."""
        raise NotImplementedError

    def above(self) -> list[nn.Module]:
        """What comes after the layers."""
        return []

    def continuous(self, inputs: Inputs) -> Continuous:
        """See ``Encoder``."""
        raise NotImplementedError

    def forward(self, inputs: Inputs) -> Encoded:
        """Inputs, as the processor collates them -> tokens (B, L, D), mask (B, L), pooled (B, D)."""
        raise NotImplementedError


def check_agreement(name: str, pairs: dict[str, tuple[Any, Any]]) -> None:
    """Refuses a folder whose two files are not of the same model.

    Args:
        name: of the model.
        pairs: by what they say, the value in config.json and that in preprocessor_config.json.

    Raises:
        ConfigError: names the first that differ.
    """
    for what, (model, preparer) in pairs.items():
        if model != preparer:
            raise ConfigError(
                f"{name}: by config.json its {what} is {model}, by preprocessor_config.json {preparer}: these are not "
                "the files of one model. Copy both from where the model comes from."
            )
