"""Which shadow model is trained on which samples."""

from __future__ import annotations

import numpy as np


def random_halves(models: int, samples: int, seed: int) -> np.ndarray:
    """For each sample, independently of the others, a random half of the models is trained on it.

    Every sample is then in and out equally often (Carlini et al. 2022, arXiv:2112.03570, section IV.A). How many
    samples a model is trained on varies as sums of coin tosses do.

    Args:
        models: K, an even number.
        samples: N.
        seed: of the draw.

    Returns:
        (K, N) bool, True = trained on; each column has K / 2 of them.
    """
    if models % 2:
        raise ValueError(f"models={models}: half of them must be a whole number")
    order = np.random.default_rng(seed).random((models, samples)).argsort(0)
    return order.argsort(0) < models // 2
