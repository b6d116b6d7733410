"""Speech recognition beside a decoder in one run: interruptions, evaluation, trackers, and the rates of learning."""

import json
import sys

import pandas as pd
import pytest
import torch
from omegaconf import open_dict
from pytorch_lightning.callbacks import Callback

from mmbert.training.run import run

pytestmark = pytest.mark.slow

SMALL = "{hidden_size: 16, num_hidden_layers: 1, intermediate_size: 16}"
OPTIONS = (
    *(f"tasks.{name}=null" for name in ("answer", "seen", "heard", "operation", "properties", "value")),
    *("+task@tasks.said=transcription", "tasks.said.column=heard", "tasks.said.n_best=3", "tasks.said.lr_scale=0.5"),
    *("+task@tasks.told=generation", "tasks.told.column=statement", "tasks.told.decoder=tiny"),
    *(f"tasks.told.config={SMALL}", "tasks.told.vocab_size=60", "tasks.told.max_length=6", "tasks.told.lr_scale=0.1"),
    *("fusion=mean", "fusion.dropout=0.3", "data.batch_size=16", "trainer.max_epochs=3", "trainer.log_every_n_steps=1"),
    *("checkpoint.every_minutes=0.0000001", "callbacks.early_stopping.patience=9", "optimizer.lr=0.01"),
)
#: Steps after which the machine is gone: within the second of three epochs of three batches.
LAST_STEP = 5


class Gone(Callback):
    """Fails before a step, as a machine does."""

    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == LAST_STEP:
            raise RuntimeError("the machine is gone")


@pytest.fixture(scope="module")
def whole(compose_tiny, tmp_path_factory):
    """The folder of the run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    run(compose_tiny(*OPTIONS, "logger=tensorboard"), folder)
    return folder


def test_a_resumed_run_ends_as_the_whole_one(whole, compose_tiny, tmp_path, monkeypatch, what_is_left):
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Gone.__module__])
    cfg = compose_tiny(*OPTIONS, "logger=tensorboard")
    broken = cfg.copy()
    with open_dict(broken):
        broken.callbacks.gone = {"_target_": f"{__name__}.Gone"}
    with pytest.raises(RuntimeError, match="the machine is gone"):
        run(broken, tmp_path)
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == LAST_STEP
    run(cfg, tmp_path, resume=True)
    expected, got = what_is_left(whole), what_is_left(tmp_path)
    for part in expected:
        assert got[part] == expected[part], part
    # the resumed optimiser goes on with every group's own peak rate
    for folder in (whole, tmp_path):
        last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
        groups = last["optimizer_states"][0]["param_groups"]
        rates = {group["name"].partition("/")[0]: group["initial_lr"] for group in groups}
        assert rates["tasks.said"] == pytest.approx(0.005) and rates["tasks.told"] == pytest.approx(0.001)
        assert rates["model"] == pytest.approx(0.01)


def test_a_measured_model_has_the_numbers_of_its_run(whole, tmp_path, monkeypatch):
    from mmbert.cli import evaluate

    monkeypatch.setattr("sys.argv", ["mmbert-evaluate", f"model={whole}", "split=test", f"out={tmp_path}/again"])
    evaluate.main()
    first = json.loads((whole / "metrics.json").read_text())
    again = json.loads((tmp_path / "again" / "evaluation.json").read_text())
    names = [name for name in first if name.startswith(("test/said/", "test/told/"))]
    assert {"test/said/wer", "test/said/cer_beam", "test/told/bleu", "test/told/rougeL"} <= set(names)
    assert {name: again[name] for name in names} == pytest.approx({name: first[name] for name in names}, abs=1e-5)


def test_trackers_have_the_curves_and_the_end_of_both_tasks(whole):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = pd.read_csv(whole / "history.csv")
    for name in ("val/said/wer", "val/said/cer", "val/said/loss", "val/told/loss"):
        assert history[name].notna().sum() == 3, name
    metrics = json.loads((whole / "metrics.json").read_text())
    found = EventAccumulator(str(next(whole.rglob("events.out.tfevents*")).parent)).Reload()
    scalars = set(found.Tags()["scalars"])
    assert {"val/said/wer", "val/told/loss", "test/said/wer", "test/told/bleu"} <= scalars
    assert found.Scalars("test/told/bleu")[-1].value == pytest.approx(metrics["test/told/bleu"], abs=1e-4)
    assert len(found.Scalars("val/said/wer")) >= 3
