"""Which tokens are hidden from a masked language model, and what stands in their places.

Paper: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers", arXiv:1810.04805. 15 % of the tokens
of a text are predicted; of these 80 % become [MASK], 10 % another token and 10 % stay. As in its code, the number is
that share of the text's tokens, rounded and at least 1, and words that would exceed it are passed over. Differs from
it: the choice is drawn anew in every epoch (as in RoBERTa, Liu et al. 2019), special tokens are neither counted nor put
in, and where every word would exceed the number one is taken all the same.
"""

from __future__ import annotations

import numpy as np

from mmbert.tasks.masking.vocabulary import Vocabulary


def chosen_tokens(words: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """(L,) bool: the tokens that are to be predicted.

    Args:
        words: (L,) int64, the word of each token; tokens with equal numbers are chosen together; -1 = never.
        share: of the tokens, in (0, 1].
        random: for the order in which words are tried.
    """
    chosen = np.zeros(len(words), bool)
    names, sizes = np.unique(words[words >= 0], return_counts=True)
    if not len(names):
        return chosen
    wanted = max(1, round(share * sizes.sum()))
    order = random.permutation(len(names))
    taken = 0
    for place in order:
        if taken + sizes[place] <= wanted:
            chosen |= words == names[place]
            taken += int(sizes[place])
    return chosen if taken else words == names[order[0]]


def with_masks(
    ids: np.ndarray,
    chosen: np.ndarray,
    vocabulary: Vocabulary,
    shares: tuple[float, float],
    random: np.random.Generator,
) -> np.ndarray:
    """(L,) int64: the ids that the model reads.

    Args:
        ids: (L,) int64.
        chosen: (L,) bool.
        vocabulary: gives the mask token, and the pieces that may be put in.
        shares: of the chosen tokens, those that become the mask token and those that become another token; the rest
            stays.
        random: for each token by itself.
    """
    draw = random.random(len(ids))
    ordinary = np.flatnonzero(~vocabulary.special)
    others = ordinary[random.integers(len(ordinary), size=len(ids))]
    masked, replaced = draw < shares[0], (draw >= shares[0]) & (draw < shares[0] + shares[1])
    changed = np.where(chosen & masked, vocabulary.mask_id, ids)
    return np.where(chosen & replaced, others, changed)
