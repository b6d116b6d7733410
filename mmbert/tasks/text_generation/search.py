"""Searches a decoder's texts: greedily, by beams, or by sampling; with the cache, a whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class SearchOptions:
    """How texts are searched; names as in transformers.

    Attributes:
        max_length: tokens of the longest text, the one that ends it included.
        num_beams: 1 = greedy.
        length_penalty: of beams, the power of the length by which a text's log-probability is divided; above 0 favours
            long texts.
        no_repeat_ngram_size: n-grams of this size never occur twice in a text; 0 = they may.
        do_sample: draw each token instead of taking the most probable.
        temperature: the logits are divided by it, if sampled.
        top_k: only so many tokens are drawn from; 0 = all.
        top_p: only the most probable tokens that together have this probability are drawn from.
        seed: of the draws.
    """

    max_length: int = 32
    num_beams: int = 1
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class SpecialIds:
    """Ids of the tokens that begin and end a text and fill up a batch."""

    begin: int
    end: int
    padding: int


class GumbelNoise:
    """Makes the greedy choice a draw: log-probabilities plus Gumbel noise (Gumbel 1954) are greatest as sampled.

    The noise depends on the seed and the place in the text alone, never on the batch: a sample is given the same text
    in any batch. Two samples are drawn with the same noise; each text by itself is a fair draw.

    Args:
        seed: another one gives other texts.
        begun: tokens that stand before the first drawn one.
    """

    def __init__(self, seed: int, begun: int = 1) -> None:
        self.seed, self.begun = seed, begun

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """input_ids (B, t), scores (B, V) -> (B, V)."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + input_ids.shape[1] - self.begun) % 2**62)
        uniform = torch.rand(scores.shape[-1], generator=generator, dtype=torch.float64)
        noise = -torch.log(-torch.log(uniform.clamp(min=1e-300)))
        return F.log_softmax(scores.double(), -1) + noise.to(scores.device)


@torch.no_grad()
def search_texts(decoder: nn.Module, memory: Tensor, mask: Tensor, options: SearchOptions, ids: SpecialIds) -> Tensor:
    """Generates a text for each sample.

    Args:
        decoder: of transformers, with cross-attention, in evaluation mode.
        memory: (B, S, D) float, what it attends to.
        mask: (B, S) bool; every sample has a place.
        options: of the search.
        ids: of the special tokens.

    Returns:
        (B, max_length) int64 token ids, the end token included, filled up with padding.
    """
    from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig, LogitsProcessorList

    config = GenerationConfig(
        max_new_tokens=options.max_length,
        num_beams=options.num_beams,
        length_penalty=options.length_penalty if options.num_beams > 1 else None,
        no_repeat_ngram_size=options.no_repeat_ngram_size,
        do_sample=False,
        bos_token_id=ids.begin,
        eos_token_id=ids.end,
        pad_token_id=ids.padding,
    )
    generated: Tensor = decoder.generate(  # type: ignore[operator]
        input_ids=torch.full((len(memory), 1), ids.begin, device=memory.device),
        encoder_hidden_states=memory,
        encoder_attention_mask=mask.long(),
        # with the cache that generate makes by itself, BERT's cross-attention fails
        past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()),
        generation_config=config,
        logits_processor=LogitsProcessorList(draws(options) if options.do_sample else []),
    )
    texts = generated[:, 1:]
    ends = texts == ids.end
    # beside longer texts of its batch a finished one is filled up with tokens that end it
    texts = texts.masked_fill(ends.cumsum(1) - ends.long() > 0, ids.padding)
    return F.pad(texts, (0, options.max_length - texts.shape[1]), value=ids.padding)


def draws(options: SearchOptions) -> list[Any]:
    """What turns greedy search into sampling: temperature, restriction to likely tokens, and noise."""
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    steps: list[Any] = []
    if options.temperature != 1.0:
        steps.append(TemperatureLogitsWarper(float(options.temperature)))
    if options.top_k:
        steps.append(TopKLogitsWarper(options.top_k))
    if options.top_p < 1.0:
        steps.append(TopPLogitsWarper(float(options.top_p)))
    return [*steps, GumbelNoise(options.seed)]
