"""Label errors by confident learning, from out-of-sample predictions.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", arXiv:1911.00068, as
cleanlab implements it. A row is ranked by the normalised margin of its label, (p(given) - largest other p + 1) / 2,
small where the model is sure of another one. The number of errors is the sum of the off-diagonal entries of the
confident joint, calibrated to the number of rows of each class. Of multilabel tasks rows are ranked by the
self-confidence of their labels, joined by an exponential moving average (Thyagarajan et al. 2022,
arXiv:2211.13895); of numbers by cleanlab's OUTRE scores, how unusual label and residual are. Tags are judged word by
word, as classes are, and a row has the score of its worst word (Wang and Mueller 2022, arXiv:2210.03920).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from mmbert.analysis.data_quality.tag_words import worst_words
from mmbert.core.errors import ConfigError


@dataclass(frozen=True)
class LabelErrors:
    """What was found of one task.

    Attributes:
        quality: (N,) float64 in [0, 1], the lower the likelier an error; NaN = not scored.
        flagged: (N,) bool, which are taken for errors.
        estimate: number of errors, of tagging that of words; None = there is no estimate.
        word: of tagging (N,) int64, the place of the worst word among those that are judged, -1 = not scored.
    """

    quality: np.ndarray
    flagged: np.ndarray
    estimate: int | None
    word: np.ndarray | None = None


def find_label_errors(kind: str, labels: np.ndarray, predicted: np.ndarray, scored: np.ndarray) -> LabelErrors:
    """Ranks the labels of a task.

    Args:
        kind: of the task.
        labels: (N,) int64 classes; (N, C) of 0 and 1; (N,) numbers; or (N,) of (W,) tags. Read where ``scored``.
        predicted: out of sample: (N, C) probabilities, (N,) numbers, or (N,) ``TaggedWords``.
        scored: (N,) bool.

    Raises:
        ConfigError: cleanlab is not installed.
    """
    check_cleanlab()
    quality, flagged = np.full(len(scored), np.nan), np.zeros(len(scored), bool)
    if not scored.any():
        return LabelErrors(quality, flagged, None)
    if kind == "tagging":
        word = np.full(len(scored), -1)
        quality[scored], flagged[scored], words, word[scored] = of_tags(labels[scored], predicted[scored])
        return LabelErrors(quality, flagged, words, word)
    finder = {"classification": of_classes, "multilabel": of_properties, "regression": of_numbers}[kind]
    with warnings.catch_warnings():  # that rare classes are flagged less stands in the docs, not once for each class
        warnings.simplefilter("ignore", UserWarning)
        quality[scored], flagged[scored], estimate = finder(labels[scored], predicted[scored])
    return LabelErrors(quality, flagged, estimate)


def check_cleanlab() -> None:
    """Refuses to go on without cleanlab.

    Raises:
        ConfigError: says how to install it.
    """
    try:
        import cleanlab  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "Label errors are found by cleanlab, which is not here: pip install mmbert[quality]"
        ) from error


def of_classes(labels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Quality, flags and number of errors of (n,) classes with (n, C) probabilities."""
    from cleanlab.count import num_label_issues
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    quality = get_label_quality_scores(labels, predicted, method="normalized_margin")
    flagged = find_label_issues(labels, predicted, filter_by="prune_by_noise_rate", n_jobs=1)
    return quality, flagged, int(num_label_issues(labels, predicted, estimation_method="off_diagonal_calibrated"))


def of_tags(labels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    """Of (n,) of tags with (n,) ``TaggedWords``: of each row its worst word's, the number of words, which word."""
    counts = np.array([len(tags) for tags in labels])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        of_words = of_classes(np.concatenate(labels), np.concatenate([words.probabilities for words in predicted]))
    quality, flagged, estimate = of_words
    worst = worst_words(quality, flagged, counts)
    at = np.cumsum(counts) - counts + worst
    return quality[at], flagged[at], estimate, worst


def of_properties(labels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Of (n, C) properties with (n, C) probabilities."""
    from cleanlab.multilabel_classification.filter import find_label_issues
    from cleanlab.multilabel_classification.rank import get_label_quality_scores

    held = [np.flatnonzero(row).tolist() for row in labels]
    flagged = np.asarray(find_label_issues(held, predicted, n_jobs=1), bool)
    return np.asarray(get_label_quality_scores(held, predicted)), flagged, int(flagged.sum())


def of_numbers(labels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray, None]:
    """Of (n,) numbers with (n,) predictions; how many are wrong is not estimated, and none is flagged."""
    from cleanlab.regression.rank import get_label_quality_scores

    return np.asarray(get_label_quality_scores(labels, predicted)), np.zeros(len(labels), bool), None
