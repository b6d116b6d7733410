"""The sound of clips: what was put in comes out, at its time, of every container; damaged files are refused."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from made_clips import make_clip, tone
from mmbert.core.errors import DataError
from mmbert.data.modalities.audio import MODALITY as AUDIO
from mmbert.data.modalities.clip_files import clip_facts, decode_track, looks_like_clip, measure_track, opened_clip
from mmbert.data.modalities.video import MODALITY as VIDEO

COVERS = ("clip_sounds",)
TRACKS = {
    "a.mp4": {},
    "a.mov": {},
    "a.m4a": {"video": None},
    "a.aac": {"video": None},
    "a.mkv": {"audio": "libopus", "rate": 48000},
    "a.webm": {"video": "libvpx-vp9", "audio": "libopus", "rate": 48000},
    "a.wma": {"video": None, "audio": "wmav2", "rate": 44100},
    "late.mp4": {"late": 0.5},
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for name, options in TRACKS.items():
        make_clip(folder / name, **options)
    return folder


def lag(samples, rate, begin=0.0):
    """Seconds by which a tone comes too late, within half of its period."""
    part = samples[round(0.2 * rate) : round(2.2 * rate)].astype(np.float64)
    times = begin + np.arange(round(0.2 * rate), round(0.2 * rate) + len(part)) / rate
    wave = np.exp(-2j * np.pi * 440 * times)
    return float(-np.angle(1j * (part * wave).sum()) / (2 * np.pi * 440))


@pytest.mark.parametrize("name", TRACKS)
def test_a_tone_comes_out_as_it_was_put_in(clips, name):
    late, rate = TRACKS[name].get("late", 0.0), TRACKS[name].get("rate", 16000)
    samples, hertz = AUDIO.read(name, clips)
    assert hertz == rate and samples.dtype == np.float32 and samples.ndim == 1
    assert len(samples) / rate == pytest.approx(4.0 - late, abs=0.11)
    assert np.abs(samples[rate : 2 * rate]).max() == pytest.approx(0.3, abs=0.02)
    correlation = np.corrcoef(
        samples[rate // 4 : 3 * rate], tone(4, rate, begin=late - lag(samples, rate, late))[rate // 4 : 3 * rate]
    )[0, 1]
    assert correlation > 0.99
    if not name.endswith(("wma", "aac")):  # those say nothing of the encoder's delay
        assert abs(lag(samples, rate, late)) < 0.0012
    assert AUDIO.length(name, clips) == pytest.approx(4.0, abs=0.11) or late or name.endswith(("mkv", "webm"))
    facts = AUDIO.inspect(name, clips, {})
    assert facts.quantities == {"seconds": len(samples) / rate, "hertz": rate}
    assert len(AUDIO.read(name, clips, 0.7)[0]) == round(0.7 * rate)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "late.mp4"])
@settings(max_examples=10, deadline=None)
@given(start=st.floats(0.0, 3.0), length=st.floats(0.05, 0.9))
def test_a_part_is_that_part_of_the_clock_whatever_was_skipped(clips, name, start, length):
    cell = {"path": name, "start": start, "end": start + length}
    rate, late = TRACKS[name].get("rate", 16000), TRACKS[name].get("late", 0.0)
    if start < late:
        return
    samples, _ = AUDIO.read(cell, clips)
    assert abs(len(samples) - length * rate) <= 1.001
    expected = tone(length + 0.01, rate, begin=start)[: len(samples)]
    slack = 0.012 if name == "a.mkv" else 0.003  # Matroska's times are whole milliseconds; of late tracks the frame's
    assert np.abs(samples - expected).max() < 0.3 * 2 * np.pi * 440 * slack + 0.02


def test_the_same_parts_of_plain_sound_files_are_slices_of_the_whole(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 64000).astype(np.float32)
    for name, options in (
        ("a.wav", {}),
        ("a.flac", {}),
        ("a.ogg", {}),
        ("a.mp3", {}),
        ("gsm.wav", {"subtype": "GSM610"}),
    ):
        soundfile.write(tmp_path / name, noise, 16000, **options)
        whole, rate = AUDIO.read(name, tmp_path)
        part, _ = AUDIO.read({"path": name, "start": 1.0, "end": 2.5}, tmp_path)
        np.testing.assert_array_equal(part, whole[rate : 5 * rate // 2])
        end, _ = AUDIO.read({"path": name, "start": 3.0, "end": None}, tmp_path, max_seconds=0.25)
        np.testing.assert_array_equal(end, whole[3 * rate : 3 * rate + rate // 4])
        inside = (tmp_path / name).read_bytes()
        held, _ = AUDIO.read({"bytes": inside, "path": None, "start": 1.0, "end": 2.5}, tmp_path)
        np.testing.assert_array_equal(held, part)
        assert AUDIO.inspect({"path": name, "start": 1.0, "end": 2.5}, tmp_path, {}).quantities["seconds"] == 1.5
        assert AUDIO.length({"path": name, "start": 1.0, "end": None}, tmp_path) == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ((9.0, None), "part from 9 s to its end is asked for"),
        ((1.0, 9.0), "it is 4.00 s long, and the part from 1 s to 9 s is asked for"),
    ],
)
def test_a_part_that_is_not_there_is_refused(tmp_path, part, message):
    soundfile.write(tmp_path / "a.wav", np.zeros(64000, np.float32), 16000)
    with pytest.raises(DataError, match=message):
        AUDIO.read({"path": "a.wav", "start": part[0], "end": part[1]}, tmp_path)


def test_a_part_that_a_clip_has_not_is_refused(clips):
    with pytest.raises(DataError, match="no sound after its first 9 seconds"):
        AUDIO.read({"path": "a.mp4", "start": 9.0, "end": None}, clips)
    with pytest.raises(DataError, match="only 3.03 of 5.00 seconds of sound"):
        AUDIO.read({"path": "a.mp4", "start": 1.0, "end": 6.0}, clips)


def test_headers_say_what_there_is(clips, tmp_path):
    facts = clip_facts(clips / "a.mp4")
    assert (facts.seconds, facts.video, facts.audio) == (4.0, True, True)
    assert (facts.width, facts.height, facts.frames_per_second, facts.hertz) == (32, 32, 10.0, 16000)
    silent = make_clip(tmp_path / "silent.mp4", seconds=1.0, audio=None)
    assert AUDIO.has_nothing("silent.mp4", tmp_path) and not VIDEO.has_nothing("silent.mp4", tmp_path)
    assert VIDEO.has_nothing("a.m4a", clips) and not AUDIO.has_nothing("a.m4a", clips)
    content = {"bytes": silent.read_bytes(), "path": None}
    assert AUDIO.has_nothing(content, "") and not VIDEO.has_nothing(content, "")
    with pytest.raises(DataError, match=r"silent\.mp4: the sound cannot be used: it has no sound"):
        AUDIO.read("silent.mp4", tmp_path)
    for name in TRACKS:
        assert looks_like_clip((clips / name).read_bytes())
    assert not looks_like_clip(b"RIFF\0\0\0\0WAVE") and not looks_like_clip(b"ID3\4") and not looks_like_clip(b"")


def test_what_is_no_clip_is_refused_and_opens_no_other_file(clips, tmp_path):
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:4,\n{clips / 'a.mp4'}\n")
    (tmp_path / "concat.mkv").write_text(f"ffconcat version 1.0\nfile {clips / 'a.mp4'}\n")
    (tmp_path / "text.webm").write_text("no clip at all")
    for name in ("list.mp4", "concat.mkv", "text.webm"):
        assert not AUDIO.has_nothing(name, tmp_path)  # an error when it is read
        with pytest.raises(DataError, match=rf"{name}: the sound cannot be used: ffmpeg cannot read it"):
            AUDIO.read(name, tmp_path)
    with pytest.raises(DataError, match="this is no sound that can be read"):
        (tmp_path / "a.wav").write_text("no sound at all")
        AUDIO.read("a.wav", tmp_path)


@pytest.mark.parametrize("name", ["a.m4a", "a.mp4", "a.mkv"])
def test_a_clip_that_was_cut_off_or_says_a_wrong_duration_is_refused(clips, tmp_path, name):
    content = (clips / name).read_bytes()
    assert measure_track(clips / name)[0] == pytest.approx(4.0, abs=0.05)
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(
        DataError, match=rf"{name}: the sound cannot be used: it breaks off: only [123]\.\d\d of 4\.\d\d s"
    ):
        AUDIO.read(name, tmp_path)
    half, rate = AUDIO.read(name, tmp_path, 0.5)  # what is wrong behind it does no harm
    np.testing.assert_array_equal(half, AUDIO.read(name, clips)[0][: rate // 2])
    (tmp_path / name).write_bytes(content[:40])
    with pytest.raises(DataError, match=rf"{name}: the sound cannot be used: ffmpeg cannot read it"):
        AUDIO.read(name, tmp_path)


def test_without_pyav_it_says_what_to_install(clips, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DataError, match=r"pip install 'mmbert\[video\]'"), opened_clip(clips / "a.mp4"):
        pass
    with pytest.raises(DataError, match=r"pip install 'mmbert\[video\]'"):
        AUDIO.read("a.mp4", clips)


def test_clips_in_memory_are_read_too(clips):
    content = (clips / "a.mp4").read_bytes()
    np.testing.assert_array_equal(AUDIO.read(content, "")[0], AUDIO.read("a.mp4", clips)[0])
    assert decode_track(io.BytesIO(content), 0.5)[0].shape == (8000,)
