"""The part on missing and damaged modalities: its plots, its tables, and by what they are sorted."""

from types import SimpleNamespace

import pytest

from mmbert.reporting.outputs.page import robustness
from mmbert.reporting.outputs.page.html import Page
from mmbert.reporting.statistics.robustness import Area, Curve, RobustnessResults, Subset

CURVE = Curve("noise", "text", "mean", {0: {0.0: 0.75, 1.0: 0.5}, 1: {0.0: 0.25}})


def test_a_curve_goes_through_the_means():
    (trace,) = robustness.levels_figure([CURVE], "level", "f1")["data"]
    assert (trace["x"], trace["y"], trace["name"]) == ([0.0, 1.0], [0.5, 0.5], "mean")
    assert trace["error_y"]["array"] == pytest.approx([0.5 / 2**0.5, 0])  # of 0.75 and 0.25, with n - 1


def test_subsets_have_a_bar_a_group():
    subsets = [
        Subset("text", "a", {0: 0.5, 1: 1.0}, 9),
        Subset("audio", "a", {0: 0.25}, 9),
        Subset("text", "b", {0: 1}, 9),
    ]
    first, second = robustness.subsets_figure(subsets, "f1")["data"]
    assert (first["x"], first["y"], first["name"]) == (["text", "audio"], [0.75, 0.25], "a")
    assert (second["x"], second["y"]) == (["text"], [1])


def test_only_what_was_measured_is_shown():
    page = Page("p")
    nothing = SimpleNamespace(robustness=RobustnessResults(), metric="f1")
    assert robustness.robustness_section(page, nothing) == [] and page.figures == []
    found = RobustnessResults(
        subsets=[Subset("text", "mean", {0: 0.5}, 9)], curves=[CURVE], areas=[Area(CURVE, {0: 0.625, 1: 0.375})]
    )
    parts = robustness.robustness_section(page, SimpleNamespace(robustness=found, metric="f1"))
    assert [part.partition("</h3>")[0].removeprefix("<h3>") for part in parts[:2]] == [
        "Damaged inputs",
        "Subsets at test",
    ]
    assert page.captions == ["text damaged, means and std over seeds", "Each subset at test, means and std over seeds"]
    assert 'data-value="0.5">0.5000 ± ' in parts[-1], "areas are sorted by their mean"


def test_cells_are_sorted_by_the_number_that_they_begin_with():
    assert [robustness.leading(text) for text in ("1,200.5 ± 3", "+0.25", "–", "")] == [1200.5, 0.25, None, None]
