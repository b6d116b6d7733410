"""Clips as a kind of input: parts, lengths, what Python code may give, damage, and what a page shows."""

import numpy as np
import pytest

from made_clips import level, make_clip
from mmbert.core.errors import DataError
from mmbert.data.augment.corruptions import Degradation
from mmbert.data.modalities.base import WHOLE_INPUT, TimeSpan
from mmbert.data.modalities.clips import Clip, FrameStack
from mmbert.data.modalities.video import MODALITY as VIDEO
from mmbert.encoders.processors.image import ImageProcessor
from mmbert.encoders.processors.video import VideoProcessor

COVERS = ("clips",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("video")
    make_clip(folder / "a.mp4")
    return folder


def greys(images):
    return [round((np.asarray(image).mean() - level(0)) / 4) for image in images]


def test_a_part_has_its_own_clock(folder):
    clip = VIDEO.read({"path": "a.mp4", "start": 1.5, "end": 3.0}, folder)
    assert clip.seconds == 1.5 and greys(clip.frames([0.05, 0.75, 1.45])) == [15, 22, 29]
    assert VIDEO.read("a.mp4", folder).part == WHOLE_INPUT and VIDEO.read("a.mp4", folder, 2.5).seconds == 2.5
    assert VIDEO.length({"path": "a.mp4", "start": 1.5, "end": None}, folder) == 2.5
    content = (folder / "a.mp4").read_bytes()
    assert greys(Clip.opened(content, TimeSpan(1.0)).frames([0.05])) == [10]
    with pytest.raises(DataError, match="it is 4.00 s long, and the part from 7 s on is asked for"):
        VIDEO.read({"path": "a.mp4", "start": 7.0, "end": None}, folder)


def test_what_python_code_may_give(folder):
    processor = VideoProcessor(ImageProcessor((8, 8), (0.5,) * 3, (0.5,) * 3), frames=2)
    assert VIDEO.from_python(folder / "a.mp4", processor).seconds == 4.0
    pictures = np.stack([np.full((4, 4, 3), shade, np.uint8) for shade in (0, 100, 200)])
    stack = VIDEO.from_python((pictures, 2.0), processor)
    assert stack.seconds == 1.5 and VIDEO.from_python(stack, processor) is stack
    shades = [int(np.asarray(image)[0, 0, 0]) for image in stack.frames([0.0, 0.49, 0.5, 1.49, 1.5])]
    assert shades == [
        0,
        0,
        100,
        200,
        200,
    ]
    for wrong in (pictures, (pictures.astype(float), 2.0), (pictures, 0), (pictures[0], 1.0), None):
        with pytest.raises(DataError, match=r"give a path, or \(pictures, frames_per_second\)"):
            VIDEO.from_python(wrong, processor)


def test_a_check_measures_and_decodes_its_end(folder):
    facts = VIDEO.inspect("a.mp4", folder, {})
    assert facts.quantities == {"seconds": 4.0, "width": 32, "height": 32, "frames_per_second": 10.0}
    part = VIDEO.inspect({"path": "a.mp4", "start": 1.0, "end": 2.0}, folder, {})
    assert part.quantities["seconds"] == 1.0 and part.digest != facts.digest
    assert VIDEO.example_html("a.mp4", folder).count("data:image/jpeg;base64,") == 4


def test_damage_grows_with_its_level(folder):
    processor = VideoProcessor(ImageProcessor((16, 16), (0.0,) * 3, (1.0,) * 3), frames=3)
    clip = VIDEO.read("a.mp4", folder)
    plain = processor.prepare(clip)["pictures"]
    distances = [
        float(
            (
                VIDEO.corrupted(clip, processor, level, np.random.default_rng(0), Degradation())["pictures"] - plain
            ).norm()
        )
        for level in (0.1, 0.5, 1.0)
    ]
    assert 0 < distances[0] < distances[1] < distances[2]
    assert isinstance(VIDEO.made_up(processor, np.random.default_rng(0))[0][0], FrameStack)
