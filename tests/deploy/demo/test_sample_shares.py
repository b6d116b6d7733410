"""Answers and shares of one sample: those of ``predict``, and of ``mmbert-explain`` for the same row."""

import csv
import sys

import numpy as np
import pytest

from mmbert.core.errors import MmbertError
from mmbert.deploy.demo.sample_shares import baseline_answers, blank_answer, contributions_of, explain_sample
from mmbert.model import MultimodalModel
from mmbert.runs.folder import RunFolder


@pytest.fixture(scope="module")
def model(finished_run):
    return MultimodalModel.from_pretrained(finished_run / "model")


@pytest.fixture(scope="module")
def rows(digits):
    """The rows of the table, by their number, files in full."""
    with digits.open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    for row in found:
        row |= {name: str(digits.parent / row[name]) for name in ("image", "audio") if row[name]}
    return found


def sample_of(row):
    return {name: row[name] or None for name in ("text", "image", "audio")}


@pytest.fixture(scope="module")
def explained(finished_run, tmp_path_factory):
    """What mmbert-explain writes of each row of the test split."""
    from mmbert.cli import explain

    out = tmp_path_factory.mktemp("explained")
    with pytest.MonkeyPatch.context() as patch:
        words = [f"model={finished_run}", f"out={out}", "split=test", "bootstraps=0", "device=cpu"]
        patch.setattr(sys, "argv", ["mmbert-explain", *words])
        explain.main()
    return list(csv.DictReader((out / "explanation.csv").open()))


def test_shares_are_those_of_mmbert_explain_for_the_same_row(model, finished_run, rows, explained):
    baseline, words = baseline_answers(model, RunFolder(finished_run))
    assert words == "the mean answer over the run's split test" and set(baseline) == set(model.named_tasks())
    for line in explained[:4]:
        found = explain_sample(model, sample_of(rows[int(line["row"])]), baseline)
        for task, contributions in found.contributions.items():
            for name, one in contributions.items():
                assert one.value == pytest.approx(float(line[f"{task}/value/{name}"]), abs=2e-5), (task, name)


def test_answers_with_and_without_a_modality_are_those_of_predict(model, finished_run, rows):
    sample = sample_of(rows[2])
    found = explain_sample(model, sample, baseline_answers(model, RunFolder(finished_run))[0])
    assert found.answers["answer"]["prediction"] == model.predict([sample])[0]["answer"]["prediction"]
    for name, answers in found.without.items():
        (alone,) = model.predict([{**sample, name: None}])
        for task, answer in answers.items():
            for label, share in answer.get("probabilities", {}).items():
                assert share == pytest.approx(alone[task]["probabilities"][label], abs=1e-5)
    assert list(found.without) == ["text", "image", "audio"]


def test_of_one_modality_all_of_the_answer_is_its_own(model, finished_run, rows):
    baseline, _ = baseline_answers(model, RunFolder(finished_run))
    found = explain_sample(model, {"text": rows[0]["text"], "image": None, "audio": ""}, baseline)
    assert found.without == {} and found.contributions["answer"]["text"].share == 1


def test_shapley_values_of_two_modalities_by_hand():
    # class a: 0.5 without any, 0.7 with x, 0.6 with y, 0.9 with both: φ_x = (0.2 + 0.3) / 2, φ_y = (0.1 + 0.2) / 2
    answers = [{"prediction": "a", "probabilities": {"a": p, "b": 1 - p}} for p in (0.7, 0.6, 0.9)]
    found = contributions_of(answers, np.array([0.5, 0.5]), "classification", ["x", "y"])
    assert (found["x"].value, found["y"].value) == (pytest.approx(0.25), pytest.approx(0.15))
    assert (found["x"].share, found["y"].share) == (pytest.approx(0.625), pytest.approx(0.375))


def test_without_a_run_the_answer_that_knows_nothing_counts(model, tmp_path):
    baseline, words = baseline_answers(model, RunFolder(tmp_path))
    assert words == "an answer that knows nothing"
    assert baseline["operation"].tolist() == [pytest.approx(1 / 6)] * 6 and baseline["properties"].tolist() == [0.5] * 6
    value = model.named_tasks()["value"]
    assert blank_answer(value).tolist() == [value.output_spec.centre]


def test_a_sample_without_anything_is_refused(model):
    with pytest.raises(MmbertError, match="no modality at all"):
        explain_sample(model, {"text": " ", "image": None}, {})
