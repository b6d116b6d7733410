"""LiRA, the likelihood-ratio attack of Carlini et al. (2022), "Membership Inference Attacks From First Principles".

    arXiv:2112.03570, algorithm 1 (online) and section VI.C (offline)

K models are trained, each on a part of the samples. For each sample the statistic (the logit of the label's
probability) of the models that were trained on it is taken for a Gaussian, and so is that of the others. A further
model's statistic is then more likely under the one or the other.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

#: ``global``: one variance for all samples (one of the models trained on them, one of the others); ``sample``: each has
#: its own.
Variance = Literal["global", "sample"]
#: From so many reference models each sample has variances of its own: with fewer the paper takes the global one.
MODELS_FOR_OWN_VARIANCE = 64
#: No variance is taken for less than this, in squared logits: models that agree to the last digit are no proof.
LEAST_VARIANCE = 1e-12


class Gaussians(NamedTuple):
    """Of one kind of reference models, those trained on a sample or the others.

    Attributes:
        mean: (N,).
        variance: (N,), above 0.
    """

    mean: np.ndarray
    variance: np.ndarray

    def log_density(self, values: np.ndarray) -> np.ndarray:
        """(N,) of one value for each sample, without the constant log √(2π), which no ratio has."""
        return -0.5 * (np.log(self.variance) + (values - self.mean) ** 2 / self.variance)


def fitted_gaussians(statistics: np.ndarray, chosen: np.ndarray, variance: Variance) -> Gaussians:
    """The Gaussian of each sample over some of the models.

    Variances are unbiased. The global one is that of the deviations from each sample's own mean, Σᵢₖ (xₖᵢ - mᵢ)² /
    Σᵢ (nᵢ - 1): samples that differ in their means must not widen it.

    Args:
        statistics: (R, N) float, of R models.
        chosen: (R, N) bool, which of them count; at least two a sample.
        variance: see ``Variance``.
    """
    count = chosen.sum(0)
    if count.min() < 2:
        raise ValueError("a Gaussian needs two models at least")
    mean = np.where(chosen, statistics, 0.0).sum(0) / count
    squares = np.where(chosen, (statistics - mean) ** 2, 0.0).sum(0)
    if variance == "global":
        found = np.full(len(mean), squares.sum() / (count - 1).sum())
    else:
        found = squares / (count - 1)
    return Gaussians(mean, np.maximum(found, LEAST_VARIANCE))


def online_scores(target: np.ndarray, statistics: np.ndarray, member: np.ndarray, variance: Variance) -> np.ndarray:
    """log Λ = log N(t; mean and variance of the models trained on the sample) - log N(t; those of the others).

    Args:
        target: (N,) the statistics of the model that is attacked.
        statistics: (R, N) of the reference models.
        member: (R, N) bool, which of them were trained on which sample.
        variance: see ``Variance``.

    Returns:
        (N,) the greater, the likelier the sample was trained on.
    """
    inside = fitted_gaussians(statistics, member, variance)
    outside = fitted_gaussians(statistics, ~member, variance)
    return inside.log_density(target) - outside.log_density(target)


def offline_scores(target: np.ndarray, statistics: np.ndarray, member: np.ndarray, variance: Variance) -> np.ndarray:
    """z = (t - mean) / σ of the models that were not trained on the sample; arguments as those of ``online_scores``.

    The paper's score is Φ(z), the probability of a smaller statistic. z is in the same order, and is not rounded to 1.
    """
    outside = fitted_gaussians(statistics, ~member, variance)
    return (target - outside.mean) / np.sqrt(outside.variance)


def chosen_variance(references: int) -> Variance:
    """What suits the number of reference models."""
    return "sample" if references >= MODELS_FOR_OWN_VARIANCE else "global"


def leave_one_out_scores(
    statistics: np.ndarray, member: np.ndarray, variance: Variance | None = None, offline: bool = False
) -> np.ndarray:
    """Each model is attacked in turn, with all others as references.

    Args:
        statistics: (K, N) float, finite.
        member: (K, N) bool.
        variance: None = ``chosen_variance`` of K - 1 models.
        offline: see ``offline_scores``.

    Returns:
        (K, N).
    """
    score = offline_scores if offline else online_scores
    kind = chosen_variance(len(statistics) - 1) if variance is None else variance
    found = np.empty(statistics.shape)
    for target in range(len(statistics)):
        others = np.arange(len(statistics)) != target
        found[target] = score(statistics[target], statistics[others], member[others], kind)
    return found
