"""Plots from numbers that are given: what lies where."""

import json
import math

import numpy as np
import pytest

from mmbert.reporting.outputs.page import figures
from mmbert.reporting.statistics.classification import ClassificationResults
from mmbert.reporting.statistics.shapley import Contribution

JUDGED = ClassificationResults(("a", "b"), np.array([0, 0, 1]), np.array([[0.8, 0.2], [0.4, 0.6], [0.2, 0.8]]))


def test_seeds_are_points_and_the_best_group_is_drawn_last():
    made = figures.scores_figure({"best": {0: 0.5, 7: 1.0}, "other": {0: 0.25}}, {"best": (0.5, 1.5)}, "f1")
    other, best, means = made["data"]
    assert best["x"] == [0.5, 1.0] and best["y"] == ["best", "best"] and best["text"] == ["seed 0", "seed 7"]
    assert means["y"] == ["other", "best"] and means["x"] == [0.25, 0.75] and other["x"] == [0.25]
    assert means["error_x"]["array"] == [None, 0.75] and means["error_x"]["arrayminus"] == [None, 0.25]
    json.dumps(made, allow_nan=False)


def test_the_first_rank_is_on_top():
    (bar,) = figures.ranks_figure({"a": 1.5, "b": 3.0})["data"]
    assert (bar["x"], bar["y"]) == ([3.0, 1.5], ["b", "a"])


def test_contributions_have_a_bar_and_a_point_a_seed():
    found = [Contribution("text", {0: 0.5, 1: 0.25}, 1, 0), Contribution("image", {0: 0.125}, 1, 0)]
    bars, points = figures.contributions_figure(found, "f1")["data"]
    assert (bars["y"], bars["x"]) == (["image", "text"], [0.125, 0.375])
    assert (points["y"], points["x"]) == (["image", "text", "text"], [0.125, 0.5, 0.25])


def test_weights_are_means_over_runs():
    (bar,) = figures.weights_figure({"gated": [("text", 0.25), ("image", 0.5), ("text", 0.75)]})["data"]
    assert (bar["x"], bar["y"], bar["error_y"]["array"]) == (["text", "image"], [0.5, 0.5], [0.25, 0.0])


def test_a_modality_has_one_colour_and_one_place_in_the_legend():
    lines = {"text": [(1, 0.5), (2, math.nan)], "image": [(1, 0.25)]}
    traces = figures.weight_curves_figure({"run 0": lines, "run 1": lines})["data"]
    assert [trace["showlegend"] for trace in traces] == [True, True, False, False]
    assert traces[0]["line"] == traces[2]["line"] != traces[1]["line"]
    assert (traces[0]["x"], traces[0]["y"]) == ([1, 2], [0.5, None])


def test_long_curves_have_no_markers():
    short, long = [(e, 0.5) for e in range(29)], [(e, 0.5) for e in range(30)]
    traces = figures.learning_curves_figure({"a": [("0", short), ("1", long)]}, "f1")["data"]
    assert [trace["mode"] for trace in traces] == ["lines+markers", "lines"]
    assert [trace["showlegend"] for trace in traces] == [True, False]


def test_what_no_other_beats_is_joined():
    points = {"a": (1.0, 0.5), "b": (2.0, 0.25), "c": (3.0, 0.75), "d": (math.nan, 0.9)}
    line, dots = figures.quality_against("seconds", points, "f1", larger_is_better=True)["data"]
    assert list(zip(line["x"], line["y"], strict=True)) == [(1.0, 0.5), (3.0, 0.75)]
    assert dots["text"] == ["a", "b", "c"]
    assert dots["marker"]["color"][0] == dots["marker"]["color"][2] != dots["marker"]["color"][1]
    assert figures.quality_against("seconds", {"a": (1.0, 0.5)}, "f1", larger_is_better=True) is None


def test_confusion_is_coloured_by_the_share_of_the_row():
    (heat,) = figures.confusion_figure(JUDGED)["data"]
    assert heat["z"] == [[0.5, 0.5], [0, 1]] and heat["text"] == heat["customdata"] == [[1, 1], [0, 1]]
    many = ClassificationResults(tuple(map(str, range(16))), np.array([0]), np.eye(16)[:1])
    assert "text" not in figures.confusion_figure(many)["data"][0]


def test_roc_and_calibration_have_their_numbers_in_the_legend():
    # right 0.8, 0.4, 0.8; wrong 0.2, 0.6, 0.2: only 0.4 against 0.6 is in the wrong order, of nine pairs
    _, curve = figures.roc_figure({"mean": JUDGED})["data"]
    assert curve["name"] == f"mean ({8 / 9:.3f})"
    assert (curve["x"][0], curve["y"][0], curve["x"][-1], curve["y"][-1]) == (0, 0, 1, 1)
    _, curve = figures.calibration_figure({"mean": JUDGED})["data"]
    assert sum(curve["customdata"]) == 3
    assert curve["x"] == pytest.approx([0.6, 0.8]) and curve["y"] == [0, 1]
    assert curve["name"] == f"mean (ECE {(1 * 0.6 + 2 * 0.2) / 3:.3f})"


def test_risk_over_coverage_from_the_surest_sample_on():
    (trace,) = figures.risk_coverage_figure({"one": JUDGED})["data"]
    assert trace["x"] == [0.3333, 0.6667, 1.0] and trace["name"].startswith("one (AURC ")
    # confidences 0.8, 0.8 and 0.6: the first two are right, the last is wrong
    assert trace["y"] == [0.0, 0.0, 0.3333]
