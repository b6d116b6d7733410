"""Word times: the best of a text's paths equals a Viterbi search by hand, and its frames become seconds."""

import itertools

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.tasks.speech.ctc_search import collapsed, frames_needed
from mmbert.tasks.speech.transcripts import TranscriptForm
from mmbert.tasks.speech.word_times import symbol_frames, word_times


def viterbi(logs, symbols):
    """The score of the best path of a text, over blank, symbol, blank, ..."""
    states = [0, *itertools.chain.from_iterable((symbol, 0) for symbol in symbols)]
    best = np.full(len(states), -np.inf)
    best[0], best[1] = logs[0, 0], logs[0, states[1]]
    for frame in logs[1:]:
        moved = best.copy()
        for place, state in enumerate(states):
            if place:
                moved[place] = max(moved[place], best[place - 1])
            if place > 1 and state and state != states[place - 2]:
                moved[place] = max(moved[place], best[place - 2])
        best = moved + frame[states]
    return max(best[-1], best[-2])


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(0, 4), st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_the_path_is_the_best_one_of_the_text(symbols, more, seed):
    frames = frames_needed(symbols) + more
    logs = torch.from_numpy(np.random.default_rng(seed).standard_normal((frames, 4))).log_softmax(-1)
    spans = symbol_frames(logs, symbols)
    path = [0] * frames
    for (begin, end), symbol in zip(spans, symbols, strict=True):
        path[begin:end] = [symbol] * (end - begin)
    assert collapsed(path) == symbols
    assert np.isclose(float(logs[range(frames), path].sum()), viterbi(logs.numpy(), symbols), atol=1e-5)


def test_words_of_a_hand_made_matrix():
    #       frame: 0 1 2 3 4 5 6 7      a b, blank, a a: "ab aa"
    path = [1, 1, 2, 3, 0, 1, 0, 1]
    logs = torch.full((8, 4), 0.02).scatter_(1, torch.tensor(path)[:, None], 0.94).log()
    times = np.stack([np.arange(8) * 0.1, np.arange(1, 9) * 0.1], 1)
    assert symbol_frames(logs, [1, 2, 3, 1, 1]) == [(0, 2), (2, 3), (3, 4), (5, 6), (7, 8)]
    found = word_times(logs, [1, 2, 3, 1, 1], list("ab aa"), TranscriptForm(), times)
    assert found == [{"word": "ab", "begin": 0.0, "end": 0.3}, {"word": "aa", "begin": 0.5, "end": 0.8}]
    assert word_times(logs, [], [], TranscriptForm(), times) == []
