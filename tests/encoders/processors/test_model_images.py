"""Pictures as image processors of transformers prepare them: every step by hand, lines of pixels, exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from mmbert.deploy.preprocessing import describe_processor, rebuild_processor
from mmbert.encoders.image_model import ImageModelEncoder
from mmbert.encoders.processors.model_images import ModelImageProcessor


def clip_preparer(**options: Any) -> Any:
    from transformers import CLIPImageProcessorPil

    return CLIPImageProcessorPil(**{"size": {"shortest_edge": 6}, "crop_size": {"height": 4, "width": 4}, **options})


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_the_shorter_side_is_scaled_the_middle_cut_out_and_normalised() -> None:
    image = picture(15, 9)
    processor = ModelImageProcessor(clip_preparer(image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.25, 0.5]))
    scaled = np.asarray(image.resize((10, 6), Image.Resampling.BICUBIC), np.float64)[1:5, 3:7] / 255
    expected = (scaled - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.5]
    assert_close(processor.prepare(image), torch.from_numpy(expected.transpose(2, 0, 1)).float(), rtol=0, atol=1e-6)
    bilinear = ModelImageProcessor(clip_preparer(resample=2))
    assert processor.interpolation == "bicubic" and bilinear.interpolation == "bilinear"
    assert not np.array_equal(bilinear.pack(image)[0], processor.pack(image)[0])


def test_without_a_norm_colours_are_from_0_to_1() -> None:
    white = Image.new("RGB", (8, 8), (255, 255, 255))
    assert_close(ModelImageProcessor(clip_preparer(do_normalize=False)).prepare(white), torch.ones(3, 4, 4))


@pytest.mark.parametrize("size", [(1, 60000), (60000, 1)])
def test_of_a_picture_like_a_line_only_the_middle_is_scaled(size: tuple[int, int]) -> None:
    preparer = clip_preparer(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32})
    pixels = ModelImageProcessor(preparer).prepare(picture(*size))
    assert pixels.shape == (3, 32, 32) and pixels.isfinite().all()


def test_an_exports_description_makes_the_same_processor(folders: dict[str, str], tmp_path: Path) -> None:
    for name in ("clip", "siglip"):
        encoder = ImageModelEncoder(folders[name])
        place = tmp_path / name / "encoders" / "image"
        place.mkdir(parents=True)
        encoder.save_assets(place)
        again: Any = rebuild_processor("image", describe_processor(encoder.processor), tmp_path / name)
        assert again.settings() == encoder.processor.settings()
        assert_close(again.prepare(picture(50, 40)), encoder.processor.prepare(picture(50, 40)), rtol=0, atol=0)
