"""Zero-shot classification: which class's name, put into prompts, lies nearest to a picture or a sound.

Paper: Radford et al. 2021, "CLIP", arXiv:2103.00020, section 3.1.4: the vector of a class is the mean of the vectors of
its prompts, brought to length 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmbert.core.errors import ConfigError
from mmbert.search.embedder import Embedder

#: Where a prompt has the class.
CLASS_NAME_HERE = "{}"


def class_vectors(embedder: Embedder, classes: Sequence[str], prompts: Sequence[str]) -> np.ndarray:
    """(C, E) float32 of length 1: for each class the mean over the prompts.

    Raises:
        ConfigError: there are fewer than two classes, one twice, or a prompt without ``{}``.
    """
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise ConfigError(f"--classes {','.join(classes)}: two or more different ones are wanted.")
    wrong = [prompt for prompt in prompts if CLASS_NAME_HERE not in prompt]
    if wrong or not prompts:
        raise ConfigError(
            f'--prompt "{wrong[0] if wrong else ""}": it needs {CLASS_NAME_HERE} in the place of the class.'
        )
    text = embedder.first_of("text")
    texts = [prompt.replace(CLASS_NAME_HERE, name) for name in classes for prompt in prompts]
    vectors = embedder.vectors(text, texts).reshape(len(classes), len(prompts), -1).astype(np.float64)
    means = vectors.mean(1)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return (means / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def class_probabilities(vectors: np.ndarray, classes: np.ndarray, scale: float) -> np.ndarray:
    """vectors (N, E), classes (C, E) -> (N, C): softmax of the cosines times the model's learnt scale."""
    logits = scale * (vectors.astype(np.float64) @ classes.T.astype(np.float64))
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shares / shares.sum(1, keepdims=True))
