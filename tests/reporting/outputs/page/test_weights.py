"""The weights of modalities on the page: means over runs as bars, means over epochs as lines."""

import json

from mmbert.reporting.outputs.page.html import Page
from mmbert.reporting.outputs.page.weights import weights_section


def write_run(folder, mean, by_epoch=()):
    folder.mkdir()
    epochs = [
        {"epoch": epoch, "gate": {"modalities": ["text", "image"], "mean": values}}
        for epoch, values in enumerate(by_epoch)
    ]
    measured = {"test": {"gate": {"modalities": ["text", "image"], "mean": mean}}, "val_by_epoch": epochs}
    (folder / "diagnostics.json").write_text(json.dumps(measured))
    return folder


def test_bars_and_lines(tmp_path):
    runs = [
        write_run(tmp_path / "a", [0.25, 0.75], [[0.5, 0.5], [0.25, None]]),
        write_run(tmp_path / "b", [0.75, None]),
    ]
    page = Page("p")
    bars, lines = weights_section(page, {"gated": runs, "mean": [tmp_path / "gone"]}, "test")
    assert "figure-0" in bars and lines.startswith("<h3>Over the epochs</h3>") and "figure-1" in lines
    (bar,) = page.figures[0]["data"]
    assert (bar["name"], bar["x"], bar["y"]) == ("gated", ["text", "image"], [0.5, 0.75])
    text, image = page.figures[1]["data"]
    assert (text["x"], text["y"]) == ([1, 2], [0.5, 0.25]), "the end of epoch 0 stands at 1"
    assert (image["x"], image["y"]) == ([1], [0.5])
    assert page.captions == [
        "gate on test, means over runs",
        "gated: gate over the epochs, means over val, a line a run and modality",
    ]


def test_runs_without_weights_show_nothing(tmp_path):
    page = Page("p")
    assert weights_section(page, {"mean": [tmp_path]}, "test") == ["", ""] and page.figures == []
