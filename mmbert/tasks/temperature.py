"""Temperature scaling: one number divides all logits so that probabilities mean what they say.

Paper: Guo et al. 2017, "On calibration of modern neural networks", arXiv:1706.04599. The temperature minimises the
negative log-likelihood of samples that training has not seen; which class is the most probable does not change, nor
whether a property is more probable than not.
"""

from __future__ import annotations

import math

import numpy as np

#: Temperatures are sought between these. Where every sample is right a lower one is always better, where the logits are
#: worse than none a higher one.
COLDEST, HOTTEST = 0.01, 100.0


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature in [0.01, 100] with the lowest negative log-likelihood.

    In b = 1 / T the likelihood is convex; its slope, the mean of E_p[z] - z_y, grows and has at most one zero.

    Args:
        logits: (N, C), N > 0.
        truth: (N,) class indices.
    """
    from scipy.optimize import brentq
    from scipy.special import softmax

    logits = np.asarray(logits, dtype=np.float64)
    logits = logits - logits.max(1, keepdims=True)
    own = logits[np.arange(len(truth)), truth]

    def slope(log_inverse: float) -> float:
        shares = softmax(logits * math.exp(log_inverse), axis=1)
        return float(((shares * logits).sum(1) - own).mean())

    low, high = -math.log(HOTTEST), -math.log(COLDEST)
    if slope(low) >= 0:
        return HOTTEST
    if slope(high) <= 0:
        return COLDEST
    return math.exp(-brentq(slope, low, high, xtol=1e-10))


def fit_property_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The same where each of C properties may hold or not: one temperature for all, by the mean over all of them.

    The sigmoid of a logit z is the softmax of z beside 0, so that each property is a choice between two.

    Args:
        logits: (N, C), N > 0.
        truth: (N, C) of 0 and 1.
    """
    z = np.asarray(logits, dtype=np.float64).ravel()
    return fit_temperature(np.stack([np.zeros_like(z), z], 1), np.asarray(truth).ravel().astype(np.int64))
