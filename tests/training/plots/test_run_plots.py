"""Pictures show the numbers they claim, without a display, and leave nothing behind in memory."""

import gc
import weakref

import numpy as np
import pytest
from matplotlib.cbook import is_math_text
from PIL import Image

from mmbert.runs.folder import RunFolder
from mmbert.runs.predictions import PredictionTable
from mmbert.training.plots import figure as figures
from mmbert.training.plots import roc as curves
from mmbert.training.plots import run_plots as plots

COVERS = ("figure", "roc")


def lines_of(figure):
    return {line.get_label(): line.get_xydata() for line in figure.axes[0].get_lines()}


def test_pairs_are_counted_by_truth_and_prediction():
    # truth 0: once right, twice taken for 2; truth 1: never; truth 2: once right
    assert plots.count_pairs([0, 0, 0, 2], [0, 2, 2, 2], 3).tolist() == [[1, 0, 2], [0, 0, 0], [0, 0, 1]]


def test_a_confusion_matrix_shows_counts_and_shares_of_the_truth():
    axes = plots.confusion_matrix(["a", "b", "c"], [0, 0, 0, 2], [0, 2, 2, 2], "answer").axes[0]
    shares = axes.get_images()[0].get_array()
    assert np.asarray(shares).tolist() == pytest.approx(np.array([[1 / 3, 0, 2 / 3], [0, 0, 0], [0, 0, 1]]))
    counts = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in axes.texts}
    assert counts == {(0, 0): "1", (0, 2): "2", (2, 2): "1"}
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true", "predicted")
    assert "accuracy 0.500" in axes.get_title(loc="left")


def test_many_classes_stay_readable(tmp_path):
    names = [str(i - 9) for i in range(37)]
    truth = np.arange(37).repeat(3)
    figure = plots.confusion_matrix(names, truth, truth, "answer")
    labels = figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == names
    figures.save(figure, tmp_path / "x.png")
    boxes = [label.get_window_extent() for label in labels]
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))  # none over another
    assert min(label.get_fontsize() for label in labels) >= 5.5
    assert Image.open(tmp_path / "x.png").width > 1000


def test_long_names_stand_upright_and_are_cut():
    names = ["a very long name of a class", *"bcdef"]
    label = plots.confusion_matrix(names, range(6), range(6)).axes[0].get_xticklabels()[0]
    assert label.get_rotation() == 90 and label.get_text() == "a very long name …"
    assert plots.confusion_matrix(["yes", "no"], [0], [0]).axes[0].get_xticklabels()[0].get_rotation() == 0


def test_areas_by_hand():
    targets = np.array([[1, 0], [1, 0], [0, 1], [0, 0]])
    scores = np.array([[0.9, 0.1], [0.3, 0.6], [0.5, 0.7], [0.1, 0.2]])
    # a: positives .9 .3, negatives .5 .1: 3 of 4 pairs in order; b: positive .7 above .1 .6 .2: all
    names = list(lines_of(curves.roc_curves(["a", "b"], targets, scores)))
    assert {"a, 0.750", "b, 1.000", "macro mean, AUC 0.875"} <= set(names)


def test_the_mean_curve_has_the_mean_area():
    rng = np.random.default_rng(0)
    targets = plots.one_hot_targets(rng.integers(0, 4, 400), 4)
    lines = lines_of(curves.roc_curves(list("abcd"), targets, targets + rng.normal(size=(400, 4))))
    (name,) = [name for name in lines if name.startswith("macro")]
    x, y = lines[name].T
    assert np.trapezoid(y, x) == pytest.approx(float(name.rpartition(" ")[2]), abs=4e-3)


def test_a_class_nobody_has_counts_for_nothing():
    targets = np.array([[1, 0, 0], [0, 1, 0]])
    scores = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    names = list(lines_of(curves.roc_curves(["a", "b", "never"], targets, scores)))
    assert "macro mean, AUC 1.000" in names and not any("never" in name for name in names)


def test_average_precision_by_hand():
    # ranked: right, wrong, right: (1/1 + 2/3) / 2 = 0.833
    figure = curves.precision_recall_curves(["a"], np.array([[1], [0], [1]]), np.array([[0.9], [0.8], [0.7]]))
    assert "a, 0.833" in lines_of(figure)
    assert "mean average precision 0.833" in figure.axes[0].get_title(loc="left")


def test_errors_of_a_regression_by_hand():
    # errors 1, -3: mean absolute 2, root mean square sqrt 5 = 2.236
    axes = plots.regression_scatter(np.array([0.0, 5.0]), np.array([1.0, 2.0]), "value").axes[0]
    assert "mean absolute error 2, root mean square 2.24" in axes.get_title(loc="left")
    assert axes.collections[0].get_offsets().tolist() == [[0, 1], [5, 2]]


def test_learning_curves_put_training_and_validation_in_one_panel(tmp_path):
    (tmp_path / "history.csv").write_text(
        "step,train/loss,val/loss,val/answer/accuracy,test/x\n0,2.0,,,\n9,1.0,1.5,0.4,1\n"
    )
    drawn = plots.write_learning_curves(RunFolder(tmp_path))
    decision_heads = {axes.get_title(loc="left"): axes for axes in drawn["learning_curves"].axes}
    assert list(decision_heads) == ["loss", "answer/accuracy"]
    lines = {line.get_label(): line.get_xydata().tolist() for line in decision_heads["loss"].get_lines()}
    assert lines == {"train": [[0, 2], [9, 1]], "val": [[9, 1.5]]}
    assert (tmp_path / "plots" / "learning_curves.png").is_file()


def test_no_history_no_picture(tmp_path):
    assert plots.write_learning_curves(RunFolder(tmp_path)) == {}


def test_each_task_gets_the_pictures_of_its_kind(tmp_path):
    kinds = {"answer": "classification", "properties": "multilabel", "value": "regression", "nobody": "regression"}
    table = PredictionTable(kinds | {"tags": "other", "pairs": "retrieval"})
    probabilities = [{"a": 0.9, "b": 0.1}, {"a": 0.2, "b": 0.8}]
    numbers = [{"prediction": 1.5}, {"prediction": 2.0}]
    table.add(
        [0, 1],
        {
            "answer": [{"prediction": max(p, key=p.get), "probabilities": p} for p in probabilities],
            "properties": [{"prediction": [max(p, key=p.get)], "probabilities": p} for p in probabilities],
            "value": numbers,
            "nobody": numbers,
            "tags": [{"prediction": ["x"]}, {"prediction": []}],
            "pairs": [{"prediction": {"text-image": 0.5}}, {"prediction": {}}],
        },
        {"answer": ["a", "b"], "properties": [["a"], []], "value": [1.0, 2.0], "nobody": [None] * 2, "tags": [[], []]}
        | {"pairs": [None] * 2},
    )
    drawn = plots.write_plots(table, "test", tmp_path / "plots")
    expected = [
        *("answer/confusion", "answer/roc", "answer/precision_recall", "answer/reliability", "answer/risk_coverage"),
        *("properties/roc", "properties/precision_recall", "properties/reliability", "value/scatter"),
    ]
    assert list(drawn) == [f"test/{name}" for name in expected]
    files = {path.name for path in (tmp_path / "plots").iterdir()}
    assert files == {f"test_{name.replace('/', '_')}.png" for name in expected}
    for name in files:
        extent = np.asarray(Image.open(tmp_path / "plots" / name).convert("L"))
        assert extent.min() < 100 and extent.max() == 255  # something is drawn on white


def test_figures_are_gone_when_nobody_holds_them(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    figure = plots.regression_scatter(np.array([0.0, 5.0]), np.array([1.0, 2.0]))
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []
    held = weakref.ref(figure)
    del figure
    gc.collect()
    assert held() is None


@pytest.mark.parametrize("name", ["$a_$", "$", "\\$a_$", "a$b", "\\frac", "$1 to $2", "x\x1b"])
def test_a_name_is_no_formula(name, tmp_path):
    shown = figures.plot_text(name)
    assert not is_math_text(shown) and "\x1b" not in shown
    figure, axes = figures.new_figure(2, 2)
    axes.set_xticks([0], [figures.shorten(name)])
    figures.label(axes, name, name, name)
    figures.save(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size


def test_letters_that_the_font_lacks_give_no_warnings_and_an_installed_font_is_asked(tmp_path, monkeypatch, recwarn):
    figure = plots.confusion_matrix(["正面", "b"], [0, 1], [0, 1], "标签")
    figures.save(figure, tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size[0] > 100
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
    monkeypatch.setattr(figures, "fallback_fonts", lambda: ("DejaVu Serif",))
    figures.save(figure, tmp_path / "b.png")
    families = {
        text.get_text(): text.get_fontfamily() for text in figure.findobj(lambda part: hasattr(part, "get_text"))
    }
    assert families["正面"] == ["sans-serif", "DejaVu Serif"] and families["b"] == ["sans-serif"]


def test_the_fonts_that_are_asked_are_installed():
    from matplotlib.font_manager import fontManager

    assert set(figures.fallback_fonts()) == set(figures.WIDE_FONTS) & set(fontManager.get_font_names())
