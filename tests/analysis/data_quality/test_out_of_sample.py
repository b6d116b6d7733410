"""Predictions of rows that a model never saw, of real folds of a tiny run: nothing leaks; each has its place."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from mmbert.analysis.data_quality import out_of_sample
from mmbert.analysis.data_quality.folds import make_folds
from mmbert.analysis.data_quality.out_of_sample import predict_out_of_sample
from mmbert.analysis.data_quality.report import row_table, summary
from mmbert.analysis.data_quality.scored import all_contradictions, all_label_errors
from mmbert.cli import check_data
from mmbert.model import MultimodalModel
from mmbert.training.cross_fit import fit_on_rows

COVERS = ("report", "scored")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def predicted(compose_tiny, finished_run):
    """Predictions of 80 rows, and which rows each fold's model was fitted on."""
    cfg = compose_tiny("trainer.max_epochs=1")
    tasks = MultimodalModel.from_pretrained(finished_run / "model").named_tasks()
    tasks = {name: tasks[name] for name in ("operation", "properties", "value")}
    fitted = []

    def fit(rows, scratch):
        parts = fit_on_rows(cfg, rows, scratch)
        fitted.append({split: set(of.tolist()) for split, of in parts.data.rows.items()})
        return parts

    folds = list(make_folds(np.arange(80), np.zeros(80, int), None, 2, 0))
    return predict_out_of_sample(folds, fit, tasks, ["text", "image", "audio"], CPU), fitted


def test_no_row_is_predicted_by_a_model_that_saw_it(predicted):
    found, fitted = predicted
    assert len(fitted) == 2 and found.rows.tolist() == list(range(80))
    for row, fold in zip(found.rows.tolist(), found.fold.tolist(), strict=True):
        assert row in fitted[fold]["held_out"]
        assert row not in fitted[fold]["train"] | fitted[fold]["val"]


def test_unimodal_heads_are_fitted_on_train_and_validation_alone(monkeypatch):
    """A head that saw the held-out labels would find planted noise in none of them."""
    random = np.random.default_rng(0)
    labels, given = random.integers(3, size=90), []

    def spy(features, y, val_features, val_y, count):
        given.append((features, val_features))
        return out_of_sample_fit(features, y, val_features, val_y, count)

    out_of_sample_fit = out_of_sample.fit_head
    monkeypatch.setattr(out_of_sample, "fit_head", spy)
    vectors = random.standard_normal((90, 4))
    parts = {"train": slice(0, 50), "val": slice(50, 60), "held_out": slice(60, 90)}
    seen = {
        key: out_of_sample.Read(
            np.arange(90)[at], np.ones((len(labels[at]), 1), bool), {"text": vectors[at]}, {"t": labels[at]}, {}, {}, {}
        )
        for key, at in parts.items()
    }
    kept = out_of_sample.TaskPredictions(
        "classification", ["a", "b", "c"], labels, labels >= 0, np.zeros((90, 3)), np.zeros((90, 1, 1, 3)), labels >= 0
    )
    assert out_of_sample.unimodal_answers(kept, "t", 0, "text", seen).shape == (30, 1, 3)
    ((train, val),) = given
    np.testing.assert_array_equal(train, vectors[:50])
    np.testing.assert_array_equal(val, vectors[50:60])


def test_labels_are_those_of_the_tables_column(predicted, digits):
    found, _ = predicted
    written = pd.read_csv(digits, dtype=str, keep_default_na=False).iloc[found.rows]
    table = row_table(found, ["train"] * 80, all_label_errors(found), {}, [])
    assert table["operation/given"].fillna("").tolist() == written["operation"].tolist()
    values = pd.to_numeric(written["value"]).to_numpy(float)
    np.testing.assert_allclose(found.tasks["value"].labels, values, rtol=1e-5)


def test_the_worst_stand_first(predicted):
    found, _ = predicted
    errors, contradictions = all_label_errors(found), all_contradictions(found, 0)
    content = summary(found, ["train"] * 80, errors, contradictions, [])
    for name, of in errors.items():
        worst = [(not entry["label_error"], entry["quality"]) for entry in content["label_errors"][name]["worst"]]
        assert worst == sorted(worst)
        chosen = of.flagged if of.flagged.any() else ~np.isnan(of.quality)
        assert worst[0][1] == of.quality[chosen].min()
    for name, of in contradictions.items():
        worst = [entry["contradiction"] for entry in content["contradictions"][name]["worst"]]
        assert worst == sorted(worst, reverse=True) and worst[0] == np.nanmax(of.scores)
    table = row_table(found, ["train"] * 80, errors, contradictions, [])
    assert (table["operation/odd_one_out"].notna() == (found.present.sum(1) > 2)).all()


def test_everything_has_its_place(predicted, finished_run):
    found, _ = predicted
    operation = found.tasks["operation"]
    assert operation.predicted.shape == (80, 6) and np.allclose(operation.predicted.sum(1), 1, atol=1e-5)
    assert operation.unimodal.shape == (80, 3, 1, 6) and found.tasks["properties"].unimodal.shape == (80, 3, 6, 2)
    errors, contradictions = all_label_errors(found), all_contradictions(found, 0)
    assert set(errors) == {"operation", "properties", "value"} and set(contradictions) == {"operation", "properties"}
    table = row_table(found, ["train"] * 80, errors, contradictions, [])
    assert len(table) == 80 and table["operation/quality"].between(0, 1).all()
    content = summary(found, ["train"] * 80, errors, contradictions, [])
    worst = content["label_errors"]["operation"]["worst"]
    assert json.dumps(content, allow_nan=False) and worst[0]["given"] in operation.classes
    closed = summary(found, ["train"] * 80, errors, contradictions, [], samples=False)
    assert '"given"' not in json.dumps(closed) and '"says"' not in json.dumps(closed)
    assert not [name for name in row_table(found, ["a"] * 80, errors, contradictions, [], False) if "/given" in name]


@pytest.mark.slow
def test_the_command_finds_planted_label_errors(compose_tiny, tmp_path, monkeypatch):
    """Words that name their class; a tenth of the labels is wrong."""
    random = np.random.default_rng(0)
    words = {"cat": ("purring", "whiskers", "kitten"), "dog": ("barking", "leash", "puppy"), "cow": ("milk", "horns")}
    truth = random.choice(list(words), 240)
    wrong = random.random(240) < 0.1
    labels = [random.choice([c for c in words if c != t]) if w else t for t, w in zip(truth, wrong, strict=True)]
    texts = [f"{random.choice(words[t])} {random.integers(10**6)}" for t in truth]
    splits = np.where(np.arange(240) % 10 < 8, "train", np.where(np.arange(240) % 10 < 9, "val", "test"))
    pd.DataFrame({"text": texts, "kind": labels, "split": splits}).to_csv(tmp_path / "my.csv", index=False)
    monkeypatch.chdir(tmp_path)
    from hydra import compose, initialize_config_module

    from mmbert.training.run import run

    options = ["data=manifest", f"data.path={tmp_path / 'my.csv'}", "text=tiny", "image=none", "audio=none"]
    options += [
        "+task@tasks.kind=classification",
        "tasks.kind.column=kind",
        "fusion=mean",
        "logger=none",
        "trainer=cpu",
        "plots=false",
    ]
    options += ["trainer.max_epochs=12", "data.num_workers=0", "optimizer.lr=3e-3", "data.batch_size=16"]
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", overrides=options)
    run(cfg, tmp_path / "run")
    monkeypatch.setattr(
        sys, "argv", ["mmbert-check-data", f"model={tmp_path / 'run'}", "folds=3", "--csv", "a.csv", "--html", "a.html"]
    )
    check_data.main()
    table = pd.read_csv("a.csv").sort_values("row")
    name = next(column for column in table.columns if column.endswith("/quality"))
    assert roc_auc_score(wrong, -table[name]) > 0.85
    assert "Label errors" in (tmp_path / "a.html").read_text()
