"""Pictures at the network's size and colours: crop, stretch and pad by hand, normalisation, batches, refusals."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmbert.core.errors import ConfigError, InputError
from mmbert.encoders.processors import image as image_processor
from mmbert.encoders.processors.image import ImageProcessor
from mmbert.runs.peak_memory import PeakMemory

MEAN, STD = (0.5, 0.25, 0.0), (0.5, 0.25, 0.125)


def processor(size, **options):
    return ImageProcessor(size, MEAN, STD, interpolation="nearest", **options)


def picture(red):
    """Red as given (h, w), green 51, blue 0."""
    red = np.array(red, np.uint8)
    return Image.fromarray(np.stack([red, np.full_like(red, 51), np.zeros_like(red)], -1))


def colours(prepared):
    """(3, h, w) normalised -> the reds (h, w) of 0 to 255."""
    return ((prepared[0] * STD[0] + MEAN[0]) * 255).round().int().tolist()


def test_colours_are_normalised_one_by_one():
    prepared = processor((1, 2)).prepare(picture([[0, 255]]))
    # (0 - 0.5) / 0.5, (1 - 0.5) / 0.5; (51/255 - 0.25) / 0.25 = -0.2; 0
    torch.testing.assert_close(prepared, torch.tensor([[[-1.0, 1.0]], [[-0.2, -0.2]], [[0.0, 0.0]]]))


def test_crop_keeps_the_centre():
    assert colours(processor((1, 2)).prepare(picture([[10, 20, 30, 40]]))) == [[20, 30]]
    # scaled so that the frame is half of the shorter side: 2 / 0.5 = 4 pixels, of which the inner 2 stay
    rows = np.arange(16).reshape(4, 4) * 10
    assert colours(processor((2, 2), crop_pct=0.5).prepare(picture(rows))) == [[50, 60], [90, 100]]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(300, 7), (7, 300), (64, 90), (33, 31)])
def test_what_is_cut_off_need_not_be_scaled(size, interpolation, monkeypatch):
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (3, 3, 3), np.uint8))
    image = coarse.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    cut = ImageProcessor((24, 20), MEAN, STD, interpolation, crop_pct=0.9)
    whole = cut.pack(image)[0].astype(int)
    monkeypatch.setattr(image_processor, "MOST_SCALED", 0)
    assert whole.std() > 20 and np.abs(cut.pack(image)[0] - whole).max() <= 2  # PIL takes the frame in float32


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (2, 60_000)])
@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_a_picture_like_a_line_takes_no_memory(shape, fit):
    line = Image.new("RGB", shape, (255, 51, 0))
    prepare = ImageProcessor((224, 224), MEAN, STD, "bicubic", 0.875, fit)
    with PeakMemory() as memory:
        before = memory.peak_mib()
        prepared = prepare.prepare(line)
    assert memory.peak_mib() - before < 100
    assert prepared.shape == (3, 224, 224)
    assert fit == "pad" or colours(prepared)[100][100] == 255


def test_stretch_takes_all_of_it():
    assert colours(processor((2, 2), fit="stretch").prepare(picture([[10, 20]]))) == [[10, 20], [10, 20]]


def test_pad_surrounds_it_with_the_mean_colour():
    prepared = processor((3, 2), fit="pad").prepare(picture([[10, 20]]))
    assert colours(prepared[:, 1:2]) == [[10, 20]]
    assert not prepared[:, [0, 2]].any()


def test_a_batch_of_tensors_colours_and_missing_pictures():
    one = processor((1, 2))
    prepared, stored = one.prepare(picture([[0, 255]])), one.unpack(*one.pack(picture([[255, 0]])))
    batch = one.collate([prepared, stored, None])
    assert batch["mask"].tolist() == [[True], [True], [False]]
    torch.testing.assert_close(batch["pixels"][:, 0, 0], torch.tensor([[-1.0, 1.0], [1.0, -1.0], [0.0, 0.0]]))


def test_what_cannot_be_prepared_is_refused():
    with pytest.raises(ConfigError, match="fit=cropp is unknown for pictures.*crop"):
        processor((1, 1), fit="cropp")
    with pytest.raises(InputError, match="mode RGB, not mode L"):
        processor((1, 1)).prepare(Image.new("L", (1, 1)))
    with pytest.raises(InputError, match="mode RGB, not ndarray"):
        processor((1, 1)).prepare(np.zeros((1, 1, 3)))
