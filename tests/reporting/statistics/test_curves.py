"""Learning curves, the Pareto front and mean ranks, by hand."""

import json

import pytest

from mmbert.reporting.statistics.curves import learning_curve, mean_group_ranks, pareto_front


def test_a_curve_ends_with_the_last_epoch_and_has_the_last_value_of_each(tmp_path):
    assert learning_curve(tmp_path, "val/acc") == []
    (tmp_path / "history.csv").write_text("step,epoch,val/acc\n1,0,0.1\n2,1,0.2\n3,1,0.3\n3,2,0.3\n")
    assert learning_curve(tmp_path, "val/acc") == [(1.0, 0.1), (2.0, 0.3), (3.0, 0.3)]
    (tmp_path / "metrics.json").write_text(json.dumps({"epochs": 2}))
    assert learning_curve(tmp_path, "val/acc") == [(1.0, 0.1), (2.0, 0.3)]  # the chosen checkpoint, measured again


def test_the_front_holds_what_nothing_beats():
    costs, values = [1, 2, 3, 3, 1], [0.5, 0.7, 0.6, 0.7, 0.5]
    assert pareto_front(costs, values) == [True, True, False, False, True]  # equal points do not beat each other
    assert pareto_front(costs, values, larger_is_better=False) == [True, False, False, False, True]


def test_ranks_are_means_over_common_seeds_and_ties_share_theirs():
    values = {"a": {0: 0.9, 1: 0.5, 2: 0.1}, "b": {0: 0.8, 1: 0.5}, "c": {0: 0.7, 1: 0.6}}
    # seed 0: 1, 2, 3; seed 1: 2.5, 2.5, 1
    assert mean_group_ranks(values) == pytest.approx({"a": 1.75, "b": 2.25, "c": 2.0})
    assert mean_group_ranks(values, larger_is_better=False) == pytest.approx({"a": 2.25, "b": 1.75, "c": 2.0})
    assert mean_group_ranks({}) == {} and mean_group_ranks({"a": {0: 1.0}, "b": {1: 1.0}}) == {}
