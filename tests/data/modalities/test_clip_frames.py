"""The pictures of clips: each moment has the picture that a player shows, however it is reached, the right way up."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_clips import FRAMES_PER_SECOND, SIDE, held_upright, level, make_clip
from mmbert.core.errors import DataError
from mmbert.data.modalities.clip_frames import SKIPPED_SECONDS, frames_at
from mmbert.data.modalities.video import MODALITY as VIDEO

LONG = 5.0 + 2 * SKIPPED_SECONDS


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    make_clip(folder / "a.mp4")
    make_clip(folder / "a.mkv", audio="libopus", rate=48000)
    make_clip(folder / "silent.webm", video="libvpx-vp9", audio=None)
    make_clip(folder / "wide.mp4", seconds=0.5, audio=None, width=64, aspect=Fraction(1, 2))
    return folder


def number(image):
    """The number of a picture, by its grey."""
    return (np.asarray(image).mean() - level(0)) / (level(1) - level(0))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "silent.webm"])
@settings(max_examples=15, deadline=None)
@given(times=st.lists(st.floats(0, 3.99), min_size=1, max_size=6).map(sorted))
def test_a_moment_has_the_last_picture_that_has_begun(clips, name, times):
    images = frames_at(clips / name, times)
    for image, time in zip(images, times, strict=True):
        assert image.mode == "RGB" and image.size == (SIDE, SIDE)
        nearest = round(time * FRAMES_PER_SECOND)
        shown = {nearest} if abs(time * FRAMES_PER_SECOND - nearest) < 0.011 else set()  # times in milliseconds
        assert abs(number(image) - int(time * FRAMES_PER_SECOND)) < 0.6 or any(
            abs(number(image) - each) < 0.6 for each in (*shown, *(each - 1 for each in shown))
        )


def test_pictures_far_ahead_are_reached_by_key_frames_and_are_the_same(tmp_path, monkeypatch):
    import mmbert.data.modalities.clip_frames as module

    monkeypatch.setattr("made_clips.level", lambda frame: 40 + frame)
    make_clip(tmp_path / "long.mp4", seconds=LONG, audio=None)
    times = [0.05, 0.55, 1.0 + SKIPPED_SECONDS + 0.55, LONG - 0.05]
    skipped = [np.asarray(image) for image in frames_at(tmp_path / "long.mp4", times)]
    monkeypatch.setattr(module, "SKIPPED_SECONDS", 1e9)
    for one, other, time in zip(skipped, frames_at(tmp_path / "long.mp4", times), times, strict=True):
        np.testing.assert_array_equal(one, np.asarray(other))
        assert one.mean() == pytest.approx(40 + int(time * FRAMES_PER_SECOND), abs=1.1)


def test_pictures_are_upright_and_their_pixels_square(clips, tmp_path):
    import av

    with av.open(str(tmp_path / "half.mp4"), "w") as container:  # the left half black, the right half white
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        picture = np.zeros((32, 64, 3), np.uint8)
        picture[:, 32:] = 255
        for place in range(3):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = place
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (image,) = frames_at(held_upright(tmp_path / "half.mp4", tmp_path / "turned.mp4"), [0.1])
    assert image.size == (32, 64)  # what was on the right is below: turned clockwise
    assert np.asarray(image)[:28].mean() < 10 and np.asarray(image)[36:].mean() > 245
    (wide,) = frames_at(clips / "wide.mp4", [0.1])
    assert wide.size == (32, 32)  # 64 pixels of half their height


def test_a_clip_that_is_shorter_than_its_header_says_is_refused(clips, tmp_path):
    for name in ("a.mp4", "a.mkv"):
        content = (clips / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        clip = VIDEO.read(name, tmp_path)
        assert clip.seconds == pytest.approx(4.0, abs=0.05)
        with pytest.raises(
            DataError, match=rf"{name}: the clip cannot be used: it breaks off: only [123]\.\d+ of 3\.9"
        ):
            clip.frames([0.1, 3.9])
        assert number(clip.frames([0.1])[0]) == pytest.approx(1, abs=0.6)
        with pytest.raises(DataError, match="breaks off"):
            VIDEO.inspect(name, tmp_path, {})


def test_a_clip_without_pictures_has_none(tmp_path):
    make_clip(tmp_path / "a.m4a", seconds=0.5, video=None)
    with pytest.raises(DataError, match=r"a\.m4a: the clip cannot be used: it has no moving pictures"):
        VIDEO.read("a.m4a", tmp_path)
