"""Log-mel frames against NumPy's Fourier transform, their normalisation by hand, and frames that the store keeps."""

import numpy as np
import torch
from torch.testing import assert_close

from mmbert.encoders.processors.log_mel import LogMel, LogMelProcessor, frames_of, standardise_frames

RATE, MELS, WINDOW, HOP = 8_000, 6, 200, 80


def log_mel():
    return LogMel(RATE, MELS, WINDOW / RATE, HOP / RATE)


def noise(length, seed=0):
    return np.random.default_rng(seed).normal(size=length).astype(np.float32)


def mel_filters():
    """(WINDOW // 2 + 1, MELS): triangles between points evenly spaced on the HTK scale, 20 Hz to half the rate."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (20, RATE / 2))
    points = 700 * (10 ** (np.linspace(low, high, MELS + 2) / 2595) - 1)
    hertz = np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None]
    up = (hertz - points[:-2]) / (points[1:-1] - points[:-2])
    down = (points[2:] - hertz) / (points[2:] - points[1:-1])
    return np.maximum(0, np.minimum(up, down))


def frames_by_hand(sound):
    """(T,) -> (L, MELS), not yet normalised within the sound."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    starts = range(0, len(sound) - WINDOW + 1, HOP)
    power = np.abs([np.fft.rfft(sound[start : start + WINDOW] * hann) for start in starts]) ** 2
    frames = np.log(power @ mel_filters() + 1e-6)
    frames -= frames.mean(0)
    return frames / np.sqrt((frames**2).mean() + 1e-5)


def test_frames_are_those_of_the_formula_and_do_not_depend_on_the_batch():
    long, short = noise(600), noise(370, seed=1)
    waveform = torch.full((2, 600), 7.0)  # what comes after a sound's end is not read
    waveform[0], waveform[1, :370] = torch.from_numpy(long), torch.from_numpy(short)
    mask = torch.arange(600) < torch.tensor([[600], [370]])
    frames, real = log_mel()(waveform, mask)
    assert real.sum(1).tolist() == [6, 3]  # (600 - 200) / 80 + 1, and (370 - 200) / 80 + 1
    np.testing.assert_allclose(frames[0], frames_by_hand(long), atol=1e-3)
    np.testing.assert_allclose(frames[1, :3], frames_by_hand(short), atol=1e-3)
    assert not frames[1, 3:].any()


def test_each_band_loses_its_mean_and_all_share_a_scale():
    frames = torch.tensor([[[1.0, 10.0], [3.0, 10.0], [99.0, 99.0]]])
    standard = standardise_frames(frames, torch.tensor([[True, True, False]]))
    # without their means: (-1, 0), (1, 0); their variance is 2 / 4
    expected = torch.tensor([[[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]]) / (0.5 + 1e-5) ** 0.5
    assert_close(standard, expected)


def test_stored_frames_and_sounds_share_a_batch():
    model = log_mel()
    processor = LogMelProcessor(model, RATE, max_seconds=1.0)
    assert processor.min_samples == WINDOW
    sounds = [(noise(440), RATE), (noise(280, seed=2), RATE)]
    stored = processor.unpack(*(part.reshape(-1) for part in processor.pack(sounds[0])))
    assert stored.shape == (4, MELS)
    mixed = processor.collate([stored, processor.prepare(sounds[1]), None])
    fresh = processor.collate([*map(processor.prepare, sounds), None])
    assert set(fresh) == {"waveform", "mask"}
    for one, other in zip(frames_of(mixed, model), frames_of(fresh, model), strict=True):
        assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert mixed["mask"].tolist() == [[True] * 4, [True, True, False, False], [False] * 4]
