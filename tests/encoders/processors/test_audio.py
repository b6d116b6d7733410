"""Sounds become waveforms at one rate: their length, resampling, silence after the short ones, and refusals."""

import math
import pickle

import numpy as np
import pytest
import torch

from mmbert.core.errors import ConfigError, InputError
from mmbert.encoders.processors.audio import MAX_KERNEL, MOST_KERNELS, AudioProcessor, nearest_rate, padded


def floats(*values):
    return np.array(values, np.float32)


def test_long_sounds_are_cut_and_short_ones_are_followed_by_silence():
    processor = AudioProcessor(8, max_seconds=0.5, min_samples=3)
    assert processor.prepare((floats(1, 2, 3, 4, 5, 6, 7), 8)).tolist() == [1, 2, 3, 4]
    assert processor.prepare((floats(1), 8)).tolist() == [1, 0, 0]
    assert processor.prepare((floats(), 16)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("rate_hz", [8_000, 32_000, 44_100])
def test_a_tone_of_another_rate_is_the_same_tone(rate_hz):
    processor = AudioProcessor(16_000, max_seconds=0.1, min_samples=1)
    tone = np.sin(2 * np.pi * 440 * np.arange(rate_hz // 5) / rate_hz).astype(np.float32)
    heard = pickle.loads(pickle.dumps(processor)).prepare((tone, rate_hz))
    assert heard.shape == (1600,)
    expected = np.sin(2 * np.pi * 440 * np.arange(1600) / 16_000)
    np.testing.assert_allclose(heard[100:].numpy(), expected[100:], atol=0.01)  # the filter sees the sound begin


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("target_hz", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_ordinary_rates_are_resampled_from_themselves(rate_hz, target_hz):
    assert nearest_rate(rate_hz, target_hz) == rate_hz


@pytest.mark.parametrize(
    ("rate_hz", "near"), [(22_051, 22_050), (44_101, 44_100), (7_999, 8_000), (1_999_993, 2_000_000)]
)
def test_an_odd_rate_is_taken_for_the_nearest_that_has_a_small_filter(rate_hz, near):
    processor = AudioProcessor(16_000, max_seconds=0.1, min_samples=1)
    assert nearest_rate(rate_hz, 16_000) == near
    tone = np.sin(2 * np.pi * 440 * np.arange(rate_hz // 5) / rate_hz).astype(np.float32)
    heard = processor.prepare((tone, rate_hz))
    expected = np.sin(2 * np.pi * 440 * np.arange(1600) / 16_000)
    np.testing.assert_allclose(heard[100:].numpy(), expected[100:], atol=0.04)
    assert all(filters.kernel.numel() <= MAX_KERNEL for filters in processor._resamplers.values())


def test_no_rate_has_a_large_filter():
    for target in (16_000, 22_050, 44_100):
        for rate in np.random.default_rng(0).integers(1, 2_000_000, 200).tolist():
            near = nearest_rate(rate, target)
            assert near * target // math.gcd(near, target) ** 2 <= MAX_KERNEL and abs(near - rate) <= max(2, rate / 250)


def test_filters_of_many_rates_are_not_all_kept():
    processor = AudioProcessor(16_000, max_seconds=0.01, min_samples=1)
    for rate in range(4_000, 4_000 + 100 * 2 * MOST_KERNELS, 100):
        processor.prepare((np.zeros(9, np.float32), rate))
    assert len(processor._resamplers) <= MOST_KERNELS


@pytest.mark.parametrize(
    ("samples", "rate_hz", "message"),
    [
        (np.zeros((2, 3), np.float32), 8, r"one channel, shape \(T,\), but has the shape \(2, 3\)"),
        (floats(0), 0, "rate must lie from 1 to 2,000,000 Hz, not at 0"),
        (floats(0), 2**31 - 1, "not at 2,147,483,647"),
        (floats(0, np.nan), 8, "NaN or infinite"),
        (floats(np.inf), 8, "NaN or infinite"),
    ],
)
def test_what_is_no_sound_is_refused(samples, rate_hz, message):
    with pytest.raises(InputError, match=message):
        AudioProcessor(8, 1.0, 1).prepare((samples, rate_hz))


def test_a_limit_below_the_least_length_is_refused():
    with pytest.raises(ConfigError, match=r"max_seconds=0.1 is too short: it needs 0.500 or more"):
        AudioProcessor(8, max_seconds=0.1, min_samples=4)


def test_a_batch_is_padded_to_its_longest():
    batch = AudioProcessor(8, 1.0, 1).collate([torch.tensor([1.0, 2.0]), None, floats(3, 4, 5)])
    assert batch["waveform"].tolist() == [[1, 2, 0], [0, 0, 0], [3, 4, 5]]
    assert batch["mask"].tolist() == [[True, True, False], [False] * 3, [True] * 3]


def test_a_batch_is_at_least_as_long_as_asked():
    whole, mask = padded([floats(1, 2).reshape(1, 2), None], 2, 2)
    assert whole.tolist() == [[[1, 2], [0, 0]], [[0, 0], [0, 0]]]
    assert mask.tolist() == [[True, False], [False, False]]
