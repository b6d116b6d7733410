"""Sums over samples by hand, and what is written of them."""

import numpy as np
import pytest

from mmbert.analysis.parts.explain import ExplainedAnswer, ExplainedSample
from mmbert.analysis.parts.files import answers_table, gaps_of, part_arrays
from mmbert.analysis.parts.summed import summed_over
from mmbert.core.privacy import Privacy

COVERS = ("files",)


def answer(text, image=None, gap=0.0, name="x", steps=64, much=False):
    parts = {"text": np.array(text)} | ({} if image is None else {"image": np.array([[image]])})
    return ExplainedAnswer("seen", name, 0.9, 0.1, gap, steps, much, parts)


def found():
    """Two samples; the first has two answers, the second no picture."""
    go = {"text": {"text": "Go go on", "offsets": np.array([[0, 2], [3, 5], [6, 8]])}}
    on = {"text": {"text": "on", "offsets": np.array([[0, 2]])}}
    answers = [answer([0.1, 0.2, -0.6], 0.1, gap=0.02), answer([0.5, 0.0, 0.1], -0.2, gap=0.01, name="y/z", much=True)]
    return [ExplainedSample(3, answers, alignments=go), ExplainedSample(5, [answer([0.4], steps=128)], alignments=on)]


def test_modalities_are_means_over_samples_of_means_over_their_answers():
    of = summed_over(found(), Privacy(), 0)["seen"]["modalities"]
    # text: row 3 has -0.3 and 0.6, row 5 has 0.4; image: row 3 has 0.1 and -0.2, row 5 has none
    assert of["text"]["contribution"]["value"] == pytest.approx((0.15 + 0.4) / 2)
    assert of["text"]["size"]["value"] == pytest.approx((0.45 + 0.4) / 2)
    assert of["text"]["share"]["value"] == pytest.approx(((0.3 / 0.4 + 0.6 / 0.8) / 2 + 1) / 2)
    assert of["image"]["contribution"]["value"] == pytest.approx(-0.05) and of["image"]["size"]["samples"] == 1
    assert of["image"]["share"]["value"] == pytest.approx((0.25 + 0) / 2)


def test_words_are_counted_whatever_their_case():
    words = {word["word"]: word for word in summed_over(found(), Privacy(), 0)["seen"]["words"]["text"]}
    assert list(words) == ["on", "go"]  # 0.6 + 0.1 + 0.4 and 0.1 + 0.2 + 0.5 + 0
    assert words["go"]["count"] == 4 and words["go"]["samples"] == 1 and words["go"]["mean"] == pytest.approx(0.2)
    assert words["on"]["count"] == 3 and words["on"]["samples"] == 2
    assert words["on"]["mean"] == pytest.approx(-0.1 / 3) and words["on"]["total_size"] == pytest.approx(1.1)
    assert "words" not in summed_over(found(), Privacy(samples=False), 0)["seen"]


def test_gaps_lines_and_arrays():
    gap = {"answers": 3, "mean": pytest.approx(0.01), "largest": 0.02, "above_tolerance": 1, "most_steps_taken": 128}
    assert gaps_of(found()) == {"seen": gap}
    table = answers_table(found())
    assert table["contribution/text"].tolist() == pytest.approx([-0.3, 0.6, 0.4])
    assert table["contribution/image"].isna().tolist() == [False, False, True]
    assert set(part_arrays(found())) == {
        "parts/3/seen/x/text", "parts/3/seen/x/image", "parts/3/seen/y∕z/text", "parts/3/seen/y∕z/image",
        "parts/5/seen/x/text",
    }  # fmt: skip
