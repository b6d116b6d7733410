"""Curves, subsets and areas of robustness: against NumPy, by hand, and as terminal, report.md and page say it."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mmbert.cli import report as command
from mmbert.reporting.collect import collect
from mmbert.reporting.outputs.markdown import markdown_page
from mmbert.reporting.outputs.page.build import html_page
from mmbert.reporting.report import make_report
from mmbert.reporting.statistics.robustness import effective_robustness, relative_robustness

METRIC = "test/answer/accuracy"
LEVELS = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
HOSTILE = "<b>mean</b>"


def multibench_relative(values, step):
    """The sum of trapezoids of its eval_scripts/robustness.py, with the step of its levels."""
    return sum((values[i] + values[i + 1]) * step / 2 for i in range(len(values) - 1))


@given(st.lists(st.floats(0, 1), min_size=11, max_size=11), st.lists(st.floats(0, 1), min_size=11, max_size=11))
def test_areas_are_multibenchs_up_to_its_scaling(values, late):
    levels = [round(0.1 * n, 1) for n in range(11)]
    points, baseline = dict(zip(levels, values, strict=True)), dict(zip(levels, late, strict=True))
    assert relative_robustness(points) == pytest.approx(multibench_relative(values, 0.1), abs=1e-9)
    beyond = np.array(values) - (np.array(late) + (values[0] - late[0]))  # its integrand
    expected = float(np.sum((beyond[1:] + beyond[:-1]) / 2) * 0.1)
    assert effective_robustness(points, baseline) == pytest.approx(expected, abs=1e-9)
    assert effective_robustness(points, baseline, larger_is_better=False) == pytest.approx(-expected, abs=1e-9)


def test_areas_by_hand():
    # a straight line from 0.8 to 0.4 has the mean height 0.6, wherever it ends
    assert relative_robustness({0.0: 0.8, 0.5: 0.4}) == pytest.approx(0.6)
    # uneven steps: (0.8 + 0.4) / 2 · 0.2 + (0.4 + 0.4) / 2 · 0.8 = 0.44
    assert relative_robustness({1.0: 0.4, 0.0: 0.8, 0.2: 0.4}) == pytest.approx(0.44)
    # moved to begin at 0.9, the baseline ends at 0.5; f ends at 0.7: on average 0.1 above
    assert effective_robustness({0.0: 0.9, 1.0: 0.7}, {0.0: 0.7, 1.0: 0.3}) == pytest.approx(0.1)
    assert effective_robustness({0.0: 0.5, 1.0: 0.4}, {0.0: 0.8, 1.0: 0.7}) == pytest.approx(0.0)
    assert math.isnan(effective_robustness({0.0: 0.5, 1.0: 0.4}, {0.0: 0.8, 0.5: 0.7}))


def write_run(folder, name, seed, options, value, told):
    run = folder / f"{name}-{seed}"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(json.dumps({**options, "seed": seed, "tasks": {"answer": {}}}))
    (run / "environment.json").write_text("{}")
    facts = {"seed": seed, "wall_seconds": 60.0, "checkpoint": {"path": "best.ckpt", "monitor": "val/answer/accuracy"}}
    (run / "metrics.json").write_text(json.dumps({METRIC: value, **facts}))
    if told is not None:
        (run / "robustness.json").write_text(json.dumps({"modalities": ["text", "image"], "splits": {"test": told}}))
    return run


def measured(values):
    return {"samples": 100, "metrics": {"answer/accuracy": values, "value/mae": 10 * values}}


def noisy(start, slope, seed):
    """Accuracy falls by ``slope`` over the levels, for image; text suffers half as much."""
    noise = [
        {"modalities": [name], "level": level, **measured(start + 0.01 * seed - slope * share * level)}
        for name, share in (("text", 0.5), ("image", 1.0))
        for level in LEVELS[1:]
    ]
    subsets = [
        {"modalities": names, **measured(worth + 0.01 * seed)}
        for names, worth in ((["text"], 0.2), (["image"], 0.3), (["text", "image"], start))
    ]
    return {"clean": measured(start + 0.01 * seed), "noise": noise, "subsets": subsets}


@pytest.fixture(scope="module")
def noise_study(tmp_path_factory):
    """Three seeds of the baseline and of a group that loses less: 0.2 of 0.8 instead of 0.4, in steps of its own."""
    folder = tmp_path_factory.mktemp("noise")
    study = {"name": "noise", "axes": ["label"], "baseline": {"label": "concat"}, "metric": METRIC}
    for label, start, slope in (("concat", 0.7, 0.4), (HOSTILE, 0.8, 0.2)):
        for seed in range(3):
            drop = slope + 0.03 * seed * (label != "concat")
            options = {"label": label, "study": study}
            told = noisy(start, drop, seed)
            write_run(folder, label.strip("</b>"), seed, options, start + 0.01 * seed, told)
    return folder


@pytest.fixture(scope="module")
def report(noise_study):
    return make_report(collect([noise_study]))


def test_areas_of_a_study(report):
    found = {(one.curve.what, one.curve.group): one for one in report.robustness.areas}
    assert set(found) == {(what, group) for what in ("text", "image") for group in ("concat", HOSTILE)}
    # straight lines: the mean height is that of the middle
    assert found["image", "concat"].relative == pytest.approx({s: 0.7 + 0.01 * s - 0.2 for s in range(3)})
    assert found["image", "concat"].effective == {}
    # slopes of 0.2, 0.23 and 0.26 against 0.4: on average half of the difference above
    expected = {seed: (0.4 - 0.2 - 0.03 * seed) / 2 for seed in range(3)}
    assert found["image", HOSTILE].effective == pytest.approx(expected)
    assert found["text", HOSTILE].effective == pytest.approx({seed: v / 2 for seed, v in expected.items()})


def test_the_tables_say_the_numbers_with_intervals_over_seeds(report):
    text = markdown_page(report)
    effective = [0.1, 0.085, 0.07]
    mean, std = np.mean(effective), np.std(effective, ddof=1)
    half = stats.t.ppf(0.975, 2) * std / math.sqrt(3)
    assert f"+{mean:.4f} ± {std:.4f} | +{mean - half:.4f} … +{mean + half:.4f}" in text
    assert "| image damaged | concat | 3 | 0.5100 ± 0.0100 |" in text and "| baseline | – |" in text
    assert re.search(r"\| modalities \| group \| 0 \| 0.2 \| 0.4 \| 0.6 \| 0.8 \| 1 \|", text)
    assert "| image | concat | 0.7100 ± 0.0100 | 0.6300 ± 0.0100 |" in text
    assert "| group | text | image | text+image |" in text
    assert "| concat | 0.2100 ± 0.0100 | 0.3100 ± 0.0100 | 0.7100 ± 0.0100 |" in text


def test_less_is_better_for_an_error(noise_study):
    with_errors = collect([noise_study]).assign(**{"test/value/mae": 1.0})
    found = make_report(with_errors, metric="test/value/mae", by=["label"], baseline="concat").robustness
    image = next(one for one in found.areas if one.curve.what == "image" and one.curve.group != "concat")
    # the values are ten times the accuracies: f lies above the baseline's curve, which for an error is worse
    assert image.effective == pytest.approx({seed: -10 * (0.2 - 0.03 * seed) / 2 for seed in range(3)})


def test_the_page_draws_curves_bars_and_tables(report):
    text = html_page(report)
    assert 'id="robustness"' in text and "<h3>Areas</h3>" in text
    assert "<b>mean</b>" not in text and "&lt;b&gt;mean&lt;/b&gt;" in text
    figures = [
        json.loads(found)
        for found in re.findall(r'<script type="application/json" id="figure-\d+">(.*?)</script>', text)
    ]
    lines = [f for f in figures if f["layout"].get("xaxis", {}).get("title", {}).get("text") == "level of damage"]
    assert len(lines) == 2
    by_name = {trace["name"]: trace for trace in lines[1]["data"]}  # of images
    assert by_name["concat"]["x"] == LEVELS
    assert by_name["concat"]["y"] == pytest.approx([0.71 - 0.4 * level for level in LEVELS])
    assert by_name["concat"]["error_y"]["array"] == pytest.approx([0.01] * 6)
    bars = next(f for f in figures if f["data"][0]["type"] == "bar" and "text+image" in f["data"][0]["x"])
    assert bars["data"][0]["x"] == ["text", "image", "text+image"]


def test_the_terminal_shows_subsets_and_areas(noise_study, capsys):
    command.main([str(noise_study)])
    said = " ".join(capsys.readouterr().out.split())
    assert "Robustness: areas under the curves of test/answer/accuracy" in said
    assert "Subsets of the modalities at test" in said and "+0.0850 ± 0.0150" in said


@pytest.fixture(scope="module")
def missing_study(tmp_path_factory):
    """Rates 0, 0.4, 0.8 of two mechanisms, with and without dropout; two seeds. At rate 0 there is one mechanism."""
    folder = tmp_path_factory.mktemp("missing")
    axes = ["data.missing.mechanism", "data.missing.rate", "augment.modality_dropout"]
    study = {"name": "missing", "axes": axes, "metric": METRIC}
    study["baseline"] = dict(zip(axes, ["random", 0.0, 0.0], strict=True))
    cells = [("random", 0.0), ("random", 0.4), ("random", 0.8), ("label", 0.4), ("label", 0.8)]
    for mechanism, rate in cells:
        for dropout in (0.0, 0.3):
            for seed in (0, 1):
                value = 0.8 - 0.5 * rate * (1 - dropout) - 0.1 * (mechanism == "label") + 0.01 * seed
                options = {
                    "study": study,
                    "data": {"missing": {"mechanism": mechanism, "rate": rate}},
                    "augment": {"modality_dropout": dropout},
                }
                at_test = [
                    {"mechanism": "value", "rate": level, **measured(value - 0.2 * level)} for level in LEVELS[1:]
                ]
                told = {"clean": measured(value), "missing": at_test}
                write_run(folder, f"{mechanism}-{rate}-{dropout}", seed, options, value, told)
    return folder


def test_curves_over_rates_in_training(missing_study):
    report = make_report(collect([missing_study]))
    found = {(curve.what, curve.group): curve for curve in report.robustness.trained}
    lines = ("modality_dropout 0.0", "modality_dropout 0.3")
    assert set(found) == {(mechanism, line) for mechanism in ("random", "label") for line in lines}
    plain = found["random", "modality_dropout 0.0"]
    assert plain.levels() == [0.0, 0.4, 0.8]
    assert [np.mean(plain.at(level)) for level in plain.levels()] == pytest.approx([0.805, 0.605, 0.405])
    labelled = found["label", "modality_dropout 0.3"]
    assert [np.mean(labelled.at(level)) for level in labelled.levels()] == pytest.approx([0.805, 0.565, 0.425])
    text = markdown_page(report)
    assert "## Missing modalities in training" in text and "| random | modality_dropout 0.0 | 0.8050 ± 0.0071 |" in text
    assert "## Missing modalities at test" in text and "| value missing | random, 0.8, 0.3 | 2 |" in text
    assert "share of training samples that lack something" in html_page(report)


def test_runs_that_measured_nothing_are_reported_as_ever(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "plain", seed, {"label": "concat"}, 0.5, None)
    report = make_report(collect([tmp_path]))
    assert not report.robustness
    assert "obustness" not in markdown_page(report) and 'id="robustness"' not in html_page(report)
