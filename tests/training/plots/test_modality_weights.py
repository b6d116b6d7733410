"""Weights of modalities over the epochs: the same numbers in the wandb chart, in TensorBoard and as a picture."""

import json
import re

import pytest

from mmbert.runs.folder import RunFolder
from mmbert.runs.modality_weights import curves_over_epochs
from mmbert.training.loggers.group import start_loggers
from mmbert.training.plots.modality_weights import write_modality_weights

BY_EPOCH = [
    {"epoch": 1, "share/out": {"modalities": ["text", "audio"], "mean": [0.6, None]}},
    {"epoch": 0, "share/out": {"modalities": ["text", "audio"], "mean": [0.5, 0.25]}},
    {"epoch": 2, "share/out": {"modalities": ["text", "audio"], "mean": [0.75, 0.125]}},
]
TEXT, AUDIO = [(1, 0.5), (2, 0.6), (3, 0.75)], [(1, 0.25), (3, 0.125)]


def test_curves_are_in_order_and_skip_what_was_not_measured():
    assert curves_over_epochs(BY_EPOCH) == {"share/out": {"text": TEXT, "audio": AUDIO}}
    assert curves_over_epochs([]) == {}


def test_the_picture_has_a_line_a_modality(tmp_path):
    figures = write_modality_weights(BY_EPOCH, tmp_path)
    (axes,) = figures["val/gates/share/out"].axes
    lines = {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in axes.get_lines()}
    assert lines == {"text": TEXT, "audio": AUDIO}
    assert [path.name for path in tmp_path.iterdir()] == ["val_gates_share_out.png"]


def test_wandb_has_a_chart_with_a_line_a_modality_and_the_model_as_an_artifact(tmp_path, monkeypatch, offline_wandb):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    options = {"kind": "wandb", "project": "mmbert-tests", "log_model": True}
    loggers = start_loggers(options, RunFolder(tmp_path), {"study": {"name": "my_study"}, "seed": 1})
    loggers.show_modality_weights(BY_EPOCH)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"a": 1}')
    loggers.show_model(tmp_path / "model")
    loggers.close()
    story = offline_wandb.story(tmp_path)
    assert (story["group"], story["job_type"], story["tags"]) == ("my_study", "train", ["seed:1"])
    (table,) = tmp_path.glob("wandb/offline-run-*/files/media/table/charts/val/gates/share/*.json")
    content = json.loads(table.read_text())
    assert content["columns"] == ["step", "lineKey", "lineVal"]
    assert content["data"] == [[x, "text", y] for x, y in TEXT] + [[x, "audio", y] for x, y in AUDIO]
    assert "wandb/lineseries/v0" in json.dumps(story["config"])  # a custom chart, not a bare table
    kept = offline_wandb.artifact(tmp_path, "model-")
    assert kept["config.json"].read_text() == '{"a": 1}'


def test_tensorboard_puts_what_is_logged_each_epoch_into_one_chart(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.custom_scalar import layout_pb2

    loggers = start_loggers({"kind": "tensorboard"}, RunFolder(tmp_path), {"seed": 1, "fusion": {"out_dim": 8}})
    for step, value in TEXT:
        loggers.loggers[-1].log_metrics({"diagnostics/val/share/out/text": value}, step=step)
    loggers.show_modality_weights(BY_EPOCH)
    loggers.show_summary({"test/answer/accuracy": 0.5})
    loggers.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    logged = [(e.step, pytest.approx(e.value)) for e in events.Scalars("diagnostics/val/share/out/text")]
    assert logged == TEXT
    (event,) = events.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    (chart,) = layout.category[0].chart
    wanted = [f"diagnostics/val/share/out/{name}" for name in ("text", "audio")]
    assert chart.title == "share/out"
    assert [bool(re.match(tag, name)) for tag, name in zip(chart.multiline.tag, wanted, strict=True)] == [True, True]
    plugins = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"fusion.out_dim" in plugins and b"seed" in plugins
