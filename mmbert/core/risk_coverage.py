"""Risk against coverage: how often a model errs on the samples that it is surest of, and the area beneath.

A model that answers only where its confidence is high answers a share of the samples (coverage) and is wrong on a share
of those (selective risk). AURC is the mean of the risk over all coverages k / N, k = 1 ... N.

Paper: Geifman and El-Yaniv 2017, "Selective classification for deep neural networks", arXiv:1705.08500; the area:
Geifman, Uziel and El-Yaniv 2019, arXiv:1805.08206. Samples of equal confidence are taken in all orders alike: the
errors among them are spread evenly, so that the curve does not depend on the order of the samples.
"""

from __future__ import annotations

import numpy as np


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The curve, from the surest sample to all of them.

    Args:
        confidence: (N,) the probability of the answer, or any number that grows with confidence; N > 0.
        right: (N,) of 0 and 1: whether the answer is right.

    Returns:
        Coverage (N,) from 1 / N to 1, risk (N,) in [0, 1], and the confidence (N,) of the last sample that is answered.
    """
    order = np.argsort(-np.asarray(confidence, dtype=np.float64), kind="stable")
    ranked = np.asarray(confidence, dtype=np.float64)[order]
    wrong = 1.0 - np.asarray(right, dtype=np.float64)[order]
    _, group = np.unique(-ranked, return_inverse=True)
    wrong = (np.bincount(group, wrong) / np.bincount(group))[group]
    answered = np.arange(1, len(ranked) + 1)
    return answered / len(ranked), np.cumsum(wrong) / answered, ranked


def area_under_risk(confidence: np.ndarray, right: np.ndarray) -> float:
    """AURC, in [0, 1]: smaller is better; that of random confidences is about the error rate."""
    return float(risk_coverage(confidence, right)[1].mean())


def threshold_for(confidence: np.ndarray, coverage: float) -> float:
    """The highest threshold at which at least a share ``coverage`` of samples is as sure or surer.

    Args:
        confidence: (N,), N > 0.
        coverage: in (0, 1].
    """
    ranked = np.sort(np.asarray(confidence, dtype=np.float64))[::-1]
    return float(ranked[max(int(np.ceil(coverage * len(ranked) - 1e-9)), 1) - 1])
