"""Searches for the text that a CTC head says: the best path, and prefix beam search with an n-best list.

A path names a symbol or the blank for every frame; its text is what is left when repeats are merged and then blanks
taken out. The probability of a text is the sum over all its paths (Graves et al. 2006).

Papers: Graves 2012, "Sequence Transduction with Recurrent Neural Networks" (prefix search); Hannun et al. 2014,
"First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs", arXiv:1408.2873.
Differs from the latter: no language model within the search; n-best lists are rescored (``rescoring``). torchaudio's
decoder is no part of its current builds, and pyctcdecode is not kept up.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

#: The blank's number.
BLANK = 0


def best_path(log_probabilities: np.ndarray) -> list[int]:
    """The text of the most probable path, which need not be the most probable text.

    Args:
        log_probabilities: (T, C) of T frames, the blank first.

    Returns:
        Symbols' numbers, 1 to C - 1.
    """
    return collapsed(log_probabilities.argmax(1).tolist() if len(log_probabilities) else [])


def collapsed(path: Sequence[int]) -> list[int]:
    """A path's text: repeats merged, blanks taken out."""
    return [one for one, before in zip(path, [BLANK, *path], strict=False) if one not in (before, BLANK)]


def frames_needed(symbols: Sequence[int]) -> int:
    """The shortest path of a text: its symbols, and a blank between two that are the same."""
    return len(symbols) + sum(one == other for one, other in zip(symbols, symbols[1:], strict=False))


def prefix_beam_search(
    log_probabilities: np.ndarray, beam_size: int, n_best: int = 1, prune: float = 0.0
) -> list[tuple[list[int], float]]:
    """The most probable texts, as far as a beam of prefixes finds them; all of them if the beam is wide enough.

    Args:
        log_probabilities: (T, C) natural logarithms, the blank first.
        beam_size: prefixes that are kept after each frame.
        n_best: texts that are given.
        prune: symbols that are less probable than this in a frame are not tried there, but for the most probable one.

    Returns:
        Texts as symbols' numbers, each with its log-probability, the best first; equal ones by their numbers.
    """
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}  # ends in a blank, in its last symbol
    least = math.log(prune) if prune > 0 else -math.inf
    for frame in log_probabilities.astype(np.float64):
        tried = np.flatnonzero((frame >= least) & np.isfinite(frame)).tolist() or [int(frame.argmax())]
        parts: dict[tuple[int, ...], tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
        for prefix, (blank, symbol) in beams.items():
            either = log_sum((blank, symbol))
            for number in tried:
                share = float(frame[number])
                if number == BLANK:
                    parts[prefix][0].append(either + share)
                elif prefix and number == prefix[-1]:
                    parts[prefix][1].append(symbol + share)  # the same symbol goes on
                    parts[*prefix, number][1].append(blank + share)  # a blank stood between
                else:
                    parts[*prefix, number][1].append(either + share)
        found = {prefix: (log_sum(blanks), log_sum(symbols)) for prefix, (blanks, symbols) in parts.items()}
        possible = {prefix: ends for prefix, ends in found.items() if log_sum(ends) > -math.inf}  # "aa" needs a blank
        beams = dict(sorted((possible or found).items(), key=lambda one: (-log_sum(one[1]), one[0]))[:beam_size])
    return [(list(prefix), log_sum(ends)) for prefix, ends in list(beams.items())[:n_best]]


def log_sum(values: Sequence[float]) -> float:
    """log Σ exp(v), minus infinity of nothing."""
    highest = max(values, default=-math.inf)
    if highest == -math.inf:
        return highest
    return highest + math.log(sum(math.exp(value - highest) for value in values))
