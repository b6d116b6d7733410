"""Which pictures of a clip are read, and that they are prepared, packed and padded as pictures are."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmbert.core.errors import ConfigError
from mmbert.data.modalities.clips import FrameStack
from mmbert.encoders.processors.image import ImageProcessor
from mmbert.encoders.processors.video import VideoProcessor, frames_limit

PICTURES = ImageProcessor((8, 6), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), fit="pad")


def stack(count, rate=10.0, seed=0):
    return FrameStack(np.random.default_rng(seed).integers(0, 256, (count, 10, 12, 3), np.uint8), rate)


@given(seconds=st.floats(0.01, 100), frames=st.integers(1, 20))
def test_a_number_of_pictures_comes_from_the_middles_of_equal_stretches(seconds, frames):
    moments = VideoProcessor(PICTURES, frames).moments(seconds)
    edges = np.linspace(0, seconds, frames + 1)
    np.testing.assert_allclose(moments, (edges[:-1] + edges[1:]) / 2)


@given(seconds=st.floats(0.01, 100), frames=st.integers(1, 20), rate=st.floats(0.1, 30))
def test_a_rate_gives_pictures_at_its_own_distance_up_to_the_most(seconds, frames, rate):
    moments = np.array(VideoProcessor(PICTURES, frames, rate).moments(seconds))
    assert 1 <= len(moments) <= frames and moments[0] >= 0 and moments[-1] <= seconds + 1e-9
    np.testing.assert_allclose(np.diff(moments), 1 / rate)
    if len(moments) < frames:  # nothing is left out
        assert moments[-1] + 1 / rate > seconds - 1e-9 or len(moments) == 1


def test_pictures_are_prepared_as_pictures_are():
    clip, processor = stack(20), VideoProcessor(PICTURES, 4)
    prepared = processor.prepare(clip)
    assert prepared["times"].tolist() == [0.25, 0.75, 1.25, 1.75]
    expected = [PICTURES.prepare(image) for image in clip.frames([0.25, 0.75, 1.25, 1.75])]
    torch.testing.assert_close(prepared["pictures"], torch.stack(expected), rtol=0, atol=0)


@given(count=st.integers(1, 40), rate=st.floats(0.7, 60), frames=st.integers(1, 6), by_rate=st.booleans())
def test_what_is_packed_is_the_same_again(count, rate, frames, by_rate):
    processor = VideoProcessor(PICTURES, frames, 3.0 if by_rate else None)
    clip = stack(count, rate)
    prepared, again = processor.prepare(clip), processor.unpack(*processor.pack(clip))
    long, fixed = processor.pack(clip)
    assert (long.dtype, fixed.dtype, len(fixed)) == (np.uint8, np.int32, processor.packed[2])
    flat = processor.unpack(long.reshape(-1), fixed)
    for key in ("pictures", "times"):
        torch.testing.assert_close(prepared[key], again[key], rtol=0, atol=0)
        torch.testing.assert_close(flat[key], again[key], rtol=0, atol=0)


def test_a_batch_is_padded_and_says_what_is_real():
    processor = VideoProcessor(PICTURES, 6, 2.0)
    clips = [processor.prepare(stack(30)), None, processor.prepare(stack(4))]
    batch = processor.collate(clips)
    assert batch["pictures"].shape == (3, 6, 3, 8, 6) and batch["mask"].sum(1).tolist() == [6, 0, 1]
    torch.testing.assert_close(batch["pictures"][0], clips[0]["pictures"])
    assert not batch["pictures"][1].any() and not batch["times"][2, 1:].any()
    assert batch["times"][2, 0] == 0.25 and processor.moments(0.2) == [0.1]  # even of less than half a stretch


def test_where_clips_are_cut():
    assert frames_limit(8, None, None) is None
    by_rate = frames_limit(8, 2.0, 10.0)
    assert (by_rate.option, by_rate.most) == ("frames", 4.0)
    by_length = VideoProcessor(PICTURES, 8, None, 3.0).length_limit
    assert (by_length.option, by_length.most) == ("max_seconds", 3.0)


@pytest.mark.parametrize("options", [{"frames": 0}, {"frames_per_second": 0.0}])
def test_numbers_that_cannot_be_are_refused(options):
    with pytest.raises(ConfigError, match="both must be above 0"):
        VideoProcessor(PICTURES, **options)
