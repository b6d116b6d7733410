"""The HTML page: whole, self-contained, safe, and right in what it shows."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

from mmbert.reporting.collect import collect
from mmbert.reporting.outputs.page.build import html_page
from mmbert.reporting.report import make_report
from mmbert.reporting.statistics.classification import classification_results
from mmbert.reporting.statistics.curves import learning_curve, mean_group_ranks, pareto_front
from mmbert.reporting.statistics.hardest import hardest

HOSTILE = '<script>document.title = "taken over"</script> & "quotes"'
VOID = {"meta", "link", "img", "input", "br"}


class Reader(HTMLParser):
    """Checks that elements are closed in order, and keeps what is inside scripts of data."""

    def __init__(self):
        super().__init__()
        self.open, self.figures, self.tags, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.tags:
            return
        inside = self.tags[-1]
        if inside[0] == "script" and inside[1].get("type") == "application/json":
            self.figures.append(json.loads(data))
        elif self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


@pytest.fixture(scope="module")
def made(illustrated):
    return html_page(make_report(collect([illustrated / "runs"])))


@pytest.fixture(scope="module")
def read(made):
    reader = Reader()
    reader.feed(made)
    assert reader.open == []
    return reader


def test_everything_is_there_and_nothing_comes_from_elsewhere(made, read):
    sections = [attrs["id"] for tag, attrs in read.tags if tag == "section"]
    assert sections == ["summary", "shown", "weights", "learning", "cost", "classes", "samples", "runs"]
    for tag, attrs in read.tags:
        for name in ("src", "href"):
            value = attrs.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, value)
    plots = [attrs for tag, attrs in read.tags if tag == "div" and "data-figure" in attrs]
    assert [p["data-figure"] for p in plots] == [f"figure-{n}" for n in range(len(read.figures))]
    assert all(figure["data"] for figure in read.figures)


def test_a_text_that_is_code_is_shown_and_not_run(made, read):
    assert "<script>document.title" not in made
    assert HOSTILE in "".join(read.text)
    assert "sad <b>" in "".join(read.text)


def test_each_run_has_its_command_and_its_origin(read):
    text = " ".join(read.text)
    assert text.count("checkpoints/best.ckpt") == 6
    assert "mmbert-train" in text


def test_pictures_and_sounds_lie_inside(read):
    pictures = [attrs["src"] for tag, attrs in read.tags if tag == "img"]
    sounds = [attrs["src"] for tag, attrs in read.tags if tag == "audio"]
    assert pictures and all(src.startswith("data:image/png;base64,") for src in pictures)
    assert sounds and all(src.startswith("data:audio/") for src in sounds)


def test_the_hardest_sample_is_the_one_nobody_has_right(illustrated):
    runs = {name: sorted((illustrated / "runs").glob(f"{name}-*")) for name in ("concat", "mean")}
    found = hardest(runs, "test", "mood", 30)
    assert [sample.right for sample in found] == sorted(sample.right for sample in found)
    (last,) = [sample for sample in found if sample.row == 30]
    assert last.right == 0
    assert all(answer.partition(" (")[0] != last.truth for answer in last.answers.values())
    parts = {sample.row: {name: value for name, _, value in sample.parts} for sample in found}
    assert parts[30]["text"] == HOSTILE
    assert parts[2]["text"] == "sentence 1"
    assert parts[2]["audio"].startswith("data:audio")
    assert parts[1]["audio"] == "missing"


def test_classes_agree_with_scikit_learn(illustrated):
    found = classification_results(sorted((illustrated / "runs").glob("mean-*")), "test", "mood")
    assert found.targets.shape == (90,)
    np.testing.assert_array_equal(found.confusion(), confusion_matrix(found.targets, found.predictions))
    expected = precision_recall_fscore_support(found.targets, found.predictions)
    for number, row in enumerate(found.by_class()):
        assert [row[key] for key in ("precision", "recall", "f1", "support")] == pytest.approx(
            [part[number] for part in expected]
        )
    hot = np.eye(3)[found.targets]
    assert found.roc()[2] == pytest.approx(roc_auc_score(hot, found.probabilities, average="micro"))


def test_the_pareto_front_by_hand():
    #        cheap and bad, dear and good, beaten, equal to the first
    assert pareto_front([1, 5, 6, 1], [0.2, 0.9, 0.8, 0.2]) == [True, True, False, True]
    assert pareto_front([1, 2], [0.5, 0.4], larger_is_better=False) == [True, True]


def test_mean_ranks_by_hand():
    values = {"a": {0: 0.9, 1: 0.5, 7: 1.0}, "b": {0: 0.8, 1: 0.6}, "c": {0: 0.8, 1: 0.1}}
    assert mean_group_ranks(values) == {"a": 1.5, "b": (2.5 + 1) / 2, "c": (2.5 + 3) / 2}
    assert mean_group_ranks(values, larger_is_better=False)["c"] == pytest.approx((1.5 + 1) / 2)


def test_no_figure_has_a_number_that_json_lacks(made):
    assert not re.search(r"\bNaN\b|\bInfinity\b", "".join(re.findall(r'application/json"[^>]*>(.*?)</script>', made)))


def test_a_curve_ends_with_the_last_epoch(illustrated):
    curve = learning_curve(illustrated / "runs" / "mean-1", "val/mood/accuracy")
    assert [x for x, _ in curve] == [1, 2, 3, 4]
    assert [y for _, y in curve] == pytest.approx([0.31, 0.41, 0.51, 0.61])
    assert learning_curve(illustrated / "runs" / "mean-1", "val/mood/f1") == []


def test_the_weights_of_modalities(read):
    (figure,) = [f for f in read.figures if f["layout"].get("barmode") == "group"]
    assert [(trace["name"], trace["x"], trace["y"]) for trace in figure["data"]] == [
        (group, ["text", "image"], [0.5, 0.3]) for group in ("concat", "mean")
    ]


def test_the_weights_over_the_epochs(read):
    """A chart a group; in it a line for each run and modality that has any number."""
    found = [f for f in read.figures if "epoch" in str(f["layout"].get("xaxis")) and f["data"][0]["name"] == "text"]
    assert len(found) == 2
    for figure in found:
        lines = [(trace["name"], trace["x"], trace["y"]) for trace in figure["data"]]
        assert [name for name, _, _ in lines] == ["text", "image"] * 3
        assert [trace["showlegend"] for trace in figure["data"]] == [True, True, False, False, False, False]
        assert lines[4][1] == [1, 2, 3, 4] and lines[4][2] == pytest.approx([0, 0.1, 0.2, 0.3])
        assert lines[5][2] == pytest.approx([0.02] * 4)
