"""Small pictures for tables of samples: their size, colours, and which way is up."""

import numpy as np
from PIL import Image

from mmbert.training.loggers.thumbnail import PICTURE_PIXELS, thumbnail


def test_the_longest_side_is_bounded_and_small_pictures_stay(tmp_path):
    Image.new("L", (1024, 512), 7).save(tmp_path / "wide.png")
    small = thumbnail(tmp_path / "wide.png")
    assert small.size == (PICTURE_PIXELS, PICTURE_PIXELS // 2) and small.mode == "RGB"
    assert small.getpixel((3, 3)) == (7, 7, 7)
    assert thumbnail(Image.new("RGB", (20, 10))).size == (20, 10)


def test_a_turned_photograph_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.new("RGB", (30, 10)).save(tmp_path / "turned.jpg", exif=exif)
    assert thumbnail(tmp_path / "turned.jpg").size == (10, 30)


def test_a_picture_of_sixteen_bits_is_shown_as_encoders_read_it(tmp_path):
    Image.fromarray(np.full((4, 4), 25_700, np.uint16)).save(tmp_path / "a.png")
    assert thumbnail(tmp_path / "a.png").getpixel((0, 0)) == (100, 100, 100)
