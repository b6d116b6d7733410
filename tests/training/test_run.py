"""A whole run: what it leaves, that its numbers belong together, that the same seed gives the same numbers."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.encoders.text import TextEncoder
from mmbert.training.callbacks import console
from mmbert.training.run import announce_run, run

COVERS = ("build",)


def test_what_may_mislead_is_said_before_training(tmp_path, monkeypatch, capsys):
    rows = ["a,train,f", "b,Train,f", "c,val,g", "d,test,f", "e,,g"]
    (tmp_path / "t.csv").write_text("\n".join(["text,split,family", *rows]) + "\n")
    monkeypatch.setattr(console, "announce", lambda *given: None)
    data = MultimodalData(tmp_path / "t.csv", split={"group": "family"})
    announce_run(SimpleNamespace(data=data, model=None, initial_weights={}, monitor=SimpleNamespace(note="")), tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert "rows of 'test' whose group (column 'family') is in 'train' too (row 4 (line 5))" in said
    assert "rows whose 'split' is 'Train' count as 'train' (row 2 (line 3))" in said
    assert "rows whose 'split' is empty are in no split and are not used (row 5 (line 6))" in said


def test_how_many_inputs_are_cut_is_said_before_training(tmp_path, monkeypatch, capsys):
    rows = ["text,split", "a,train", f"{'b' * 40},train", "c,val", f"{'d' * 60},test"]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.setattr(console, "announce", lambda *given: None)
    data = MultimodalData(tmp_path / "t.csv", num_workers=0)
    data.processors = {"text": TextEncoder("tiny", max_tokens=32).processor}
    announce_run(SimpleNamespace(data=data, model=None, initial_weights={}, monitor=SimpleNamespace(note="")), tmp_path)
    assert (
        "text: 2 of 4 rows are longer than text.max_tokens=32 and cut (median 52, longest 62 tokens); raise it with "
        "encoders.text.max_tokens=... (at most 128)"
    ) in capsys.readouterr().out


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_a_run_leaves_everything(finished_run):
    left = {str(path.relative_to(finished_run)) for path in finished_run.rglob("*") if path.is_file()}
    for name in (
        "config.yaml",
        "environment.json",
        "history.csv",
        "metrics.json",
        "predictions/val.parquet",
        "predictions/test.parquet",
        "predictions/test_missing.parquet",
        "model/config.json",
        "model/model.safetensors",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
    ):
        assert name in left
    assert "error.json" not in left
    assert OmegaConf.load(finished_run / "config.yaml").fusion.out_dim == 16


def test_metrics_say_what_they_were_measured_with(finished_run):
    facts = metrics_of(finished_run)
    assert facts["seed"] == 0
    assert facts["wall_seconds"] >= facts["fit_seconds"] + facts["measure_seconds"] > facts["measure_seconds"] > 0
    assert facts["peak_memory_mib"] > 100  # torch alone is more
    assert facts["checkpoint"]["monitor"] == "val/mean_loss"
    # the monitored value of the checkpoint, and validation measured again with its weights
    assert facts["checkpoint"]["value"] == pytest.approx(facts["val/mean_loss"], abs=1e-6)
    tasks = [key for key in facts if key.startswith("val/") and key.endswith("/loss") and key.count("/") == 2]
    assert len(tasks) > 2 and facts["val/mean_loss"] == pytest.approx(np.mean([facts[key] for key in tasks]), rel=1e-5)


def test_accuracy_is_the_share_of_right_predictions_in_the_table(finished_run):
    facts = metrics_of(finished_run)
    for split, size in {"val": 16, "test": 17, "test_missing": 12}.items():
        said = pd.read_parquet(finished_run / "predictions" / f"{split}.parquet")
        assert len(said) == size  # every sample once, the incomplete last batch too
        for task in ("answer", "seen", "heard", "operation"):
            right = (said[f"{task}/prediction"] == said[f"{task}/target"]).mean()
            assert facts[f"{split}/{task}/accuracy"] == pytest.approx(right, abs=1e-6)
        mae = (said["value/prediction"] - said["value/target"]).abs().mean()
        assert facts[f"{split}/value/mae"] == pytest.approx(mae, rel=1e-5)


def test_predictions_name_the_rows_of_the_table(finished_run, digits):
    table = pd.read_csv(digits, dtype=str, keep_default_na=False)
    said = pd.read_parquet(finished_run / "predictions" / "test.parquet")
    rows = table.loc[said["row"]]
    assert (rows["split"] == "test").all()
    assert (rows["answer"].to_numpy() == said["answer/target"].to_numpy()).all()
    assert np.allclose(rows["value"].astype(float), said["value/target"])


def test_the_checkpoint_is_the_best_epoch_on_validation(finished_run):
    history = pd.read_csv(finished_run / "history.csv")
    best = history["val/mean_loss"].min()
    assert metrics_of(finished_run)["checkpoint"]["value"] == pytest.approx(best, abs=1e-6)


def test_the_history_files_each_number_under_the_epoch_and_step_that_it_belongs_to(compose_tiny, tmp_path):
    # the first epoch is the best by its loss: the second trains with a learning rate that spoils everything
    spoiled = ["trainer.max_epochs=2", "optimizer.lr=0.3", "scheduler=constant", "optimizer.weight_decay=0"]
    run(compose_tiny("logger=csv", "balance=uncertainty", "monitor=val/answer/loss", *spoiled), tmp_path)
    history, facts = pd.read_csv(tmp_path / "history.csv"), metrics_of(tmp_path)
    validated = history[history["val/loss"].notna()]
    assert validated["epoch"].tolist() == [0, 1]  # one validation an epoch, and none of the chosen checkpoint
    tested = history[history["test/loss"].notna()]
    chosen = facts["checkpoint"]
    assert chosen["epoch"] == int(validated["val/answer/loss"].to_numpy().argmin())
    assert tested[["epoch", "step"]].to_numpy().tolist() == [[chosen["epoch"], chosen["step"]]]
    assert tested["test/answer/accuracy"].item() == pytest.approx(facts["test/answer/accuracy"])
    weights = {name: task.weight for name, task in OmegaConf.load(tmp_path / "config.yaml").tasks.items()}
    sums = sum(weight * validated[f"val/{name}/loss"].to_numpy() for name, weight in weights.items())
    assert validated["val/loss_sum"].to_numpy() == pytest.approx(sums, rel=1e-5)
    assert abs(validated["val/loss_sum"] - validated["val/loss"]).min() > 0.1  # the balance's own total is another
    tested_sum = sum(weight * facts[f"test/{name}/loss"] for name, weight in weights.items())
    assert facts["test/loss_sum"] == pytest.approx(tested_sum)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(compose_tiny, tmp_path):
    def numbers(name, *overrides):
        (tmp_path / name).mkdir()
        run(compose_tiny("trainer.max_epochs=1", "logger=none", *overrides), tmp_path / name)
        return {key: value for key, value in metrics_of(tmp_path / name).items() if "/" in key}

    first = numbers("first")
    assert numbers("second") == first
    assert numbers("workers", "data.num_workers=2") == first
    assert numbers("other", "seed=1") != first


def test_a_test_metric_never_chooses_the_checkpoint(compose_tiny, tmp_path):
    with pytest.raises(ConfigError, match="chosen on the validation split alone"):
        run(compose_tiny("monitor=test/answer/accuracy"), tmp_path)
    assert json.loads((tmp_path / "error.json").read_text())["type"] == "ConfigError"


def test_a_bare_label_column_is_a_task_by_itself(tmp_path, compose_tiny):
    rows = [f"word{i % 2} {i},{'ab'[i % 2]},{split}" for i in range(20) for split in ("train", "val", "test")]
    (tmp_path / "my.csv").write_text("text,label,split\n" + "\n".join(rows) + "\n")
    cfg = compose_tiny(f"data.path={tmp_path / 'my.csv'}", "image=none", "audio=none", "logger=none")
    cfg.tasks = {}
    run(cfg, tmp_path)
    assert "test/label/accuracy" in metrics_of(tmp_path)


def test_a_modality_without_a_column_is_told_with_the_way_out(tmp_path, compose_tiny):
    (tmp_path / "my.csv").write_text("text,label,split\nx,a,train\ny,b,val\nz,a,test\n")
    with pytest.raises(DataError, match="has no column 'image'.*image=none"):
        run(compose_tiny(f"data.path={tmp_path / 'my.csv'}", "logger=none"), tmp_path)


def test_a_label_unseen_in_training_is_told_with_its_row(tmp_path, compose_tiny):
    (tmp_path / "my.csv").write_text("text,label,split\nx,cat,train\ny,dog,train\nz,cat,val\nw,dgo,test\n")
    cfg = compose_tiny(f"data.path={tmp_path / 'my.csv'}", "image=none", "audio=none", "logger=none")
    cfg.tasks = {}
    with pytest.raises(DataError, match=r"my.csv, row 4.*'dgo'.*Did you mean 'dog'"):
        run(cfg, tmp_path)


@pytest.mark.parametrize(
    "strategy",
    ["concat", "cross_attention", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mean", "product"))],
)
@pytest.mark.parametrize("modalities", ["text", "image_audio"])
def test_every_strategy_trains_on_every_number_of_modalities(strategy, modalities, compose_tiny, tmp_path):
    overrides = [f"fusion={strategy}", f"modalities={modalities}", "trainer.max_epochs=1", "logger=none"]
    keep = [f"{name}=tiny" for name in modalities.split("_")]
    options = ["text=none", "image=none", "audio=none", *keep, *overrides[:1], *overrides[2:]]
    score = run(compose_tiny(*options, "monitor=val/answer/accuracy"), tmp_path)
    assert 0 <= score <= 1


@pytest.mark.parametrize(
    "options",
    [
        ["balance=uncertainty"],
        ["balance=upgrad", "trainer.precision=bf16-mixed", "balance_modalities=ogm_ge", "optimizer.l1=1e-5"],
        ["balance=famo", "trainer.accumulate_grad_batches=2"],
        ["optimizer.l1=1e-5", "scheduler=constant"],
        ["trainer.accumulate_grad_batches=2", "trainer.precision=bf16-mixed"],
        ["callbacks=none"],
        ["tasks.answer.class_weights=balanced", "tasks.answer.label_smoothing=0.1"],
        ["debug=overfit", "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1"],
    ],
    ids=lambda options: options[0],
)
def test_options_of_training_run(options, compose_tiny, tmp_path):
    run(compose_tiny("trainer.max_epochs=1", "logger=none", *options), tmp_path)
    facts = metrics_of(tmp_path)
    assert np.isfinite(facts["test/loss"])
    assert (facts["checkpoint"]["path"] is None) == ("none" in options[0] or "overfit" in options[0])


@pytest.mark.slow
def test_a_compiled_model_learns_the_same(compose_tiny, tmp_path):
    for name, options in (("eager", []), ("compiled", ["compile=true"])):
        # no dropout: compiled code draws other random numbers
        still = "encoders.text.config={hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0}"
        cfg = compose_tiny("trainer.max_epochs=1", "logger=none", "fusion.dropout=0", still, *options)
        for task in cfg.tasks.values():
            task.dropout = 0.0
        run(cfg, tmp_path / name)
    eager, compiled = metrics_of(tmp_path / "eager"), metrics_of(tmp_path / "compiled")
    assert compiled["test/loss"] == pytest.approx(eager["test/loss"], rel=1e-3)


def test_frozen_weights_stay_and_others_move(compose_tiny, tmp_path):
    from safetensors.torch import load_file

    from mmbert.training.build import build

    cfg = compose_tiny("trainer.max_epochs=1", "logger=none", "encoders.text.frozen=true")
    import pytorch_lightning as pl

    pl.seed_everything(cfg.seed, verbose=False)
    before = {name: tensor.clone() for name, tensor in build(cfg).model.state_dict().items()}
    run(cfg, tmp_path)
    after = load_file(tmp_path / "model" / "model.safetensors")
    moved = {
        name.split(".")[1]
        for name in after
        if name.startswith("encoders.") and not torch.equal(after[name], before[name])
    }
    assert moved == {"image", "audio"}


def test_plots_are_drawn_unless_they_are_refused(finished_run, compose_tiny, tmp_path):
    assert not (finished_run / "plots").exists() and not OmegaConf.load(finished_run / "config.yaml").plots
    others = [f"~tasks.{task}" for task in compose_tiny().tasks if task != "answer"]
    run(compose_tiny("trainer.max_epochs=1", "plots=true", *others), tmp_path)
    drawn = {path.name for path in (tmp_path / "plots").iterdir()}
    assert {"learning_curves.png", "test_answer_confusion.png"} <= drawn
