"""The page of explained parts: the numbers of its JSON, colours by sign and size, pictures and sounds."""

import base64
import io
import re
import wave

import numpy as np
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
