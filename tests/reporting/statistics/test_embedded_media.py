"""What a page holds of pictures and sounds: pixels drawn anew, sounds that decode whole, nothing else."""

import base64
import io

import numpy as np
import pytest
import soundfile
from PIL import Image, PngImagePlugin

from mmbert.reporting.statistics import embedded_media
from mmbert.reporting.statistics.embedded_media import embedded_picture, embedded_sound


def content_of_uri(uri, kind):
    head, _, body = uri.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(body)


def saved_picture(form="PNG", size=(6, 4), **options):
    file = io.BytesIO()
    Image.new("RGB", size, (200, 10, 10)).save(file, form, **options)
    return file.getvalue()


def saved_sound(kind="WAV", frames=1000):
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(frames)), 8000, format=kind)
    return file.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_pictures_are_drawn_anew(form):
    drawn = Image.open(io.BytesIO(content_of_uri(embedded_picture(saved_picture(form)), "image/png")))
    assert (drawn.size, drawn.mode) == ((6, 4), "RGB")
    assert np.abs(np.asarray(drawn, int) - (200, 10, 10)).max() <= 4  # JPEG rounds


def test_only_pixels_are_kept_and_large_pictures_become_smaller():
    words = PngImagePlugin.PngInfo()
    words.add_text("comment", "swordfish")
    content = saved_picture(pnginfo=words, size=(2048, 512)) + b"swordfish"
    drawn = content_of_uri(embedded_picture(content), "image/png")
    assert b"swordfish" in content and b"swordfish" not in drawn
    assert Image.open(io.BytesIO(drawn)).size == (512, 128)


@pytest.mark.parametrize("content", [b"", b"text", saved_picture()[:40], saved_sound(), saved_picture("EPS")])
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(ValueError, match="no picture that can be shown"):
        embedded_picture(content)


def test_a_picture_of_too_many_pixels_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(ValueError, match="no picture that can be shown"):
        embedded_picture(saved_picture())


@pytest.mark.parametrize(("kind", "mime"), [("WAV", "wav"), ("FLAC", "flac"), ("OGG", "ogg")])
def test_sounds_are_kept_as_they_are(kind, mime):
    content = saved_sound(kind)
    assert content_of_uri(embedded_sound(content), f"audio/{mime}") == content


@pytest.mark.parametrize("content", [b"", b"text", saved_picture(), saved_sound("FLAC")[:200], saved_sound(frames=0)])
def test_what_is_no_sound_is_refused(content):
    with pytest.raises(ValueError, match="no sound that can be played"):
        embedded_sound(content)


def test_a_sound_that_is_too_long_is_not_decoded(monkeypatch):
    monkeypatch.setattr(embedded_media, "MOST_FRAMES", 999)
    with pytest.raises(ValueError, match="no sound that can be played"):
        embedded_sound(saved_sound())
