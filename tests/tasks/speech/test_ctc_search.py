"""Searches equal the sum over all paths, done by hand on small frames and alphabets."""

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.tasks.speech.ctc_search import best_path, collapsed, frames_needed, log_sum, prefix_beam_search

SHAPES = st.tuples(st.integers(0, 5), st.integers(2, 4), st.integers(0, 10_000))


def emissions(frames, size, seed, spread=2.0):
    scores = np.random.default_rng(seed).standard_normal((frames, size)) * spread
    return torch.from_numpy(scores).log_softmax(-1).numpy() if frames else np.zeros((0, size))


def by_all_paths(logs):
    """Each text's probability: the sum over every path that collapses to it."""
    found = {}
    for path in itertools.product(range(logs.shape[1]), repeat=len(logs)):
        chance = math.exp(sum(logs[frame, symbol] for frame, symbol in enumerate(path)))
        text = tuple(key for key, _ in itertools.groupby(path) if key)
        found[text] = found.get(text, 0.0) + chance
    return found


@given(SHAPES)
@settings(deadline=None, max_examples=60)
def test_a_beam_that_keeps_every_prefix_finds_all_texts_with_their_probabilities(shape):
    logs = emissions(*shape)
    known = by_all_paths(logs)
    given = prefix_beam_search(logs, 10_000, 10_000)
    assert {tuple(text) for text, _ in given} == set(known)
    assert all(math.isclose(math.exp(score), known[tuple(text)], rel_tol=1e-9) for text, score in given)
    scores = [score for _, score in given]
    assert scores == sorted(scores, reverse=True)
    assert math.isclose(sum(map(math.exp, scores)), 1, rel_tol=1e-9)


@given(SHAPES, st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_a_narrow_beam_gives_texts_of_no_more_than_their_probability(shape, beam):
    logs = emissions(*shape)
    known = by_all_paths(logs)
    given = prefix_beam_search(logs, beam, beam)
    assert 1 <= len(given) <= beam
    for text, score in given:
        assert math.exp(score) <= known[tuple(text)] * (1 + 1e-9)


@given(SHAPES)
@settings(deadline=None, max_examples=40)
def test_the_ctc_loss_is_the_sum_over_all_paths(shape):
    frames, size, seed = shape
    logs = emissions(max(1, frames), size, seed)
    for text, chance in by_all_paths(logs).items():
        if not text:
            continue
        loss = F.ctc_loss(
            torch.from_numpy(logs)[:, None], torch.tensor([text]), torch.tensor([len(logs)]), torch.tensor([len(text)]),
            reduction="sum",
        )  # fmt: skip
        assert math.isclose(float(loss), -math.log(chance), rel_tol=1e-6, abs_tol=1e-9)


def test_the_most_probable_text_need_not_be_the_best_path():
    # Graves 2006: blank 0.6, a 0.4 in both frames. The path blank, blank has 0.36, the three paths of "a" have 0.64.
    logs = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert best_path(logs) == []
    (text, score), (empty, rest) = prefix_beam_search(logs, 8, 2)
    assert (text, empty) == ([1], []) and math.isclose(math.exp(score), 0.64) and math.isclose(math.exp(rest), 0.36)


def test_repeats_are_merged_and_parted_by_a_blank():
    assert collapsed([1, 1, 0, 1, 2, 2, 0, 0, 2]) == [1, 1, 2, 2]
    assert collapsed([]) == [] and collapsed([0, 0]) == []
    assert [frames_needed(text) for text in ([], [1], [1, 2], [1, 1], [1, 1, 1, 2])] == [0, 1, 2, 3, 6]


@given(st.lists(st.integers(1, 3), max_size=5))
def test_a_text_has_a_path_in_just_as_many_frames_as_it_needs(text):
    def paths(frames):
        return any(collapsed(path) == text for path in itertools.product(range(4), repeat=frames))

    needed = frames_needed(text)
    if needed <= 6:
        assert paths(needed) and (needed == 0 or not paths(needed - 1))


def test_pruned_symbols_are_not_tried_and_peaks_lose_nothing():
    logs = np.log([[0.001, 0.989, 0.01], [0.98, 0.01, 0.01], [0.001, 0.01, 0.989]])
    whole, pruned = prefix_beam_search(logs, 50, 50), prefix_beam_search(logs, 50, 50, prune=0.05)
    assert [text for text, _ in pruned] == [[1, 2]] and whole[0][0] == [1, 2] and len(whole) > 3
    assert prefix_beam_search(np.log([[0.4, 0.35, 0.25]]), 4, 4, prune=0.9)[0][0] == []


def test_log_sums():
    assert log_sum([]) == log_sum([-math.inf, -math.inf]) == -math.inf
    assert math.isclose(log_sum([math.log(0.25), math.log(0.5)]), math.log(0.75))
    assert log_sum([-2000.0, -2000.0]) == -2000 + math.log(2)
