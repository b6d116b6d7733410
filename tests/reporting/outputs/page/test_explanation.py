"""The page of an explanation: its bars are the numbers of the JSON, names of modalities are text and no HTML."""

from mmbert.reporting.outputs.page.explanation import bars_with_intervals, explanation_page, pairs_table
from mmbert.reporting.outputs.page.html import Page


def measured(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


OUTPUT = {
    "explained": "the number that is answered",
    "samples": 7,
    "modalities": {
        "text": {"share": measured(0.75, 0.7, 0.875), "value": measured(-0.5, -0.75, -0.25)},
        "<b>x": {"share": measured(0.25, 0.125, 0.3), "value": measured(0.25, 0.125, 0.5)},
    },
    "interactions": [{"modalities": ["text", "<b>x"], "value": measured(0.125, 0.0, 0.25), "size": measured(0.5)}],
}
METRIC = {
    "metric": "mae",
    "higher_is_better": False,
    "modalities": {"text": {"value": measured(0.5)}, "<b>x": {"value": measured(0.25)}},
    "interactions": [{"modalities": ["text", "<b>x"], "value": measured(0.0625)}],
}
CONTENT = {
    "model": "run",
    "data": "a.csv",
    "split": "test",
    "modalities": ["text", "<b>x"],
    "bootstraps": 20,
    "finished": "now",
    "tasks": {"answer": {"output": OUTPUT, "metric": METRIC}},
}


def test_bars_are_the_numbers_with_their_intervals_the_first_on_top():
    (bars,) = bars_with_intervals(OUTPUT["modalities"], "share", "share")["data"]
    assert (bars["x"], bars["y"]) == ([0.25, 0.75], ["<b>x", "text"])
    assert bars["error_x"]["array"] == [0.3 - 0.25, 0.125] and bars["error_x"]["arrayminus"] == [0.125, 0.75 - 0.7]
    (plain,) = bars_with_intervals(METRIC["modalities"], "value", "gain")["data"]
    assert "error_x" not in plain
    assert bars_with_intervals({}, "share", "share") is None
    assert bars_with_intervals({"text": {"share": measured(None)}}, "share", "share") is None


def test_pairs_stand_in_a_table():
    html = pairs_table(Page("p"), OUTPUT, METRIC)
    assert "text × &lt;b&gt;x" in html and "+0.1250 [+0.0000, +0.2500]" in html and "+0.0625" in html
    assert pairs_table(Page("p"), {"samples": 0}, {"metric": None}) == ""


def test_the_page_is_whole_and_names_are_no_html(monkeypatch):
    monkeypatch.setattr("mmbert.reporting.outputs.page.html.plotly_code", lambda: "")
    html = explanation_page(CONTENT)
    assert html.startswith("<!doctype html>") and html.count('data-figure="figure-') == 3
    assert "<b>x" not in html and "7 samples of test" in html and "20 bootstraps" in html
    without = {**CONTENT, "tasks": {"answer": {"output": OUTPUT, "metric": {"metric": None, "why": "no label"}}}}
    assert explanation_page(without).count('data-figure="figure-') == 2
