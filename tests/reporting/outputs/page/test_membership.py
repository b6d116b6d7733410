"""The page of an attack: curves, numbers with intervals, and what cannot be told."""

import json

from mmbert.reporting.outputs.page.membership import attack_curves, measure_cell, membership_page

KNOWN = {"value": 0.25, "low": 0.2, "high": 0.3}
UNKNOWN = {"value": None, "low": None, "high": None, "why": "0.1 % of 5 non-members is less than one"}
CURVES = {"lira": {"fpr": [0.01, 0.1, 1.0], "tpr": [0.0, 0.5, 1.0]}}


def content():
    """What ``membership.json`` holds."""
    measures = {"tpr_at_fpr_0.001": UNKNOWN, "tpr_at_fpr_0.01": KNOWN, "auc": KNOWN, "balanced_accuracy": KNOWN}
    task = {"samples": 1200, "member_pairs": 38400, "non_member_pairs": 38400, "attacks": {"lira": measures}}
    task |= {"accuracy": {"members": 0.99, "non_members": 0.8}, "curves": CURVES}
    facts = {"model": "outputs/<b>", "data": "my.csv", "shadows": 64, "attack": "online", "variance": "global"}
    facts |= {"bootstraps": 1000, "finished": "now", "privacy": {"epsilon": 8.0}, "refused": {"pairs": "no label"}}
    return {**facts, "tasks": {"topic": task}}


def test_the_page_says_all_numbers():
    page = membership_page(content())
    assert "0.2500 [0.2000, 0.3000]" in page and "not resolvable" in page and UNKNOWN["why"] in page
    assert "1,200 training samples, 64 models: 38,400 pairs" in page and "epsilon=8.0" in page
    assert "right on 99.0 % of the samples they were trained on, and on 80.0 % of the others" in page
    assert "outputs/&lt;b&gt;" in page and "outputs/<b>" not in page
    assert "Tasks that are not attacked" in page and "no label" in page


def test_curves_are_logarithmic_and_leave_zero_out():
    figure = attack_curves(CURVES)
    chance, lira = figure["data"]
    assert chance["x"] == chance["y"] == [0.01, 1] and lira["x"] == [0.1, 1.0] and lira["y"] == [0.5, 1.0]
    assert figure["layout"]["xaxis"]["type"] == figure["layout"]["yaxis"]["type"] == "log"
    assert figure["layout"]["xaxis"]["range"] == [-2, 0]
    json.dumps(figure, allow_nan=False)


def test_cells_are_sorted_by_their_number():
    assert measure_cell(KNOWN).value == 0.25 and measure_cell({**KNOWN, "low": None}).text == "0.2500"
    assert measure_cell(UNKNOWN).value is None
