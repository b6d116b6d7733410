"""Scores of entities from counts that add up over batches and processes; the counting itself is seqeval's.

f1_lenient   seqeval's default, compatible with conlleval: an entity may begin with any letter, so that I-PER I-PER
             is as good as B-PER I-PER
f1_strict    seqeval's ``mode="strict"`` with the scheme named: an entity counts only if it is written by the scheme
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torchmetrics import Metric

from mmbert.tasks.spans.tag_schemes import OUTSIDE, Scheme, seqeval_scheme, seqeval_tags

#: Rows of the counts of entities: right, predicted, true.
HIT, PREDICTED, TRUE = range(3)
#: Places of the counts of words: with the right tag, all, without a token to read.
RIGHT, ALL_WORDS, CUT = range(3)

#: Type, first word, last word.
Entity = tuple[str, int, int]


def lenient_entities(tags: Sequence[str], scheme: Scheme) -> list[Entity]:
    """The entities of one sample as seqeval reads them by default."""
    from seqeval.metrics.sequence_labeling import get_entities

    with warnings.catch_warnings(action="ignore"):  # letters of BILOU are not among those it knows
        return [tuple(found) for found in get_entities(seqeval_tags(tags, scheme))]


def strict_entities(tags: Sequence[str], scheme: Scheme) -> list[Entity]:
    """The entities of one sample that are written by the scheme, as seqeval reads them in strict mode."""
    from seqeval.scheme import Tokens

    found = Tokens(seqeval_tags(tags, scheme), seqeval_scheme(scheme)).entities
    return [(one.tag, one.start, one.end - 1) for one in found]


def entity_types(tags: Sequence[str]) -> list[str]:
    """The types of entities that tags can make, by both ways of reading them."""
    inner = [tag for tag in tags if tag != OUTSIDE]
    return sorted({tag[1:].split("-", 1)[-1] or "_" for tag in inner} | {tag[1:].strip("-") or "_" for tag in inner})


def entity_counts(true: Sequence[Entity], predicted: Sequence[Entity], types: Sequence[str]) -> Tensor:
    """(3, T) int64: entities right, predicted and true, by type."""
    counts = torch.zeros(3, len(types), dtype=torch.int64)
    place = {name: number for number, name in enumerate(types)}
    for row, entities in ((HIT, set(true) & set(predicted)), (PREDICTED, set(predicted)), (TRUE, set(true))):
        for name, count in Counter(name for name, _, _ in entities).items():
            counts[row, place[name]] += count
    return counts


def word_counts(true: Sequence[str], predicted: Sequence[str], cut: int) -> Tensor:
    """(3,) int64: words with the right tag, all words, and those without a token."""
    right = sum(a == b for a, b in zip(true, predicted, strict=True))
    return torch.tensor([right, len(true), cut])


class TagScore(Metric):
    """One number of tags by word. All share their counts within a MetricCollection's compute group.

    Args:
        score: ``f1_lenient``, ``f1_strict``, ``precision_lenient``, ``recall_lenient``, ``accuracy`` (share of words
            with the right tag), or ``cut_words`` (how many labelled words have no token).
        num_types: T.
        type_place: of the only type that counts; None = all, added up (micro average).
    """

    is_differentiable = False
    full_state_update = False
    lenient: Tensor
    strict: Tensor
    words: Tensor

    def __init__(self, score: str, num_types: int, type_place: int | None = None) -> None:
        super().__init__()
        self.score, self.type_place = score, type_place
        self.add_state("lenient", torch.zeros(3, num_types, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("strict", torch.zeros(3, num_types, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("words", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, lenient: Tensor, strict: Tensor, words: Tensor) -> None:
        """Adds counts: (3, T), (3, T) and (3,) int64."""
        self.lenient = self.lenient + lenient.to(self.lenient.device)
        self.strict = self.strict + strict.to(self.strict.device)
        self.words = self.words + words.to(self.words.device)

    def compute(self) -> Tensor:
        """() float32; NaN if no word is labelled, and of a type that neither occurs nor was predicted."""
        if not int(self.words[ALL_WORDS]):
            return torch.tensor(math.nan, device=self.words.device)
        if self.score == "cut_words":
            return self.words[CUT].float()
        if self.score == "accuracy":
            return self.words[RIGHT].double().div(self.words[ALL_WORDS]).float()
        counts = self.strict if self.score.endswith("strict") else self.lenient
        if self.type_place is not None:
            counts = counts[:, self.type_place : self.type_place + 1]
            if not bool(counts.any()):
                return torch.tensor(math.nan, device=self.words.device)
        hit, predicted, true = (counts[row].sum().double() for row in (HIT, PREDICTED, TRUE))
        precision, recall = hit / predicted.clamp(min=1), hit / true.clamp(min=1)
        mean = 2 * precision * recall / torch.where(precision + recall > 0, precision + recall, 1)
        found: Tensor = {"p": precision, "r": recall, "f": mean}[self.score[0]]
        return found.float()


@lru_cache(maxsize=256)
def type_keys(types: tuple[str, ...]) -> dict[str, int]:
    """Names of the metrics of single types: ``f1_lenient_PER`` -> the type's place; / and . become _."""
    keys: dict[str, int] = {}
    for place, name in enumerate(types):
        plain = f"f1_lenient_{name}".replace("/", "_").replace(".", "_")
        keys[plain if plain not in keys else f"{plain}_{place}"] = place
    return keys


class CutWords(TagScore):
    """``cut_words``: fewer are better."""

    higher_is_better = False
