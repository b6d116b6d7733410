"""The heads of transformers' masked language models, apart from their networks, and whole models made of the two.

Every architecture has a head of its own (BERT's is a linear layer, an activation and a layer norm before the word
embeddings). It is taken from transformers' own class, whose network is left out; the word embeddings stay where they
are, in the text encoder, and are no parameters here.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.encoders.pretrained.transformers import model_source, nobody_asked, quiet_transformers
from mmbert.encoders.pretrained.weights import hub


class HiddenStates(nn.Module):
    """Stands in for a network: its output is what it is given."""

    def forward(self, *args: Any, inputs_embeds: Tensor | None = None, **kwargs: Any) -> Any:
        """inputs_embeds (B, L, D) -> the same as ``last_hidden_state``."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        return BaseModelOutputWithPooling(last_hidden_state=inputs_embeds)


class LanguageModelHead(nn.Module):
    """Hidden states -> logits over the vocabulary, by an architecture's own head.

    Args:
        masked: a masked language model of transformers; its network and its embeddings are dropped.

    Attributes:
        bias: (V,) of the logits, or None.
    """

    def __init__(self, masked: Any) -> None:
        super().__init__()
        decoder = masked.get_output_embeddings()
        name = next(name for name, module in masked.named_modules() if module is decoder)
        bias = decoder.bias
        masked.set_submodule(name, nn.Identity())
        setattr(masked, masked.base_model_prefix, HiddenStates())
        tied = {value for key, value in (masked._tied_weights_keys or {}).items() if key.endswith(".bias")}
        for path, parameter in list(masked.named_parameters()):
            if path in tied or parameter is bias:  # the same numbers under a second name
                owner, _, attribute = path.rpartition(".")
                delattr(masked.get_submodule(owner), attribute)
        self.masked = masked
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    def forward(self, hidden: Tensor, embeddings: Tensor) -> Tensor:
        """hidden (B, L, D), embeddings (V, E) of words -> logits (B, L, V)."""
        transformed = self.masked(inputs_embeds=hidden).logits
        return nn.functional.linear(transformed, embeddings, self.bias)


def language_model_head(network: Any, name: str, pretrained: bool) -> tuple[LanguageModelHead, bool]:
    """The head that belongs to a network, and whether its weights are the checkpoint's own.

    Args:
        network: of a text encoder.
        name: of the checkpoint.
        pretrained: look for the weights in the checkpoint; they are random where it has none.

    Raises:
        ConfigError: transformers has no masked language model of this architecture.
    """
    from transformers import AutoModelForMaskedLM

    with quiet_transformers():
        if pretrained and name != "tiny":
            with hub(), nobody_asked():
                masked, report = AutoModelForMaskedLM.from_pretrained(
                    model_source(name), output_loading_info=True, dtype=torch.float32, trust_remote_code=False
                )
            prefix = f"{masked.base_model_prefix}."
            lacking = [key for key in report["missing_keys"] if not key.startswith(prefix)]
            if not lacking:
                return LanguageModelHead(masked), True
        return LanguageModelHead(empty_masked_model(network.config)), False


def empty_masked_model(config: Any) -> Any:
    """A masked language model with random weights; its network, which nobody needs, has one layer.

    Raises:
        ConfigError: transformers has none of this architecture.
    """
    from transformers import AutoModelForMaskedLM

    small = copy.deepcopy(config)
    small.num_hidden_layers = 1
    if isinstance(kinds := getattr(small, "layer_types", None), list):
        small.layer_types = kinds[:1]
    try:
        return AutoModelForMaskedLM.from_config(small, dtype=torch.float32)
    except ValueError as error:
        raise ConfigError(
            f"transformers has no masked language model of the architecture '{config.model_type}': choose an encoder "
            "of the BERT family."
        ) from error


def write_masked_model(network: Any, tokenizer: Any, head: LanguageModelHead | None, folder: Path) -> None:
    """Writes a text encoder as transformers writes models, so that its Auto classes load it.

    Args:
        network: the encoder's, without adapters.
        tokenizer: that belongs to it.
        head: for ``AutoModelForMaskedLM``; None = the network alone, for ``AutoModel``.
        folder: an empty one.

    Raises:
        ConfigError: the network has adapters.
    """
    from transformers import AutoModelForMaskedLM

    if any("lora_" in name for name, _ in network.named_parameters()):
        raise ConfigError("A text encoder with low-rank adapters (lora) cannot be written as a plain model.")
    written = network
    if head is not None:
        with quiet_transformers():
            written = AutoModelForMaskedLM.from_config(network.config, dtype=torch.float32)
        base = getattr(written, written.base_model_prefix)
        base.load_state_dict(cpu(network), strict=False)  # a pooler, if it has one, is no part of a language model
        written.load_state_dict(cpu(head.masked), strict=False)
        if head.bias is not None:
            written.get_output_embeddings().bias.data.copy_(head.bias.detach().cpu())
        written.tie_weights()
    written.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def cpu(module: nn.Module) -> dict[str, Tensor]:
    """A module's state on the CPU."""
    return {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
