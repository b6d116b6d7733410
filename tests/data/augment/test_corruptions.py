"""Damage in steps: nothing at 0, more of the same at each step, the same for every model; kinds by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from mmbert.core.errors import ConfigError
from mmbert.data.augment import corruptions
from mmbert.data.augment.corruptions import Degradation, fewer_words, misspelt, neighbours, typo
from mmbert.data.modalities.registry import modality_named

LEVELS = [0.2, 0.5, 1.0]


class Plain:
    """A processor that gives what it is given."""

    def __init__(self, kind):
        self.kind = kind

    def prepare(self, raw):
        return raw


def made(kind, raw, level, row=3, name=None, **options):
    damage = Degradation(**options)
    random = damage.sample_random(row, name or kind)
    return modality_named(kind).corrupted(raw, Plain(kind), level, random, damage)


PICTURE = Image.fromarray(np.full((40, 60, 3), 128, np.uint8))
TONE = (np.sin(np.arange(16_000) / 10).astype(np.float32) * 0.3, 16_000)
SENTENCE = "please subtract the smaller number from the larger one and tell everybody about it"


def test_noise_on_pictures_has_the_deviation_that_is_said():
    for level in (0.1, 0.3):
        difference = np.asarray(made("image", PICTURE, level), float) - 128
        assert difference.std() == pytest.approx(255 * 0.5 * level, rel=0.03)  # 0.3: still within 0 … 255
        assert abs(difference.mean()) < 1
    once, twice = (np.asarray(made("image", PICTURE, level), float) - 128 for level in (0.1, 0.2))
    np.testing.assert_allclose(twice, 2 * once, atol=1.01)  # the same noise, twice as strong, rounded


def test_a_large_picture_gets_the_same_noise_in_pieces(monkeypatch):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (23, 10, 3), np.uint8))
    whole = made("image", image, 0.5)
    monkeypatch.setattr(corruptions, "PIXELS_AT_ONCE", 35)
    assert made("image", image, 0.5).tobytes() == whole.tobytes() != image.tobytes()


def test_blur_is_pils_with_a_share_of_the_shorter_side():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    blurred = made("image", picture, 0.5, image="blur", blur_share=0.2)
    assert np.array_equal(np.asarray(blurred), np.asarray(picture.filter(ImageFilter.GaussianBlur(0.5 * 0.2 * 40))))


@pytest.mark.parametrize("level", LEVELS)
def test_white_noise_has_the_ratio_that_is_said(level):
    changed, rate = made("audio", TONE, level, noise_db=10.0)
    noise = changed - TONE[0]
    ratio = 20 * math.log10(np.sqrt(np.mean(TONE[0] ** 2)) / np.sqrt(np.mean(noise**2)))
    assert ratio == pytest.approx(-10 - 20 * math.log10(level), abs=0.2)
    assert rate == 16_000 and changed.dtype == np.float32
    silence = np.zeros(100, np.float32)
    assert np.array_equal(made("audio", (silence, 16_000), level)[0], silence)


def test_pieces_fall_silent_and_stay_so():
    gone = []
    for level in LEVELS:
        changed, _ = made("audio", TONE, level, audio="dropout")
        pieces = (changed.reshape(-1, 160) == 0).all(1)
        assert ((changed == TONE[0]) | (changed == 0)).all()
        assert pieces.mean() == pytest.approx(level, abs=0.15)
        gone.append(pieces)
    assert (gone[0] <= gone[1]).all() and gone[2].all()


def test_words_are_hit_one_after_another():
    hit = []
    for level in LEVELS:
        words = made("text", SENTENCE, level).split()
        assert len(words) == len(SENTENCE.split())
        hit.append([a != b for a, b in zip(words, SENTENCE.split(), strict=True)])
    assert all(first <= second for first, second in zip(hit[0], hit[1], strict=True))
    assert sum(hit[0]) < sum(hit[2])
    short = [word for word, changed in zip(SENTENCE.split(), hit[2], strict=True) if len(word) < 4 and changed]
    assert short == []
    left = [set(made("text", SENTENCE, level, text="words").split()) for level in LEVELS]
    assert left[0] > left[1] > left[2] and len(left[2]) == 1


@given(
    st.text(alphabet="abcdefgh é中'-", min_size=4, max_size=12).filter(lambda w: len(w.split()) == 1), st.integers(0)
)
def test_a_mistake_changes_one_or_two_letters(word, seed):
    word = word.strip()
    if len(word) < 4:
        return
    wrong = typo(word, np.random.default_rng(seed))
    assert wrong[0] == word[0] and wrong[-1] == word[-1] and abs(len(wrong) - len(word)) <= 1
    if len(wrong) == len(word):
        moved = sorted(wrong) == sorted(word)
        assert moved or sum(a != b for a, b in zip(wrong, word, strict=True)) == 1


@given(st.text(max_size=40), st.floats(0.01, 1), st.integers(0))
def test_any_text_will_do(text, level, seed):
    words = misspelt(text, level, np.random.default_rng(seed)).split()
    assert len(words) == len(text.split())
    kept = fewer_words(text, level, np.random.default_rng(seed)).split()
    assert bool(kept) == bool(text.split())


def test_keys_that_lie_together():
    assert set(neighbours("g")) == set("fhtyvb")
    assert set(neighbours("a")) == set("sqwz")
    assert set(neighbours("q")) == set("wa")
    assert neighbours("é") == "" and neighbours("") == ""


def test_features_by_hand():
    tokens = torch.tensor([[1.0, 3.0], [5.0, 7.0]])
    half, whole = (made("features", tokens, level) - tokens for level in (0.5, 1.0))
    torch.testing.assert_close(whole, 2 * half)
    many = torch.randn(200, 50, generator=torch.Generator().manual_seed(0)) * 3
    assert float((made("features", many, 0.4) - many).std()) == pytest.approx(0.4 * 3, rel=0.03)


@pytest.mark.parametrize(("kind", "raw"), [("image", PICTURE), ("audio", TONE), ("text", SENTENCE)])
def test_seed_row_and_name_decide(kind, raw):
    def seen(**given):
        value = made(kind, raw, 0.7, **given)
        return value[0].tobytes() if kind == "audio" else value if kind == "text" else value.tobytes()

    assert seen() == seen()
    assert len({seen(), seen(row=4), seen(name="other"), seen(seed=1)}) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": "gausian"}, "robustness.noise.image=gausian is unknown. Did you mean 'gaussian'"),
        ({"audio": "loud"}, "robustness.noise.audio=loud is unknown. Choices: white, dropout"),
        ({"noise_std": 0}, "robustness.noise.noise_std=0: a number above 0"),
        ({"noise_db": 1000}, "robustness.noise.noise_db=1000: decibels from -100 to 100"),
    ],
)
def test_mistakes_are_told(options, message):
    with pytest.raises(ConfigError, match=message):
        Degradation(**options)
