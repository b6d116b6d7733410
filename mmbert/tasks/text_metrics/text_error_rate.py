"""Word and character error rates of generated texts, counted as the transcription task counts them."""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import Literal

from mmbert.tasks.speech.error_rates import error_counts
from mmbert.tasks.speech.transcripts import TranscriptForm, parts_words
from mmbert.tasks.text_metrics.text_pairs import TextPairs


class TextErrorRate(TextPairs):
    """Errors over words or characters of the references, pooled over a split, by jiwer; lower is better.

    Both are brought to the form of transcripts first: small letters, no punctuation, white space joined. Of several
    references that with the smallest share of errors counts.

    Args:
        unit: ``word`` or ``character``, blanks between words among them.
    """

    higher_is_better = False

    def __init__(self, unit: Literal["word", "character"]) -> None:
        super().__init__()
        self.unit: Literal["word", "character"] = unit

    def score(self, answers: list[str], references: list[list[str]]) -> float:
        """The rate of the whole split; NaN if no reference has a word, or none are parted and words are asked for."""
        spaces = parts_words(text for known in references for text in known)
        if self.unit == "word" and not spaces:
            return math.nan
        form = TranscriptForm(spaces=spaces)
        self.note = f"{form.note()}; errors pooled over the split, counted by jiwer {version('jiwer')}"
        errors = size = 0
        for answer, known in zip(answers, references, strict=True):
            counts = [error_counts([form.written(text)], [form.written(answer)], self.unit) for text in known]
            best = min(counts, key=lambda count: count[0] / max(1, count[1]))
            errors, size = errors + best[0], size + best[1]
        return errors / size if size else math.nan
