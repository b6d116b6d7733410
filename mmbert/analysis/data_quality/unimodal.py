"""Unimodal heads: what each modality by itself says of the label, as calibrated probabilities.

A logistic regression on the encoder's vector, standardised, fitted to the train part of a fold; its temperature (Guo et
al. 2017, arXiv:1706.04599) is fitted to the validation part, because vectors of an encoder that was trained on the
train part tell its labels better than any others.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

#: Added to every class's share, so that a class that a head has never met is improbable, not impossible.
ADDED_SHARE = 1e-4
#: Bounds of log temperature.
LOG_TEMPERATURE = (-2.0, 4.0)


@dataclass(frozen=True)
class UnimodalHead:
    """One head for one choice among S states.

    Attributes:
        classifier: scikit-learn's, with the standardisation; None = train has one state alone.
        states: the states that it knows, in the order of its outputs.
        temperature: that its logits are divided by.
        count: S.
    """

    classifier: Any
    states: np.ndarray
    temperature: float
    count: int

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(n, D) -> (n, S)."""
        made = np.full((len(features), self.count), 0.0)
        if self.classifier is None:
            made[:, self.states] = 1.0
        elif len(features):
            made[:, self.states] = softmax(scores(self.classifier, features) / self.temperature, axis=1)
        return (made + ADDED_SHARE) / (1 + ADDED_SHARE * self.count)


def fit_head(
    features: np.ndarray, labels: np.ndarray, val_features: np.ndarray, val_labels: np.ndarray, count: int
) -> UnimodalHead:
    """Fits a head.

    Args:
        features: (n, D) of train.
        labels: (n,) int64 below ``count``.
        val_features: (v, D) of validation.
        val_labels: (v,) int64.
        count: S.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    states = np.unique(labels)
    if len(states) < 2:
        return UnimodalHead(None, states, 1.0, count)
    # a stronger penalty than scikit-learn's own: vectors are wide (384 to 1,280) and rows often few
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    with warnings.catch_warnings():  # of many classes in few rows, and of the last digits of a fit that is calibrated
        warnings.simplefilter("ignore")
        classifier.fit(features, labels)
    known = np.isin(val_labels, states)
    if not known.any():
        return UnimodalHead(classifier, states, 1.0, count)
    logits, right = scores(classifier, val_features[known]), np.searchsorted(states, val_labels[known])

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature), axis=1)[np.arange(len(right)), right].mean())

    found = minimize_scalar(loss, bounds=LOG_TEMPERATURE, method="bounded")
    return UnimodalHead(classifier, states, float(np.exp(found.x)), count)


def scores(classifier: Any, features: np.ndarray) -> np.ndarray:
    """(n, states) logits; of two states scikit-learn gives the second's alone."""
    found = classifier.decision_function(features)
    return np.stack([np.zeros(len(found)), found], 1) if found.ndim == 1 else np.asarray(found)
