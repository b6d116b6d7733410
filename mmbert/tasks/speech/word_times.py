"""Forced alignment: when the words of a text are said, by the most probable of its CTC paths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmbert.tasks.speech.ctc_search import BLANK, frames_needed
from mmbert.tasks.speech.transcripts import TranscriptForm


def symbol_frames(log_probabilities: Tensor, symbols: Sequence[int]) -> list[tuple[int, int]]:
    """The first frame of each symbol and the one after its last, on the most probable path of a text.

    Args:
        log_probabilities: (T, C) float, the blank first.
        symbols: numbers from 1 to C - 1; there must be frames enough (``frames_needed``).
    """
    from torchaudio.functional import forced_align

    if not symbols:
        return []
    assert frames_needed(symbols) <= len(log_probabilities)
    scores = log_probabilities.detach().float().cpu()[None]  # its kernel takes one text at a time
    path = forced_align(scores, torch.tensor([list(symbols)], dtype=torch.int32), blank=BLANK)[0][0].tolist()
    spans: list[tuple[int, int]] = []
    for frame, (one, before) in enumerate(zip(path, [BLANK, *path], strict=False)):
        if one == BLANK:
            continue
        if one == before:
            spans[-1] = (spans[-1][0], frame + 1)
        else:
            spans.append((frame, frame + 1))
    return spans


def word_times(
    log_probabilities: Tensor,
    symbols: Sequence[int],
    names: Sequence[str],
    form: TranscriptForm,
    times: np.ndarray | None,
) -> list[dict[str, str | float]]:
    """``word``, ``begin`` and ``end`` in seconds of the words of a text; ``word`` alone, where no times are known.

    CTC gives a symbol in few frames, often one, about when it is said: a word's end is when its last symbol is given.

    Args:
        log_probabilities: (T, C).
        symbols: the text, as numbers.
        names: the same as symbols.
        form: what a word is.
        times: (T, 2) beginning and end of each frame in seconds; None = unknown.
    """
    if times is None:
        return [{"word": word} for word, _, _ in form.words(names)]
    spans = symbol_frames(log_probabilities, symbols)
    return [
        {
            "word": word,
            "begin": round(float(times[spans[first][0], 0]), 3),
            "end": round(float(times[spans[last - 1][1] - 1, 1]), 3),
        }
        for word, first, last in form.words(names)
    ]
