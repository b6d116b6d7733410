"""Whole runs with the methods that balance modalities: none changes nothing, and each is resumed to the bit."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from omegaconf import open_dict
from pytorch_lightning.callbacks import Callback

from mmbert.core.errors import ConfigError
from mmbert.training.run import run

OPTIONS = (
    *("trainer.max_epochs=3", "data.batch_size=16", "checkpoint.every_minutes=0.0000001", "plots=false"),
    *("fusion=mean", "fusion.dropout=0.3", "callbacks.early_stopping.patience=9"),
)
#: What a BERT drops by itself.
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")
#: Epochs of three steps: estimates of the weights lie on both sides of the interruption.
METHODS = {
    "ogm_ge": ("balance_modalities.alpha=0.5",),
    "gradient_blending": (),
    "modality_dropout_schedule": ("balance_modalities.epochs=2",),
}


class Gone(Callback):
    """Fails before a step, as a machine does."""

    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == 7:
            raise RuntimeError("the machine is gone")


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_ends_as_the_whole_one(compose_tiny, tmp_path, monkeypatch, what_is_left, method):
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Gone.__module__])
    cfg = compose_tiny(*OPTIONS, f"balance_modalities={method}", *METHODS[method])
    (tmp_path / "whole").mkdir()
    run(cfg, tmp_path / "whole")
    broken = cfg.copy()
    with open_dict(broken):
        broken.callbacks.gone = {"_target_": f"{__name__}.Gone"}
    (tmp_path / "killed").mkdir()
    with pytest.raises(RuntimeError, match="the machine is gone"):
        run(broken, tmp_path / "killed")
    run(cfg, tmp_path / "killed", resume=True)
    whole, resumed = what_is_left(tmp_path / "whole"), what_is_left(tmp_path / "killed")
    for part in whole:
        assert resumed[part] == whole[part], part


@pytest.mark.slow
def test_without_effect_a_method_leaves_the_run_as_it_is_to_the_bit(compose_tiny, tmp_path, what_is_left):
    """Measuring draws nothing and moves nothing: OGM with alpha 0 is the run without it; weights alone are blended."""
    options = ("trainer.max_epochs=1", *OPTIONS[1:])
    left = {}
    cases = {
        "none": (),
        "ogm": ("balance_modalities=ogm_ge", "balance_modalities.alpha=0", "balance_modalities.noise=false"),
        "acting": ("balance_modalities=ogm_ge", "balance_modalities.alpha=3"),
    }
    for name, more in cases.items():
        (tmp_path / name).mkdir()
        run(compose_tiny(*options, *more), tmp_path / name)
        left[name] = what_is_left(tmp_path / name)
    assert left["ogm"]["model"] == left["none"]["model"] and left["ogm"]["metrics"] == left["none"]["metrics"]
    assert left["acting"]["model"] != left["none"]["model"]
    history = pd.read_csv(tmp_path / "acting" / "history.csv")
    assert history["train/modulation/text"].dropna().between(0, 1).all()
    assert "train/modulation/text" not in pd.read_csv(tmp_path / "none" / "history.csv")


@pytest.mark.slow
def test_weights_are_estimated_as_the_run_goes(compose_tiny, tmp_path):
    cfg = compose_tiny(*OPTIONS, "balance_modalities=gradient_blending")
    run(cfg, tmp_path)
    history = pd.read_csv(tmp_path / "history.csv")
    weights = history[[f"train/blend/{name}" for name in ("text", "image", "audio", "joint")]].dropna()
    assert weights.iloc[0].tolist() == pytest.approx([0.25] * 4)
    assert weights.iloc[1].tolist() == pytest.approx([0.25] * 4)
    assert weights.iloc[2].tolist() != pytest.approx([0.25] * 4)
    assert weights.sum(1).tolist() == pytest.approx([1.0] * 3, abs=1e-6)
    assert {"val/alone/text/answer/loss", "train/alone/audio/value/loss"} <= set(history)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ogm_ge", "gradient_blending"])
def test_two_processes_train_as_one(tmp_path, method):
    """Without dropout, and with every sample complete and labelled, each step sees the same samples and gradients."""
    lines = [
        f"word{i % 2} {i},other{i % 3} {i},{'ab'[i % 2]},{split}"
        for i in range(16)
        for split in ("train", "val", "test")
    ]
    table = tmp_path / "my.csv"
    table.write_text("\n".join(["text,caption,label,split", *lines]) + "\n")
    words = [
        *("data=manifest", f"data.path={table}", "text=tiny", "image=none", "audio=none", "data.num_workers=0"),
        *("+text@encoders.caption=tiny", "+data.columns.caption=caption", "fusion=mean", "fusion.out_dim=8"),
        *("+task@tasks.label=classification", "tasks.label.column=label", "tasks.label.dropout=0", "fusion.dropout=0"),
        *("trainer.max_epochs=3", "logger=csv", "plots=false"),
        *(f"balance_modalities={method}", "store.enabled=false"),
        *(f"+encoders.{name}.config.{option}=0" for name in ("text", "caption") for option in DROPOUTS),
    ]
    histories = {}
    for trainer, batch in (("cpu", 8), ("ddp_cpu", 4)):
        program = [sys.executable, "-m", "mmbert.cli.train", *words, f"trainer={trainer}", f"data.batch_size={batch}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*program, f"hydra.run.dir={tmp_path / trainer}"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        histories[trainer] = pd.read_csv(tmp_path / trainer / "history.csv")
    told = [name for name in histories["cpu"] if "/alone/" in name or "modulation" in name or "/blend/" in name]
    assert len(told) >= 4
    pd.testing.assert_frame_equal(
        histories["ddp_cpu"][[*told, "val/loss"]], histories["cpu"][[*told, "val/loss"]], rtol=1e-4, atol=1e-5
    )


def test_two_ways_of_dropping_modalities_are_refused(compose_tiny, tmp_path):
    cfg = compose_tiny("balance_modalities=modality_dropout_schedule", "augment.modality_dropout=0.1")
    with pytest.raises(ConfigError, match="exclude each other"):
        run(cfg, tmp_path)
    assert json.loads((tmp_path / "error.json").read_text())["type"] == "ConfigError"
