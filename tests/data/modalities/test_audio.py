"""Sounds arrive as one channel at their own rate, whatever their files are like."""

import struct

import numpy as np
import pytest
import soundfile

from mmbert.core.errors import DataError
from mmbert.data.modalities.audio import MODALITY as AUDIO
from mmbert.data.modalities.audio import full_scale, mono

read_audio = AUDIO.read_file


def test_stereo_becomes_the_mean_of_its_channels_at_its_own_rate(tmp_path):
    left = np.sin(np.arange(4_410) * 2 * np.pi * 440 / 44_100) * 0.5
    right = np.full(4_410, 0.25)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 44_100, subtype="PCM_24")
    samples, rate = read_audio(tmp_path / "a.wav")
    assert (rate, samples.shape, samples.dtype) == (44_100, (4_410,), np.float32)
    np.testing.assert_allclose(samples, (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_any_number_of_channels(channels, ending, tmp_path):
    levels = np.arange(channels) * 0.125
    soundfile.write(tmp_path / f"a.{ending}", np.tile(levels, (100, 1)), 16_000)
    samples, rate = read_audio(tmp_path / f"a.{ending}")
    assert rate == 16_000
    np.testing.assert_allclose(samples, np.full(100, levels.mean()), atol=1e-4)


def test_full_scale_is_one(tmp_path):
    header = b"RIFF" + struct.pack("<I", 36 + 6) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8_000, 16_000, 2, 16)
    data = struct.pack("<hhh", -32_768, 16_384, 0)
    (tmp_path / "a.wav").write_bytes(header + b"data" + struct.pack("<I", 6) + data)
    samples, rate = read_audio(tmp_path / "a.wav")
    assert (samples.tolist(), rate) == ([-1.0, 0.5, 0.0], 8_000)


@pytest.mark.parametrize(("limit", "length"), [(None, 1_000), (0.05, 400), (0.1, 800), (0.10001, 801), (1.0, 1_000)])
def test_no_more_is_read_than_asked_for(limit, length, tmp_path, monkeypatch):
    ramp = np.linspace(-0.5, 0.5, 1_000)
    soundfile.write(tmp_path / "a.wav", ramp, 8_000, subtype="FLOAT")
    asked = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda self, n, **kw: asked.append(n) or read(self, n, **kw))
    samples, _ = read_audio(tmp_path / "a.wav", limit)
    np.testing.assert_allclose(samples, ramp[:length], atol=1e-7)
    assert asked == [length]


def test_very_loud_is_not_infinite():
    loud = np.full(4, 3e38, np.float32)  # its squares are beyond float32
    assert mono(loud).tolist() == loud.tolist()


def test_a_sound_of_no_length(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 2)), 8_000)
    with pytest.raises(DataError, match="a.wav: the sound cannot be used: it has no samples.*leave its cell empty"):
        read_audio(tmp_path / "a.wav")
    with pytest.raises(DataError, match="length is zero"):
        mono(np.zeros(0))


INTEGERS = [
    (np.array([-(2**15), 2**14, 0], np.int16), [-1, 0.5, 0]),
    (np.array([0, 128, 192], np.uint8), [-1, 0, 0.5]),
    (np.array([-(2**31), 2**30], np.int32), [-1, 0.5]),
    (np.array([-1.0, 0.5], np.float64), [-1, 0.5]),
]


@pytest.mark.parametrize(("samples", "expected"), INTEGERS)
def test_samples_given_as_integers_have_the_full_scale_of_their_type(samples, expected):
    assert mono(samples).tolist() == full_scale(samples).tolist() == expected
    assert mono(np.stack([samples, samples], 1)).tolist() == expected


@pytest.mark.parametrize("samples", [np.array([1 + 2j]), np.array(["a"]), np.array([True]), np.array([None, {}])])
def test_what_are_no_samples(samples):
    with pytest.raises(DataError, match="The sound given cannot be used: its samples are of the type"):
        AUDIO.from_python((samples, 8_000), None)


@pytest.mark.parametrize(
    "value", [([0.5], 8_000, 1), ([0.5], "fast"), ([0.5], float("inf")), ([[0.5], [0.1, 0.2]], 8_000)]
)
def test_what_is_no_sound_is_told(value):
    with pytest.raises(DataError, match="The sound given cannot be used"):
        AUDIO.from_python(value, None)


def test_a_sound_that_was_written_anew_has_its_new_length(tmp_path):
    lengths = []
    for seconds in (0.5, 0.25):
        soundfile.write(tmp_path / "a.wav", np.zeros(int(8_000 * seconds)), 8_000)
        lengths += [AUDIO.length("a.wav", tmp_path), AUDIO.length("a.wav", tmp_path)]
    assert lengths == [0.5, 0.5, 0.25, 0.25]
