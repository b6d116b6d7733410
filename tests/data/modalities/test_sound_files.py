"""Sound files: every coding is read by one reader, headers are believed within bounds, and what breaks off is told."""

import io
import struct

import numpy as np
import pytest
import soundfile

from mmbert.core.errors import DataError
from mmbert.data.modalities import sound_files
from mmbert.data.modalities.audio import MODALITY as AUDIO
from mmbert.data.modalities.mp3_frames import frame_size
from mmbert.data.modalities.sound_files import (
    HIGHEST_HERTZ,
    MOST_SAMPLES,
    declared_share,
    decode_sound,
    measure_sound,
    opened,
    refuse_estimate,
)
from mmbert.runs.peak_memory import PeakMemory

RATE = 16_000


def noise(seconds=2.0, channels=1, seed=0):
    shape = (round(seconds * RATE), channels)[: 1 + (channels > 1)]
    return np.random.default_rng(seed).uniform(-0.3, 0.3, shape).astype(np.float32)


def encoded(samples, kind="WAV", coding="PCM_16", rate=RATE, **options):
    content = io.BytesIO()
    channels = samples.shape[1] if samples.ndim == 2 else 1
    with soundfile.SoundFile(content, "w", rate, channels, coding, format=kind, **options) as file:
        file.write(samples)
    return content.getvalue()


def wav(rate=RATE, declared=None, samples=(0, 1000, -1000)):
    data = struct.pack(f"<{len(samples)}h", *samples)
    head = struct.pack("<IHHIIHH", 16, 1, 1, rate, (2 * rate) % 2**32, 2, 16)
    size = len(data) if declared is None else declared
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + head + b"data" + struct.pack("<I", size) + data


CODINGS = [
    ("WAV", "PCM_16"),
    ("WAV", "GSM610"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "MS_ADPCM"),
    ("WAV", "NMS_ADPCM_24"),
    ("WAV", "G721_32"),
    ("WAV", "ULAW"),
    ("WAV", "DOUBLE"),
    ("W64", "PCM_16"),
    ("RF64", "PCM_16"),
    ("AIFF", "GSM610"),
    ("AU", "G721_32"),
    ("CAF", "ALAC_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


@pytest.mark.parametrize(("kind", "coding"), CODINGS)
def test_training_and_check_data_read_every_coding(kind, coding, tmp_path):
    tone = (0.3 * np.sin(np.arange(2 * RATE) * 2 * np.pi * 440 / RATE)).astype(np.float32)
    content = encoded(tone, kind, coding)
    (tmp_path / "a").write_bytes(content)
    for cell in ("a", {"bytes": content, "path": None}):
        samples, rate = AUDIO.read(cell, tmp_path, 10.0)
        facts = AUDIO.inspect(cell, tmp_path, {"max_seconds": 10.0})
        assert rate == RATE and facts.quantities == {"seconds": len(samples) / RATE, "hertz": RATE}
        assert 2.0 <= facts.quantities["seconds"] < 2.1 and not facts.remarks  # codings by blocks fill the last one
        np.testing.assert_allclose(samples[4_000:8_000].std(), 0.3 / np.sqrt(2), rtol=0.1)
        assert len(AUDIO.read(cell, tmp_path)[0]) == len(samples)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_sound_of_many_blocks_is_read_as_of_one(channels, monkeypatch):
    samples = noise(1.0, channels)
    content = encoded(samples, coding="FLOAT")
    whole, _ = decode_sound(io.BytesIO(content))
    monkeypatch.setattr(sound_files, "BLOCK", 1_000)
    assert decode_sound(io.BytesIO(content))[0].tolist() == whole.tolist()
    expected = samples if channels == 1 else samples.mean(1)
    np.testing.assert_allclose(whole, expected, atol=1e-7)
    assert len(decode_sound(io.BytesIO(content), 0.3)[0]) == 4_800
    assert measure_sound(io.BytesIO(content)).seconds == 1.0


# a header is believed within bounds


@pytest.mark.parametrize("rate", [HIGHEST_HERTZ + 1, 2**31 - 1])
def test_a_rate_that_no_recording_has(rate, tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(rate))
    with PeakMemory() as memory:
        before = memory.peak_mib()
        for look in (lambda: AUDIO.read("a.wav", tmp_path, 10.0), lambda: AUDIO.inspect("a.wav", tmp_path, {})):
            with pytest.raises(DataError, match=f"a.wav: .* header says {rate:,} samples a second.*Replace the file"):
                look()
    assert memory.peak_mib() - before < 50


def test_rates_of_ultrasound_and_of_slow_signals_are_read():
    for rate in (1, 100, 384_000, HIGHEST_HERTZ):
        assert decode_sound(io.BytesIO(wav(rate)), 10.0)[1] == rate


def test_more_samples_than_memory_should_hold(monkeypatch):
    content = encoded(noise(1.0))
    monkeypatch.setattr(sound_files, "MOST_SAMPLES", 8_000)
    with pytest.raises(DataError, match="16,000 samples a channel, more than 8,000: read less of it"):
        decode_sound(io.BytesIO(content))
    assert len(decode_sound(io.BytesIO(content), 0.5)[0]) == 8_000
    assert measure_sound(io.BytesIO(content)).seconds == 1.0  # keeps nothing
    assert MOST_SAMPLES * 4 == 2**30


# a sound that breaks off


def halves(kind, coding, **options):
    content = encoded(noise(4.0), kind, coding, **options)
    return content, content[: len(content) // 2]


BROKEN = [
    ("WAV", "PCM_16", r"only 2\.00 of 4\.00 seconds are in the file"),
    ("WAV", "GSM610", r"only 2\.\d+ of 4\.\d+ seconds are in the file"),
    ("WAV", "IMA_ADPCM", r"only 2\.\d+ of 4\.\d+ seconds are in the file"),
    ("RF64", "PCM_16", r"only 2\.00 of 4\.00 seconds are in the file"),
    ("W64", "PCM_16", r"only 2\.00 of 4\.00 seconds are in the file"),
    ("AIFF", "PCM_16", r"only 2\.00 of 4\.00 seconds are in the file"),
    ("AU", "PCM_16", r"only 2\.00 of 4\.00 seconds are in the file"),
    ("FLAC", "PCM_16", "this is no sound that can be read"),
    ("OGG", "VORBIS", "the end of its stream is missing"),
    ("OGG", "OPUS", "the end of its stream is missing"),
    ("MP3", "MPEG_LAYER_III", r"only [12]\.\d+ of 4\.00 seconds can be decoded"),
]


@pytest.mark.parametrize(("kind", "coding", "message"), BROKEN)
def test_a_sound_that_breaks_off_is_an_error(kind, coding, message, tmp_path):
    whole, half = halves(kind, coding)
    (tmp_path / "a").write_bytes(whole)
    (tmp_path / "b").write_bytes(half)
    assert AUDIO.inspect("a", tmp_path, {}).remarks == ()
    for look in (AUDIO.read, lambda cell, folder: AUDIO.inspect(cell, folder, {})):
        with pytest.raises(DataError, match=f"b: .*{message}.*Replace the file, or leave its cell empty"):
            look("b", tmp_path)
        with pytest.raises(DataError, match=message):
            look({"bytes": half, "path": "b"}, tmp_path)


@pytest.mark.parametrize(("kind", "coding", "message"), BROKEN)
def test_what_is_missing_behind_the_part_that_is_read_is_a_remark(kind, coding, message, tmp_path):
    (tmp_path / "b").write_bytes(halves(kind, coding)[1])
    samples, _ = AUDIO.read("b", tmp_path, 0.5)
    assert len(samples) == 8_000
    facts = AUDIO.inspect("b", tmp_path, {"max_seconds": 0.5})
    assert facts.remarks == ("the sound breaks off after the 0.5 seconds that are read",)


def test_damage_in_the_middle_of_an_mp3_is_told():
    content = bytearray(encoded(noise(4.0), "MP3", "MPEG_LAYER_III"))
    middle = len(content) // 2
    content[middle : middle + 2_000] = bytes(byte ^ 0x5A for byte in content[middle : middle + 2_000])
    with pytest.raises(DataError, match=r"only \d\.\d+ of 4\.00 seconds can be decoded"):
        decode_sound(io.BytesIO(bytes(content)))


@pytest.mark.parametrize("bitrates", ["CONSTANT", "VARIABLE"])
def test_an_mp3_whose_frames_nobody_counted_is_no_damage(bitrates):
    samples = noise(4.0)
    samples[: 2 * RATE] = 0  # quiet frames are short: the length is estimated by them, as too long
    content = encoded(samples, "MP3", "MPEG_LAYER_III", bitrate_mode=bitrates, compression_level=0.5)
    assert 3.9 < len(decode_sound(io.BytesIO(content[frame_size(content[:4])[0] :]))[0]) / RATE < 4.2
    refuse_estimate(RATE, 1000, 1000 + RATE // 10)


@pytest.mark.parametrize("declared", [0x7FFFFFFF - 36, 0xFFFFFFFF])
def test_a_length_that_its_writer_did_not_know_is_no_damage(declared):
    assert len(decode_sound(io.BytesIO(wav(declared=declared, samples=[5] * 8_000)))[0]) == 8_000


def test_a_tenth_of_a_second_may_be_missing():
    length = 2 * RATE
    almost = wav(declared=2 * length + 2_000, samples=[5] * length)  # 1,000 samples of 16,000 a second
    assert len(decode_sound(io.BytesIO(almost))[0]) == length
    with pytest.raises(DataError, match=r"only 2\.00 of 2\.12 seconds"):
        decode_sound(io.BytesIO(wav(declared=2 * length + 4_000, samples=[5] * length)))


def test_the_notes_of_the_library():
    assert declared_share("fmt  : 16\ndata : 1000 (should be 250)\nEnd") == 4
    assert declared_share("RIFF : 1000 (should be 250)\ndata : 250\nEnd") == 1
    assert declared_share("data : 100 (should be 0)\n") == 1
    assert declared_share("*** Calculated frame count 50 does not match value from 'ds64' chunk of 100.") == 2


def test_samples_that_are_not_finite_are_found_in_every_block(monkeypatch):
    samples = noise(1.0)
    samples[-1] = np.nan
    monkeypatch.setattr(sound_files, "BLOCK", 1_000)
    for look in (decode_sound, measure_sound):
        with pytest.raises(DataError, match="not finite"):
            look(io.BytesIO(encoded(samples, coding="FLOAT")))


def test_a_sound_without_samples():
    for look in (decode_sound, measure_sound):
        with pytest.raises(DataError, match="its length is zero"):
            look(io.BytesIO(wav(samples=[])))


def test_a_file_that_is_opened_is_within_bounds():
    with opened(io.BytesIO(wav())) as file:
        assert (file.samplerate, file.frames) == (RATE, 3)
