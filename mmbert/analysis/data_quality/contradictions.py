"""How much the modalities of a sample contradict each other: from unimodal heads, and from retrieval vectors.

**From unimodal heads.** p_m(c) is what modality m alone says of the label, π(c) the share of class c. If modalities are
independent given the label, the likelihood ratio of "all of these inputs are of one sample" to "each is of a sample of
its own" is, by Bayes' theorem,

    L = Σ_c π(c) Π_m p_m(c) / π(c)

and by the lemma of Neyman and Pearson no other function of p tells the two apart better. For two modalities log L is
the pointwise mutual information of the inputs by way of the label. A head that knows nothing (p = π) leaves L as it is,
which a divergence between the heads does not: it is large wherever one head knows more than another. The score is how
much one modality lowers it,

    contradiction = max_m log L(all but m) - log L(all)

above 0 where the modalities speak against each other; the m of the maximum is the odd one out (of two: either one).
Of a multilabel task log L is the sum over its properties, which counts them as independent.

**From retrieval vectors** (``task=retrieval``): the cosine of two modalities of a sample is compared with those of each
of them with the other samples of its fold, in standard deviations; the score is minus the mean over both directions and
over the partners of a modality, and again the largest over modalities.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp
from scipy.stats import rankdata


def log_likelihood_ratio(probabilities: np.ndarray, present: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """log L of every sample.

    Args:
        probabilities: (N, M, K, S), of K labels with S states each (classes: K = 1, S = C; properties: S = 2).
        present: (N, M) bool; what absent modalities hold is not read.
        priors: (K, S) shares of the states, above 0.

    Returns:
        (N,); 0 where one modality alone is present, or none.
    """
    safe = np.where(present[:, :, None, None], probabilities, priors)
    evidence = (np.log(safe) - np.log(priors)).sum(1)  # (N, K, S)
    found: np.ndarray = logsumexp(evidence + np.log(priors), axis=-1).sum(-1)
    return np.where(present.sum(1) > 1, found, 0.0)


def head_contradictions(
    probabilities: np.ndarray, present: np.ndarray, priors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) scores, NaN with fewer than two modalities; (N,) the odd one out, -1 where there is no score.

    Args:
        probabilities: (N, M, K, S).
        present: (N, M) bool.
        priors: (K, S).
    """
    whole = log_likelihood_ratio(probabilities, present, priors)
    lowered = np.full(present.shape, -np.inf)
    for m in range(present.shape[1]):
        without = present.copy()
        without[:, m] = False
        lowered[:, m] = log_likelihood_ratio(probabilities, without, priors) - whole
    return largest(np.where(present, lowered, -np.inf), present)


def vector_contradictions(vectors: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As ``head_contradictions``, from vectors (n, M, E) of length 1 of the samples of one fold."""
    count, modalities = present.shape
    total, partners = np.zeros(present.shape), np.zeros(present.shape)
    for a in range(modalities):
        for b in range(a + 1, modalities):
            both = np.flatnonzero(present[:, a] & present[:, b])
            if len(both) < 3:
                continue
            far = -partner_scores(vectors[both, a], vectors[both, b])
            for m in (a, b):
                total[both, m] += far
                partners[both, m] += 1
    known = partners > 0
    return largest(np.where(known, total / np.maximum(partners, 1), -np.inf), known)


def partner_scores(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n,): by how many standard deviations each row's own cosine is above those with other rows, both ways' mean.

    The sums over all pairs are those of n vectors, Σ_j a·b_j = a·(Σ_j b_j) and Σ_j (a·b_j)² = a·(Σ_j b_j b_jᵀ)·a, so
    that no n × n table is made.
    """
    one, other = one.astype(np.float64), other.astype(np.float64)
    own, count = (one * other).sum(1), len(one)
    made = np.zeros(count)
    for these, those in ((other, one), (one, other)):
        mean = (these @ those.sum(0) - own) / (count - 1)
        square = ((these @ (those.T @ those) * these).sum(1) - own**2) / (count - 1)
        made += (own - mean) / np.sqrt(np.maximum(square - mean**2, 1e-12))
    return made / 2


def largest(scores: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest score of each sample and whose it is; NaN and -1 where fewer than two modalities have one."""
    enough = known.sum(1) > 1
    return np.where(enough, scores.max(1, initial=-np.inf), np.nan), np.where(enough, scores.argmax(1), -1)


def jensen_shannon(probabilities: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(N,) the Jensen-Shannon divergence of the heads of the modalities that are present, in nats (Lin 1991).

    For comparison. Args as of ``head_contradictions``; mean over labels, NaN with fewer than two modalities.
    """
    weight = present[:, :, None, None] / np.maximum(present.sum(1), 1)[:, None, None, None]
    mixed = (weight * probabilities).sum(1)
    entropies = -(probabilities * np.log(probabilities)).sum(-1, keepdims=True)
    divergence = -(mixed * np.log(np.where(mixed > 0, mixed, 1))).sum(-1) - (weight * entropies).sum(1)[..., 0]
    return np.where(present.sum(1) > 1, divergence.mean(-1), np.nan)


def auroc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Area under the ROC curve: how often a positive scores above a negative, ties by halves; NaN scores are left out.

    None where there are no positives or no negatives.
    """
    known = ~np.isnan(scores)
    scores, positive = scores[known], positive[known].astype(bool)
    hits, misses = int(positive.sum()), int((~positive).sum())
    if not hits or not misses:
        return None
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))
