"""Tagging: the labels of a sample are those of its words; what is judged of them, and which word is the worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmbert.core.types import UNLABELLED, Tensors
from mmbert.tasks.spans.units import unit_extents
from mmbert.tasks.tagging import Tagging


@dataclass(frozen=True)
class TaggedWords:
    """What a model says of the words of a sample that are judged: those whose tag a token of their own learns.

    Attributes:
        words: W texts.
        probabilities: (W, C).
    """

    words: list[str]
    probabilities: np.ndarray


def objects(values: Sequence[Any]) -> np.ndarray:
    """(n,) objects; NumPy would make a table of lists of one length."""
    made = np.empty(len(values), object)
    for place, value in enumerate(values):
        made[place] = value
    return made


def word_labels(targets: Mapping[str, torch.Tensor]) -> np.ndarray:
    """(B,) of (W,) int64: the tags of the words that are judged; none of an unlabelled sample."""
    return objects([row[row != UNLABELLED] for row in targets["learnt"].cpu().numpy()])


def word_answers(task: Tagging, outputs: Tensors, targets: Tensors, alignments: Sequence[Any]) -> np.ndarray:
    """(B,) of ``TaggedWords``, in the order of ``word_labels``."""
    shares = outputs["logits"].float().softmax(-1).cpu().numpy().astype(np.float64)
    learnt, places = targets["learnt"].cpu().numpy(), targets["places"].cpu().numpy()
    made = []
    for row, alignment in enumerate(alignments):
        scored = np.flatnonzero(learnt[row] != UNLABELLED)
        text = "" if alignment is None else alignment["text"]
        extents = unit_extents(text, task.unit)
        words = [text[slice(*extents[word])] for word in scored]
        made.append(TaggedWords(words, shares[row, places[row, scored]]))
    return objects(made)


def worst_words(quality: np.ndarray, flagged: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(n,) int64: of each sample the place of its worst word, one that is taken for an error before others.

    Args:
        quality: (sum of counts,) of all words, sample after sample.
        flagged: the same, bool.
        counts: (n,) words of each sample, at least one.
    """
    sample = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((quality, ~flagged, sample))
    starts = np.cumsum(counts) - counts
    return np.asarray(order[starts] - starts)
