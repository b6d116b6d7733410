"""Frames of MP3 files are counted right, and a length that libsndfile estimates too short is told."""

import io

import numpy as np
import pytest
import soundfile

from mmbert.core.errors import DataError
from mmbert.data.modalities.audio import MODALITY as AUDIO
from mmbert.data.modalities.mp3_frames import counted_samples, frame_size, tag_length


def mp3(rate, mode="VARIABLE", channels=1, loud=1.0, seconds=4.0):
    """Noise for some seconds, silence after it: of variable bitrate the first frames are long, the others short."""
    length = round(rate * seconds)
    shape = (length, channels)[: 1 + (channels > 1)]
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)
    samples[round(loud * rate) :] = 0
    content = io.BytesIO()
    kind = {"format": "MP3", "bitrate_mode": mode, "compression_level": 0.3}
    with soundfile.SoundFile(content, "w", rate, channels, "MPEG_LAYER_III", **kind) as file:
        file.write(samples)
    return content.getvalue()


def without_count(content):
    """The file without its first frame, which counts the others."""
    return content[frame_size(content[:4])[0] :]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 32_000, 44_100, 48_000])
def test_all_frames_are_counted(rate, mode, channels):
    content = mp3(rate, mode, channels)
    assert counted_samples(io.BytesIO(content)) is None  # its first frame counts
    counted = counted_samples(io.BytesIO(without_count(content)))
    assert 0 <= counted - 4 * rate <= 3 * 1152  # the encoder's delay, and the rest of the last frame


def test_frames_by_hand():
    # MPEG 1, 128 kbit/s, 44.1 kHz: 144 · 128000 / 44100 = 417.96
    assert frame_size(b"\xff\xfb\x90\x00") == (417, 1152) and frame_size(b"\xff\xfb\x92\x00") == (418, 1152)
    assert frame_size(b"\xff\xf3\x40\xc4")[1] == 576
    for none in (b"\xff\xff\xff\xff", b"ID3\x03", b"\xff\xfb\xf0\x00", b"\xff\xfb\x9c\x00", b"\xff\xeb\x90\x00"):
        assert frame_size(none) == (0, 0)


def test_tags_and_junk_are_no_frames():
    plain = without_count(mp3(16_000))
    tagged = b"ID3\x03\x00\x00\x00\x00\x02\x01" + bytes(257) + plain
    assert tag_length(tagged) == 267 and tag_length(plain) == tag_length(b"ID3") == 0
    assert counted_samples(io.BytesIO(tagged)) == counted_samples(io.BytesIO(plain + b"TAG" + bytes(125)))
    assert counted_samples(io.BytesIO(b"")) == counted_samples(io.BytesIO(b"\xff" * 50)) == 0


def test_a_file_that_would_be_cut_is_told(tmp_path):
    (tmp_path / "a.mp3").write_bytes(without_count(mp3(16_000)))
    for look in (AUDIO.read, lambda cell, folder: AUDIO.inspect(cell, folder, {})):
        with pytest.raises(
            DataError, match=r"a.mp3: .*does not say how long it is.* of 4\.\d+ seconds can be read: write it anew"
        ):
            look("a.mp3", tmp_path)
    assert len(AUDIO.read("a.mp3", tmp_path, 0.5)[0]) == 8_000  # what is read is there
    (tmp_path / "b.mp3").write_bytes(without_count(mp3(16_000, "CONSTANT")))
    assert 4.0 < AUDIO.inspect("b.mp3", tmp_path, {}).quantities["seconds"] < 4.2
