"""The texts that a sound may say, best first: prefix beam search, and a new order by a masked language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mmbert.core.errors import ConfigError
from mmbert.tasks.speech.alphabet import Alphabet
from mmbert.tasks.speech.ctc_search import prefix_beam_search
from mmbert.tasks.speech.error_rates import error_counts
from mmbert.tasks.speech.rescoring import PseudoLikelihood, rescored

#: Symbols' numbers with a score.
Scored = tuple[list[int], float]


class NBestSearch:
    """N-best lists of one task.

    Args:
        alphabet: what the numbers mean.
        beam_size: prefixes in the beam.
        n_best: texts of a list.
        prune: the beam does not try symbols that are less probable than this.
        rescorer: gives each text a second score; None = there is none.
    """

    def __init__(
        self, alphabet: Alphabet, beam_size: int, n_best: int, prune: float, rescorer: PseudoLikelihood | None
    ) -> None:
        self.alphabet, self.n_best, self.prune, self.rescorer = alphabet, n_best, prune, rescorer
        self.width = max(beam_size, n_best)

    @property
    def beams(self) -> bool:
        """Whether there is more to it than the best path."""
        return self.width > 1

    def found(self, logs: np.ndarray) -> list[Scored]:
        """The list of a sound by beam search, with log-probabilities.

        Args:
            logs: (T, C + 1), the blank first.
        """
        return prefix_beam_search(logs, self.width, self.n_best, self.prune)

    def second_scores(self, found: Sequence[Scored], device: torch.device) -> list[tuple[float, float]]:
        """CTC's and the masked language model's score of each text of a list."""
        assert self.rescorer is not None
        second = self.rescorer.scores([self.alphabet.text(numbers) for numbers, _ in found], device)
        return [(score, other) for (_, score), other in zip(found, second, strict=True)]

    def ordered(self, found: Sequence[Scored], weight: float, device: torch.device) -> list[Scored]:
        """A list in its last order, with the scores that made it.

        Args:
            found: by beam search.
            weight: of the second score; below 0 = none is chosen yet, and the list stays.
            device: where the masked language model runs.
        """
        if self.rescorer is None or weight < 0:
            return list(found)
        scores = self.second_scores(found, device)
        return [(found[place][0], scores[place][0] + weight * scores[place][1]) for place in rescored(scores, weight)]

    def hypotheses(self, logs: Sequence[np.ndarray], weight: float, device: torch.device) -> dict[str, list[str]]:
        """The best texts of several sounds: ``beam``, and ``rescored`` once a weight is chosen."""
        lists = [self.found(one) for one in logs]
        best = {"beam": lists}
        if self.rescorer is not None and weight >= 0:
            best["rescored"] = [self.ordered(found, weight, device) for found in lists]
        return {name: [self.alphabet.text(found[0][0]) for found in of_all] for name, of_all in best.items()}

    def written(self, found: Sequence[Scored]) -> list[dict[str, Any]]:
        """A list for predictions: ``text`` and ``score``."""
        return [{"text": self.alphabet.text(numbers), "score": round(score, 4)} for numbers, score in found]

    def tuning_sample(self, logs: np.ndarray, reference: str, device: torch.device) -> dict[str, Any]:
        """What ``best_weight`` needs of a sound: by words, or by characters where white space parts none."""
        unit: Any = "word" if self.alphabet.form.spaces else "character"
        found = self.found(logs)
        errors = [error_counts([reference], [self.alphabet.text(numbers)], unit)[0] for numbers, _ in found]
        return {"scores": self.second_scores(found, device), "errors": errors}


def check_rescoring(column: str, n_best: int, rescore_with: str | None, rescore_weights: Sequence[float]) -> None:
    """Refuses options that do not fit.

    Raises:
        ConfigError: names the option.
    """
    if rescore_with is not None and n_best < 2:
        raise ConfigError(
            f"rescore_with={rescore_with} on column '{column}' puts an n-best list in a new order: set n_best=10."
        )
    if not rescore_weights or min(rescore_weights) < 0:
        raise ConfigError(
            f"rescore_weights={list(rescore_weights)} on column '{column}' must be numbers of at least 0."
        )
