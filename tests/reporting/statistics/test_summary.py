"""Groups of runs: mean, deviation and Student's interval by hand, and what runs are grouped by."""

import math

import pandas as pd
import pytest

from mmbert.core.errors import ConfigError
from mmbert.reporting.statistics import summary

METRIC = "test/mood/accuracy"


@pytest.fixture
def runs():
    """Three finished runs of concat, one of mean, and one that failed."""
    return pd.DataFrame(
        {
            "run": list("abcde"),
            "status": ["finished"] * 4 + ["failed"],
            "reason": [""] * 4 + ["no memory"],
            "fusion": ["concat"] * 3 + ["mean", "mean"],
            "data": "digits",
            "modalities": "text",
            "seed": [0, 1, 2, 0, 1],
            METRIC: [0.1, 0.2, 0.3, 0.5, 0.9],
            "test/mood/loss": [1.0, 2.0, 3.0, 4.0, 5.0],
            "commit": "c",
            "monitor": "val/mood/accuracy",
            "wall_seconds": [1.0, 2.0, 6.0, 5.0, 9.0],
            "config.fusion.out_dim": [8, 8, 16, 8, 8],
            "config.data.seed": [0, 1, 2, 0, 1],
        }
    )


def test_mean_deviation_and_interval_by_hand():
    found = summary.statistics([1.0, 2.0, 3.0])
    assert (found["mean"], found["std"], found["min"], found["max"]) == (2.0, 1.0, 1.0, 3.0)
    half = 4.302653 / math.sqrt(3)  # t(0.975) of two degrees of freedom, from a printed table
    assert (found["low"], found["high"]) == pytest.approx((2 - half, 2 + half), abs=1e-6)
    alone = summary.statistics([0.5])
    assert alone["mean"] == 0.5 and all(math.isnan(alone[name]) for name in ("std", "low", "high"))


def test_the_best_group_comes_first_and_only_finished_runs_count(runs):
    found = summary.summarise(runs, METRIC)
    assert found["fusion"].tolist() == ["mean", "concat"] and found["n"].tolist() == [1, 3]
    assert found["mean"].tolist() == pytest.approx([0.5, 0.2])
    assert found["seeds"].tolist() == ["0", "0 1 2"] and found["wall_seconds"].tolist() == [5.0, 3.0]
    assert summary.summarise(runs, "test/mood/loss")["fusion"].tolist() == ["concat", "mean"], "less is better"
    assert summary.summarise(runs, METRIC, ["fusion.out_dim"])["fusion.out_dim"].tolist() == [16, 8]


@pytest.mark.parametrize(
    ("metric", "by", "message"),
    [
        ("test/mood/acuracy", [], "No run has the metric 'test/mood/acuracy'. Did you mean 'test/mood/accuracy'"),
        (METRIC, ["fusoin"], "cannot be grouped by 'fusoin'. Did you mean 'fusion'"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(runs, metric, by, message):
    with pytest.raises(ConfigError, match=message):
        summary.summarise(runs, metric, by)


def test_without_a_finished_run_the_reasons_are_given(runs):
    with pytest.raises(ConfigError, match=r"None of 1 runs has finished. e: no memory"):
        summary.summarise(runs.iloc[4:], METRIC)


def test_the_usual_keys_are_those_that_vary(runs):
    assert summary.varied(runs) == ["fusion"] == summary.varied(runs.iloc[:2])
    assert summary.varied(runs.assign(data=list("xxyyy"))) == ["data", "fusion"]


def test_what_else_differs_in_a_group_but_follows_the_seed_is_left_out(runs):
    assert summary.other_differences(runs) == ["fusion.out_dim"]
    assert summary.other_differences(runs, ["fusion", "fusion.out_dim"]) == []


def test_a_seed_that_occurs_twice_is_found(runs):
    assert summary.repeated_seeds(runs) == []
    assert summary.repeated_seeds(runs.assign(seed=[0, 1, 1, 0, 1])) == ["concat"]


def test_absent_options_are_a_group_of_their_own():
    frame = pd.DataFrame({"x": [[1, 2], math.nan, [1, 2]]}, dtype=object)
    assert [(label, list(group.index)) for label, group in summary.grouped(frame, ["x"])] == [
        (("[1, 2]",), [0, 2]),
        (("–",), [1]),
    ]


def test_the_default_metric_is_the_test_counterpart_of_the_monitor(runs):
    assert summary.default_metric(runs) == METRIC
    assert summary.default_metric(runs.assign(monitor="val/loss")[[*runs]]) == METRIC, "the first that is no loss"
    with pytest.raises(ConfigError, match="None of 5 runs has a test metric"):
        summary.default_metric(runs.drop(columns=[METRIC, "test/mood/loss"]))


def test_of_errors_less_is_better():
    assert [summary.is_error(f"test/x/{name}") for name in ("loss", "mae", "accuracy")] == [True, True, False]
    less = ("wer_beam", "cer_rescored", "median_rank", "text_to_image_median_rank", "cut_words", "cut_answers")
    assert all(summary.is_error(f"test/x/{name}") for name in less)
    assert not any(summary.is_error(f"test/{name}") for name in ("cer/f1", "cut_wood/accuracy", "x/mrr"))
