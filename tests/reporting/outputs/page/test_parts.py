"""The page of explained parts: the numbers of its JSON, colours by sign and size, pictures and sounds."""

import base64
import io
import re
import shutil
import wave

import numpy as np
import pytest
from PIL import Image

from mmbert.reporting.outputs.page import overlays
from mmbert.reporting.outputs.page.parts import coloured_text, modality_bars, parts_page

COVERS = ("overlays",)


def interval(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "samples": 2}


def content_of(**changes):
    means = {
        name: {key: interval(0.25) for key in ("share", "contribution", "size")} for name in ("text", "image", "audio")
    }
    answer = {
        "task": "answer",
        "answer": "a/b <i>",
        "output": 0.91,
        "baseline": 0.07,
        "gap": 0.00123,
        "steps": 64,
        "above_tolerance": False,
        "modalities": {"text": 0.5, "image": -0.125, "audio": 0.25},
        "words": {"text": [["", "加<b>", 0.5], [" ", "go", -0.25], ["", "!", 0.0]]},
    }
    sample = {"row": 7, "answers": [answer], "shares": {"gate": {"text": 0.75}}}
    sample["rollout"] = {"text": {"words": [["", "加", 0.5]]}}
    word = {"word": "加", "mean": 0.3, "size": 0.4, "total_size": 0.8, "count": 2, "samples": 2}
    content = {
        "model": "runs/m",
        "data": "my.csv",
        "split": "test",
        "explained": 1,
        "steps": 64,
        "most_steps": 1024,
        "baselines": {"text": "padding"},
        "pictures": ["image"],
        "samples_withheld": False,
        "finished": "now",
        "gaps": {"answer": {"answers": 1, "mean": 0.00123, "largest": 0.00456, "above_tolerance": 0}},
        "summed": {"answer": {"samples": 1, "modalities": means, "words": {"text": [word]}}},
        "samples": [sample],
    }
    return {**content, **changes}


def page(content=None):
    draws = np.random.default_rng(0)
    key = "parts/7/answer/a∕b <i>/"
    maps = {key + "text": np.array([0.5, -0.25, 0]), key + "image": draws.standard_normal((6, 8))}
    maps[key + "audio"] = draws.standard_normal((9, 4))
    inputs = {
        "picture/7/image": np.full((6, 8, 3), 200, np.uint8),
        "frames/7/audio": draws.standard_normal((9, 4)),
        "sound/7/audio": (np.sin(np.arange(1600) / 5).astype(np.float32), 16000),
    }
    return parts_page(content or content_of(), maps, inputs, 12)


def test_the_page_says_the_numbers_and_what_stands_in_cells_is_no_code():
    body = page()
    for number in ("0.9100", "0.0700", "1.2e-03", "after 64 steps", "+0.5000", "-0.1250", "+0.2500", "largest 0.0046"):
        assert number in body
    assert (
        "加&lt;b&gt;" in body
        and "a/b &lt;i&gt;" in body
        and "<b>" not in re.sub(r"<script.*?</script>", "", body, flags=re.S)
    )
    assert body.count("data:audio/wav") == 1 and "http" not in re.sub(r"<script.*?</script>", "", body, flags=re.S)
    assert "above the tolerance" not in body and "gate" in body and "0.750" in body


def test_a_gap_above_the_tolerance_is_a_warning():
    content = content_of()
    content["gaps"]["answer"]["above_tolerance"] = 1
    content["samples"][0]["answers"][0]["above_tolerance"] = True
    assert page(content).count("above the tolerance") == 2


def test_words_have_colours_by_sign_and_size():
    text = coloured_text("text", [["", "for", 0.5], [" ", "against", -0.25], [" ", "nothing", 0.0]])
    assert re.findall(r"rgba\((\d+),(\d+),(\d+),([\d.]+)\)\" title=\"([-+.\d]+)\">(\w+)", text) == [
        (*map(str, overlays.FOR), "0.75", "+0.5000", "for"),
        (*map(str, overlays.AGAINST), "0.38", "-0.2500", "against"),
        (*map(str, overlays.FOR), "0.00", "+0.0000", "nothing"),
    ]


def test_bars_go_to_the_side_of_their_sign():
    bars = modality_bars({"text": 0.5, "image": -0.25})
    assert re.findall(r'bar (\w+)" style="width:([\d.]+)%', bars) == [("for", "50.0"), ("against", "25.0")]


def test_maps_and_sounds_are_what_they_are_of():
    drawn = overlays.coloured(np.array([[1.0, -0.5], [0.0, 1.0]]))
    assert drawn[0, 0].tolist() == [*overlays.FOR, 230] and drawn[0, 1].tolist() == [*overlays.AGAINST, 115]
    assert drawn[1, 0, 3] == 0
    picture = Image.open(io.BytesIO(base64.b64decode(overlays.png(drawn).partition(",")[2])))
    assert picture.size == (2, 2) and np.array_equal(np.asarray(picture), drawn)
    frames = np.arange(6.0).reshape(3, 2)  # three frames of a low and a high band
    assert overlays.spectrogram(frames).tolist() == [[1, 3, 5], [0, 2, 4]]
    content = base64.b64decode(overlays.wav(np.array([0.0, 0.5, -1.0]), 8000).partition(",")[2])
    with wave.open(io.BytesIO(content)) as sound:
        assert sound.getframerate() == 8000
        assert np.frombuffer(sound.readframes(3), "<i2").tolist() == [0, 16384, -32767]
    assert overlays.summed_neighbours(np.ones(1500)).tolist() == [3.0] * 500


def test_a_page_without_samples_holds_none():
    content = content_of(samples_withheld=True)
    body = parts_page(content, {}, {}, 12)
    assert "Row 7" not in body and "privacy.samples=false" in body


# ------------------------------------------------------------------------------------------- in a real browser

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    """``visit(scheme, width)``: the page, opened without a network; what it complains of fails the test."""
    playwright = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        pytest.skip("no Chromium on this machine")
    file = tmp_path_factory.mktemp("page") / "parts.html"
    file.write_text(page(), encoding="utf-8")
    complaints = []
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = driver.chromium.launch(executable_path=BROWSER, args=arguments)

        def go(scheme="light", width=1280):
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
            tab = context.new_page()
            tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.on("request", lambda r: complaints.append(r.url) if r.url.startswith("http") else None)
            tab.goto(file.as_uri())
            tab.wait_for_selector("#row-7 .text")
            return tab

        yield go
        browser.close()
    assert complaints == []


def luminance(colour):
    """Relative luminance of (r, g, b) in 0 … 255, as WCAG 2 defines it."""
    parts = [x / 255 / 12.92 if x / 255 <= 0.04045 else ((x / 255 + 0.055) / 1.055) ** 2.4 for x in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_on_their_colours(visit, scheme):
    tab = visit(scheme)
    colours = "e => [getComputedStyle(e).color, ...[e, document.body].map(x => getComputedStyle(x).backgroundColor)]"
    for word in tab.locator("#row-7 .text .w").all():
        ink, over, under = ([float(x) for x in re.findall(r"[\d.]+", each)] for each in word.evaluate(colours))
        alpha = over[3] if len(over) > 3 else 1.0
        ground = [alpha * a + (1 - alpha) * b for a, b in zip(over, under, strict=False)][:3]
        dark, bright = sorted((luminance(ink[:3]), luminance(ground)))
        assert (bright + 0.05) / (dark + 0.05) >= 3, word.inner_text()  # WCAG's least for large text


def test_maps_lie_over_what_they_are_of_and_the_sound_plays(visit):
    tab = visit()
    assert tab.evaluate("() => [...document.images].every(i => i.complete && i.naturalWidth > 0)")
    for over in tab.locator("#row-7 .over").all():
        below, above = (over.locator(kind).bounding_box() for kind in (".base", ".top"))
        assert all(abs(below[key] - above[key]) < 1 for key in below) and below["width"] > 40
    tab.evaluate("() => document.querySelector('audio').play()")
    tab.wait_for_function("() => document.querySelector('audio').currentTime > 0.02", timeout=10_000)
    assert tab.evaluate("() => document.querySelector('audio').error") is None


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_of_it_is_wider_than_the_window(visit, width):
    assert visit("dark", width).evaluate("() => document.documentElement.scrollWidth") <= width
