"""Every task's numbers, predictions and model are of its own best checkpoint; the rest is the run's."""

import json

import numpy as np
import pandas as pd
import pytest

from mmbert.model import MultimodalModel
from mmbert.training.run import run

TASKS = {"answer": ("accuracy", max), "heard": ("accuracy", max), "value": ("mae", min)}


@pytest.fixture(scope="module")
def folder(compose_tiny, tmp_path_factory):
    place = tmp_path_factory.mktemp("per_task")
    lively = ["trainer.max_epochs=4", "optimizer.lr=0.1", "scheduler=constant", "logger=csv", "plots=false"]
    run(compose_tiny("checkpoint.per_task=true", "callbacks.early_stopping=null", *lively), place)
    return place


def test_each_tasks_numbers_are_those_of_its_best_validation(folder):
    facts, history = json.loads((folder / "metrics.json").read_text()), pd.read_csv(folder / "history.csv")
    validated = history[history["val/loss"].notna()]
    chosen = facts["checkpoints"]
    assert set(TASKS) <= set(chosen) and facts["checkpoint"]["monitor"] == "val/mean_loss"
    for task, (metric, best) in TASKS.items():
        name = f"val/{task}/{metric}"
        assert chosen[task]["monitor"] == name and chosen[task]["path"] == f"checkpoints/best_{task}.ckpt"
        assert facts[name] == pytest.approx(best(validated[name]), abs=1e-6)
        assert validated[name].tolist()[chosen[task]["epoch"]] == pytest.approx(facts[name], abs=1e-6)
    epochs = {chosen[task]["epoch"] for task in chosen} | {facts["checkpoint"]["epoch"]}
    assert len(epochs) > 1  # else this tests nothing
    # what is of all tasks is of the run's checkpoint
    assert facts["val/mean_loss"] == pytest.approx(validated["val/mean_loss"].min(), rel=1e-5)


def test_the_table_says_whose_checkpoints_its_numbers_are_of(compose_tiny, tmp_path, capsys):
    options = ["trainer.max_epochs=1", "logger=none", "plots=false"]
    run(compose_tiny(*options, "checkpoint.per_task=true"), tmp_path / "each")
    assert "of each task by its own checkpoint" in " ".join(capsys.readouterr().out.split())


def test_predictions_are_those_of_the_numbers(folder):
    facts, said = (
        json.loads((folder / "metrics.json").read_text()),
        pd.read_parquet(folder / "predictions/test.parquet"),
    )
    for task in ("answer", "heard"):
        right = (said[f"{task}/prediction"] == said[f"{task}/target"]).mean()
        assert facts[f"test/{task}/accuracy"] == pytest.approx(right, abs=1e-6)
    errors = (said["value/prediction"] - said["value/target"]).abs().mean()
    assert facts["test/value/mae"] == pytest.approx(errors, rel=1e-5)


def test_each_task_has_a_model_and_files_are_few(folder):
    said = pd.read_parquet(folder / "predictions/test.parquet").head(3)
    sample = [{"text": "Add the two numbers."}, {"text": "What is it?"}]
    answers = {}
    for task in TASKS:
        model = MultimodalModel.from_pretrained(folder / "models" / task)
        answers[task] = model.predict(sample)
        assert set(answers[task][0]) >= set(TASKS)
    MultimodalModel.from_pretrained(folder / "model")
    assert len(said) == 3 and len(list((folder / "checkpoints").glob("*.ckpt"))) == 2 + len(
        json.loads((folder / "metrics.json").read_text())["checkpoints"]
    )
    values = [answers[task][0]["value"]["prediction"] for task in TASKS]
    assert np.ptp(values) > 0  # other weights
