"""Fifteen per cent, whole words, 80/10/10; and nothing else is ever touched."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmbert.tasks.masking.choice import chosen_tokens, with_masks
from mmbert.tasks.masking.vocabulary import Vocabulary

SPECIAL = np.arange(1000) < 10
VOCABULARY = Vocabulary([f"w{i}" for i in range(1000)], np.ones(1000, bool), SPECIAL, 4)


@given(
    words=st.lists(st.integers(-1, 12), max_size=40).map(sorted),
    share=st.floats(0.01, 1.0),
    seed=st.integers(0, 1000),
)
def test_whole_words_are_chosen_up_to_the_share_and_never_what_is_special(words, share, seed):
    words = np.array(words, np.int64)
    chosen = chosen_tokens(words, share, np.random.default_rng(seed))
    assert not chosen[words < 0].any()
    for word in set(words[words >= 0].tolist()):
        assert len(set(chosen[words == word].tolist())) == 1
    real = int((words >= 0).sum())
    most = max(1, round(share * real))
    sizes = np.bincount(words[words >= 0]) if real else np.zeros(0, int)
    assert bool(chosen.any()) == bool(real)
    assert chosen.sum() <= most or len({*words[chosen].tolist()}) == 1 and sizes[sizes > 0].min() > 0


def test_of_single_tokens_exactly_the_share_is_chosen():
    words = np.concatenate([[-1], np.arange(100), [-1]])
    counts = [chosen_tokens(words, 0.15, np.random.default_rng(seed)).sum() for seed in range(20)]
    assert counts == [15] * 20


def test_every_token_has_the_same_chance():
    words = np.arange(20)
    total = sum(chosen_tokens(words, 0.15, np.random.default_rng(seed)).astype(int) for seed in range(4000))
    # 3 of 20 in 4000 draws: 600 each, with a standard deviation of sqrt(4000 · 0.15 · 0.85) = 22.6
    assert abs(total - 600).max() < 4 * 22.6


def test_eighty_ten_ten():
    random, ids, chosen = np.random.default_rng(0), np.full(50_000, 700), np.arange(50_000) % 2 == 0
    changed = with_masks(ids, chosen, VOCABULARY, (0.8, 0.1), random)
    assert (changed[~chosen] == 700).all()
    of = changed[chosen]
    masked, same = (of == 4).mean(), (of == 700).mean()
    other = of[(of != 4) & (of != 700)]
    # of 25,000: standard deviations 0.0025 and 0.0019
    assert abs(masked - 0.8) < 0.01 and abs(same - 0.1) < 0.008 and abs(len(other) / 25_000 - 0.1) < 0.008
    assert not SPECIAL[other].any() and len(set(other.tolist())) > 800  # of 990 that there are


def test_the_same_random_state_gives_the_same_choice():
    words, ids = np.arange(50), np.arange(50) + 10
    runs = []
    for _ in range(2):
        random = np.random.default_rng(7)
        chosen = chosen_tokens(words, 0.3, random)
        runs.append(with_masks(ids, chosen, VOCABULARY, (0.8, 0.1), random).tolist())
    assert runs[0] == runs[1] != ids.tolist()
