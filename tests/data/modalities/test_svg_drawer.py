"""The drawing of SVG files: one size, no other files, bounds on what few elements may make."""

import base64
import io
import subprocess
import sys
from xml.etree.ElementTree import fromstring

import pytest
from PIL import Image

from installed import skip_without
from mmbert.data.modalities import svg_drawer
from mmbert.data.modalities.svg_drawer import (
    NOTHING,
    SIZE,
    SVG_PIXELS,
    drawing_size,
    fetch_inside,
    references,
    refuse_expansion,
    svg_as_png,
)

skip_without("cairosvg")

RED = (255, 0, 0, 255)


def svg(inner, size='width="10" height="20"'):
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{inner}</svg>'.encode()


def drawn(content):
    return Image.open(io.BytesIO(svg_as_png(content)))


HALF_RED = '<rect width="5" height="20" fill="#ff0000"/>'


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ('viewBox="0 0 30 10"', (SVG_PIXELS, 171)),
        ('width="1e9" height="1"', (SVG_PIXELS, 1)),
        ('width="1cm" height="2cm"', (256, SVG_PIXELS)),
        ('width="100%" height="100%" viewBox="0 0 1 2"', (256, SVG_PIXELS)),
    ],
)
def test_every_drawing_has_one_size(size, expected):
    from cairosvg.parser import Tree

    assert drawn(svg(HALF_RED, size)).size == expected
    assert drawing_size(Tree(bytestring=svg("", size))) == expected


def test_few_elements_that_make_very_many():
    doubling = "".join(f'<g id="g{n}"><use href="#g{n - 1}"/><use href="#g{n - 1}"/></g>' for n in range(1, 20))
    with pytest.raises(ValueError, match="more than 50,000 elements"):
        drawn(svg('<g id="g0"><rect width="1" height="1"/></g>' + doubling))
    few = "".join(f'<g id="g{n}"><use href="#g{n - 1}"/><use href="#g{n - 1}"/></g>' for n in range(1, 5))
    assert drawn(svg('<g id="g0"><rect width="1" height="1"/></g>' + few)).size == (256, SVG_PIXELS)


def test_a_picture_inside_a_drawing(monkeypatch):
    inner = io.BytesIO()
    Image.new("RGB", (40, 40), RED[:3]).save(inner, "PNG")
    address = "data:image/png;base64," + base64.b64encode(inner.getvalue()).decode()
    content = svg(f'<image href="{address}" width="10" height="20" preserveAspectRatio="none"/>')
    assert drawn(content).getpixel((100, 300)) == RED
    monkeypatch.setattr(svg_drawer, "INNER_PIXELS", 1_599)
    with pytest.raises(ValueError, match="holds a picture of 40 × 40 pixels"):
        svg_as_png(content)


def test_what_a_drawing_may_load():
    assert fetch_inside("http://localhost:9/a.css", "text/css") == b""
    assert fetch_inside("data:image/svg+xml,<svg/>", "image/*") == NOTHING
    with pytest.raises(ValueError, match="not loaded"):
        fetch_inside("file:///etc/hostname", "image/*")


def test_the_elements_that_one_refers_to():
    node = fromstring('<a xmlns:x="y" href="#b" x:href="#c" style="fill:url(#d);mask:url(\'#e\')" fill="red"/>')
    assert sorted(references(node)) == ["b", "c", "d", "e"]
    refuse_expansion(node)


def test_requests_are_answered_one_after_the_other():
    requests = b"".join(SIZE.pack(len(each)) + each for each in (svg(HALF_RED), b"<svg", svg(HALF_RED)))
    command = [sys.executable, "-P", svg_drawer.__file__]
    answers = io.BytesIO(subprocess.run(command, input=requests, capture_output=True, check=True).stdout)
    found = []
    while status := answers.read(1):
        found.append((status[0], answers.read(SIZE.unpack(answers.read(SIZE.size))[0])))
    assert [status for status, _ in found] == [0, 1, 0] and b"unclosed token" in found[1][1]
    assert found[0][1] == found[2][1] == svg_as_png(svg(HALF_RED))
