"""HEIC and SVG: what is read, what is refused, and what to install."""

import gzip
import importlib.util
import io

import numpy as np
import pytest
from PIL import Image

from installed import skip_without
from mmbert.core.errors import DataError
from mmbert.data.modalities import picture_extras
from mmbert.data.modalities.image import MODALITY as IMAGE
from mmbert.data.modalities.picture_extras import read_heif, read_svg, svg_content
from mmbert.data.modalities.picture_files import FIRST_FRAME, decode_picture, picture_remarks
from mmbert.data.modalities.svg_drawer import SVG_PIXELS
from mmbert.runs.peak_memory import PeakMemory

RED, WHITE = (255, 0, 0), (255, 255, 255)


def svg(inner, size='width="10" height="20"'):
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{inner}</svg>'.encode()


def drawn(content):
    return decode_picture(io.BytesIO(content))


HALF_RED = '<rect width="5" height="20" fill="#ff0000"/>'


def heif(*images, **options):
    pillow_heif = pytest.importorskip("pillow_heif")
    content = io.BytesIO()
    file = pillow_heif.HeifFile()
    for image in images:
        file.add_from_pillow(image)
    file.save(content, **options)
    return content.getvalue()


def test_heic(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    (tmp_path / "a.heic").write_bytes(heif(Image.fromarray(pixels), quality=-1))
    image = IMAGE.read("a.heic", tmp_path)
    assert image.mode == "RGB" and np.abs(np.asarray(image).astype(int) - pixels).max() <= 2
    assert IMAGE.read({"bytes": (tmp_path / "a.heic").read_bytes(), "path": None}, "").size == (96, 64)
    assert IMAGE.inspect("a.heic", tmp_path, {}).remarks == ()
    (tmp_path / "b.heic").write_bytes((tmp_path / "a.heic").read_bytes()[:-100])
    with pytest.raises(DataError, match="b.heic: this is no picture that can be read"):
        IMAGE.read("b.heic", tmp_path)


def test_of_several_heic_pictures_the_first_is_read_and_that_is_told():
    content = heif(Image.new("RGB", (64, 64), RED), Image.new("RGB", (64, 64), (0, 0, 255)))
    assert np.abs(np.array(drawn(content).getpixel((9, 9))) - RED).max() <= 8
    assert picture_remarks(io.BytesIO(content)) == (FIRST_FRAME,)


def test_a_turned_heic_photograph_is_upright():
    image = Image.new("RGB", (64, 32), RED)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert drawn(heif(image, exif=exif.tobytes())).size == (32, 64)


def test_a_heic_picture_of_too_many_pixels(monkeypatch):
    monkeypatch.setattr("mmbert.data.modalities.picture_files.MOST_PIXELS", 1000)
    content = heif(Image.new("RGB", (64, 64)))
    with pytest.raises(DataError, match="64 × 64 pixels, more than 1,000"):
        drawn(content)
    sizes = []
    read_heif(io.BytesIO(content), lambda *size: sizes.append(size))
    assert sizes == [(64, 64)]


def test_what_to_install_for_heic(tmp_path, monkeypatch):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    find = importlib.util.find_spec
    monkeypatch.setattr(picture_extras, "find_spec", lambda name: None if name == "pillow_heif" else find(name))
    with pytest.raises(DataError, match=r"a.heic: .*pillow-heif, which is not installed: pip install 'mmbert\[heif\]'"):
        IMAGE.read("a.heic", tmp_path)


# SVG


@pytest.fixture
def cairo():
    skip_without("cairosvg")


def test_a_drawing_on_white(cairo, tmp_path):
    (tmp_path / "a.svg").write_bytes(svg(HALF_RED))
    image = IMAGE.read("a.svg", tmp_path)
    assert image.mode == "RGB" and image.size == (256, SVG_PIXELS)
    assert [image.getpixel(place) for place in ((1, 1), (126, 500), (129, 1), (255, 511))] == [RED, RED, WHITE, WHITE]
    assert IMAGE.inspect("a.svg", tmp_path, {}).remarks == ()
    packed = gzip.compress(svg(HALF_RED))
    assert drawn(packed).tobytes() == image.tobytes()
    typed = b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/svg11.dtd">'
    assert drawn(typed + svg(HALF_RED)).tobytes() == image.tobytes()


REFUSED = {
    "no size": (svg(HALF_RED, ""), "says no size"),
    "nothing": (svg(HALF_RED, 'width="0" height="0"'), "says no size"),
    "negative": (svg(HALF_RED, 'width="-5" height="5"'), "says no size"),
    "not a number": (svg(HALF_RED, 'width="nan" height="5"'), "says no size"),
    "infinite": (svg(HALF_RED, 'width="inf" height="5"'), "says no size"),
    "a file": (svg('<image href="file:///etc/hostname" width="5" height="5"/>'), "another file or address"),
    "an address": (svg('<image href="http://localhost:9/a.png" width="5" height="5"/>'), "another file or address"),
    "a drawing": (svg('<use href="other.svg#a"/>'), "another file or address"),
    "a circle": (svg('<g id="a"><use href="#a"/></g>'), "refers to itself"),
    "a circle of fills": (svg('<pattern id="a"><rect fill="url(#a)"/></pattern>'), "refers to itself"),
    "an entity": (b'<!DOCTYPE svg [<!ENTITY a "b">]>' + svg("<text>&a;</text>"), "EntitiesForbidden"),
    "half": (svg(HALF_RED)[:-9], "unclosed token"),
    "no drawing": (b"<?xml version='1.0'?><html/>", "format is not known"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_drawings_that_are_refused(what, cairo, tmp_path):
    content, message = REFUSED[what]
    (tmp_path / "a.svg").write_bytes(content)
    with pytest.raises(DataError, match=f"a.svg: .*{message}"):
        IMAGE.read("a.svg", tmp_path)


def test_a_file_that_unpacks_to_far_more(cairo):
    packed = gzip.compress(svg(" " * (200 * 2**20)))
    with PeakMemory() as memory:
        before = memory.peak_mib()
        with pytest.raises(DataError, match="more than 16 MiB"):
            svg_content(io.BytesIO(packed))
    assert memory.peak_mib() - before < 100


@pytest.mark.parametrize("reads", [lambda path: IMAGE.read(path.name, path.parent), lambda path: read_svg(path)])
def test_what_to_install_for_svg(reads, tmp_path, monkeypatch):
    (tmp_path / "a.svg").write_bytes(svg(HALF_RED))
    find = importlib.util.find_spec
    monkeypatch.setattr(picture_extras, "find_spec", lambda name: None if name == "cairosvg" else find(name))
    with pytest.raises(DataError, match=r"CairoSVG, which is not installed: pip install 'mmbert\[svg\]'"):
        reads(tmp_path / "a.svg")
