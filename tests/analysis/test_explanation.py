"""Shares of modalities: the numbers of a model run by hand with every subset, and planted answers that are found."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmbert.analysis.explanation import (
    chosen_tasks,
    explain_tasks,
    explanation_summary,
    means_with_intervals,
    metric_summary,
    output_summary,
)
from mmbert.analysis.explanation_files import explained_samples
from mmbert.analysis.task_games import AnswerReader, LabelReader, constant_outputs, worth_of_answers
from mmbert.core.errors import ConfigError, DataError
from mmbert.core.types import Batch
from mmbert.fusion.concat import ConcatFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.base import Task
from mmbert.tasks.classification import Classification
from mmbert.tasks.contrastive_classification import ContrastiveClassification
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.ordinal import Ordinal
from mmbert.tasks.regression import Regression
from three_tasks_model import DIMS, SIZE, Layer, module_of, part, samples

COVERS = ("subset_outputs", "task_games", "explanation_files")
CPU = torch.device("cpu")
NAMES = ["text", "image"]


@pytest.fixture(scope="module")
def model():
    return module_of().model.eval()


def by_hand(model, batch, subset):
    """The model's outputs with the modalities of a subset alone, of the samples that keep one; and which these are."""
    inputs = {
        name: x if name in subset else {**x, "mask": torch.zeros_like(x["mask"])} for name, x in batch.inputs.items()
    }
    there = torch.stack([x["mask"].any(1) for x in inputs.values()], 1).any(1)
    with torch.no_grad():
        made = model({name: {key: t[there] for key, t in x.items()} for name, x in inputs.items()})
    return made.outputs, there


def test_worth_is_what_the_model_says_with_a_modality_masked(model):
    batch = samples()
    found = explain_tasks(model, [batch], ["answer", "value"], CPU, bootstraps=5)
    assert found.modalities == NAMES
    assert found.present.tolist() == [[True, True]] * (SIZE - 1) + [[True, False]]
    whole, _ = by_hand(model, batch, NAMES)
    best = whole["answer"]["logits"].argmax(1)
    constant = {
        "answer": whole["answer"]["logits"].softmax(1).mean(0)[best],
        "value": whole["value"]["value"].mean().expand(SIZE),
    }
    for number, subset in enumerate([[], ["text"], ["image"], NAMES]):
        expected = {task: rows.clone() for task, rows in constant.items()}
        if subset:
            outputs, there = by_hand(model, batch, subset)
            shares = outputs["answer"]["logits"].softmax(1)
            expected["answer"][there] = shares[torch.arange(len(shares)), best[there]]
            expected["value"][there] = outputs["value"]["value"]
        for task in ("answer", "value"):
            np.testing.assert_allclose(found.games[task].worth[:, number], expected[task], rtol=1e-5, atol=1e-6)


def test_the_metric_is_that_of_answers_made_by_hand(model):
    batch = samples(answers=[True] * 6 + [False] * 2)
    game = explain_tasks(model, [batch], ["answer"], CPU, bootstraps=0).games["answer"]
    label = batch.targets["answer"]["label"][:6]
    whole = by_hand(model, batch, NAMES)[0]["answer"]["logits"]
    guesses = {0: whole.softmax(1).mean(0).argmax().expand(SIZE), 3: whole.argmax(1)}
    guesses |= {n + 1: by_hand(model, batch, [name])[0]["answer"]["logits"].argmax(1) for n, name in enumerate(NAMES)}
    expected = [float((guesses[number][:6] == label).float().mean()) for number in range(4)]
    assert game.metric == "accuracy"
    np.testing.assert_allclose(game.metric_worth, expected, atol=1e-6)
    # drawn samples: rows 0, 0, 5
    np.testing.assert_allclose(
        game.resampled(np.array([0, 0, 5])),
        [float((guesses[number][[0, 0, 5]] == label[[0, 0, 5]]).float().mean()) for number in range(4)],
        atol=1e-6,
    )


@pytest.mark.parametrize("size", [1, 3])
def test_how_samples_are_batched_changes_nothing(model, size):
    batch = samples()
    whole = explain_tasks(model, [batch], ["answer", "value", "other"], CPU, bootstraps=0)
    parts = [part(batch, start, min(start + size, SIZE)) for start in range(0, SIZE, size)]
    split = explain_tasks(model, parts, ["answer", "value", "other"], CPU, bootstraps=0)
    assert split.rows.tolist() == whole.rows.tolist()
    for task, game in whole.games.items():
        np.testing.assert_allclose(split.games[task].worth, game.worth, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(split.games[task].metric_worth, game.metric_worth, rtol=1e-5, atol=1e-6)


def test_copies_that_fill_up_a_batch_do_not_count(model):
    batch = samples()
    filled = part(batch, 0, SIZE)
    filled.rows[:] = torch.tensor([0, -1, 2, 3, 4, -1, 6, 7])
    found = explain_tasks(model, [filled], ["value"], CPU, bootstraps=0)
    kept = torch.tensor([0, 2, 3, 4, 6])
    assert found.rows.tolist() == [*kept.tolist(), 7]
    whole = explain_tasks(model, [batch], ["value"], CPU, bootstraps=0)
    np.testing.assert_allclose(found.games["value"].worth[:5, 1:], whole.games["value"].worth[kept, 1:])
    assert found.games["value"].worth[0, 0] == pytest.approx(found.games["value"].worth[:, 3].mean())


def test_a_modality_that_is_missing_is_no_player(model):
    found = explain_tasks(model, [samples()], ["value"], CPU, bootstraps=0)
    lines = explained_samples(found)
    last = lines.iloc[-1]
    assert np.isnan(last["value/value/image"]) and np.isnan(last["value/interaction/text+image"])
    assert last["value/share/text"] == 1
    assert last["value/value/text"] == pytest.approx(last["value/output"] - last["value/output_without_any"])
    gained = lines["value/value/text"] + lines["value/value/image"].fillna(0)
    np.testing.assert_allclose(gained, lines["value/output"] - lines["value/output_without_any"], atol=1e-6)
    summary = output_summary(found, found.games["value"])
    assert summary["modalities"]["image"]["share_where_present"]["samples"] == SIZE - 1
    assert summary["modalities"]["text"]["share_where_present"]["samples"] == SIZE - 1


def test_summaries_add_up_and_less_of_an_error_is_a_gain(model):
    found = explain_tasks(model, [samples()], ["other"], CPU, bootstraps=50)
    content = explanation_summary(found)["tasks"]["other"]
    output, metric = content["output"], content["metric"]
    values = [one["value"]["value"] for one in output["modalities"].values()]
    assert sum(values) == pytest.approx(output["mean_output"] - output["mean_without_any"], abs=1e-6)
    assert sum(one["share"]["value"] for one in output["modalities"].values()) == pytest.approx(1)
    assert metric["metric"] == "mae" and metric["higher_is_better"] is False
    gains = [one["value"]["value"] for one in metric["modalities"].values()]
    fall = metric["subsets"][0]["value"] - metric["subsets"][-1]["value"]
    assert sum(gains) == pytest.approx(fall, abs=1e-6) and abs(fall) > 0.1
    for one in (*output["modalities"].values(), *metric["modalities"].values()):
        assert one["value"]["low"] <= one["value"]["value"] <= one["value"]["high"]


def test_intervals_follow_from_the_seed_and_are_about_two_standard_errors(model):
    values = np.random.default_rng(3).normal(size=(400, 1))
    (found,) = means_with_intervals(values, 2000, seed=1)
    assert found == means_with_intervals(values, 2000, seed=1)[0] != means_with_intervals(values, 2000, seed=2)[0]
    error = 1.96 * values.std() / 20
    assert found["low"] == pytest.approx(values.mean() - error, abs=error / 8)
    assert found["high"] == pytest.approx(values.mean() + error, abs=error / 8)
    values[:200] = np.nan
    assert means_with_intervals(values, 0, 0)[0] == {
        "value": pytest.approx(values[200:].mean()), "low": None, "high": None, "samples": 200
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------ planted answers


def table_of(kind, size=256):
    """Text and image hold a bit each, and noise; the label is the text's bit, or whether the two differ."""
    draws = torch.Generator().manual_seed(5)
    bits = torch.randint(0, 2, (size, 2), generator=draws)
    inputs = {}
    for place, (name, dim) in enumerate(DIMS.items()):
        tokens = torch.randn(size, 1, dim, generator=draws) * 0.1
        tokens[:, 0, 0] = 2.0 * bits[:, place] - 1
        inputs[name] = {"tokens": tokens, "mask": torch.ones(size, 1).bool()}
    label = bits[:, 0] if kind == "shortcut" else bits[:, 0] ^ bits[:, 1]
    return Batch(inputs, {"answer": {"label": label}}, torch.arange(size))


def trained(batch):
    """A model that has also learnt from samples without the one or the other."""
    torch.manual_seed(0)
    task = Classification(8, "answer", ["no", "yes"], hidden_dim=16, dropout=0.0)
    model = MultimodalModel({name: Layer(dim) for name, dim in DIMS.items()}, ConcatFusion(DIMS, 8), {"answer": task})
    model.eval()  # without dropout
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(60):
        encoded = model.encode(batch.inputs)
        losses = []
        for subset in (NAMES, ["text"], ["image"]):
            left = {name: x if name in subset else x.absent() for name, x in encoded.items()}
            losses.append(task.loss(model.decode(left).outputs["answer"], batch.targets["answer"]).mean)
        optimizer.zero_grad()
        sum(losses).backward()
        optimizer.step()
    return model


def test_a_planted_shortcut_is_found():
    batch = table_of("shortcut")
    content = explanation_summary(explain_tasks(trained(batch), [batch], ["answer"], CPU, bootstraps=20))
    output, metric = content["tasks"]["answer"]["output"], content["tasks"]["answer"]["metric"]
    assert output["modalities"]["text"]["share"]["low"] > 0.9
    assert output["modalities"]["image"]["share"]["high"] < 0.1
    assert metric["modalities"]["text"]["share"]["value"] > 0.95
    assert metric["modalities"]["text"]["value"]["value"] == pytest.approx(0.5, abs=0.06)  # from a guess to all right
    assert abs(output["interactions"][0]["value"]["value"]) < 0.1


def test_what_only_both_know_shows_as_interaction():
    """v is 1 with both and about 1/2 with less: φ = 1/4 each, I = 1 - 1/2 - 1/2 + 1/2 = 1/2."""
    batch = table_of("xor")
    content = explanation_summary(explain_tasks(trained(batch), [batch], ["answer"], CPU, bootstraps=20))
    output, metric = content["tasks"]["answer"]["output"], content["tasks"]["answer"]["metric"]
    for one in output["modalities"].values():
        assert one["value"]["value"] == pytest.approx(0.25, abs=0.06)
        assert one["share"]["value"] == pytest.approx(0.5, abs=0.1)
    assert output["interactions"][0]["value"]["value"] == pytest.approx(0.5, abs=0.08)
    assert metric["interactions"][0]["value"]["value"] == pytest.approx(0.5, abs=0.12)
    assert metric["interactions"][0]["value"]["low"] > 0.3


# ------------------------------------------------------------------------- tasks with a probability of the label alone


class Written(Classification):
    """A task of another kind, whose answer is read in the text."""

    kind = "written"
    aligned_to = ("text",)


def written_model():
    torch.manual_seed(1)
    task = Written(4, "answer", ["a", "b", "c"], dropout=0.0)
    encoders = {name: Layer(dim) for name, dim in DIMS.items()}
    return MultimodalModel(encoders, ConcatFusion(DIMS, 4), {"answer": task}).eval()


def test_other_tasks_are_explained_by_the_probability_of_the_label():
    model = written_model()
    batch = samples(answers=[False] + [True] * 7)
    del batch.targets["value"], batch.targets["other"]
    found = explain_tasks(model, [part(batch, 0, 5), part(batch, 5, 8)], ["answer"], CPU, bootstraps=10)
    game = found.games["answer"]
    assert np.isnan(game.worth[0]).all()  # it has no label
    label = batch.targets["answer"]["label"]
    for number, subset in ((1, ["text"]), (3, NAMES)):
        outputs, there = by_hand(model, batch, subset)
        right = outputs["answer"]["logits"].softmax(1)[torch.arange(int(there.sum())), label[there].clamp(min=0)]
        np.testing.assert_allclose(game.worth[1:, number], right[1:], rtol=1e-5)
    assert not game.worth[1:, [0, 2]].any()  # neither nothing nor the image alone has a place for the answer
    # the metric is that of the six labelled samples with both modalities; an image alone stands for no answer
    expected = {}
    for number, subset in ((1, ["text"]), (2, ["image"]), (3, NAMES)):
        outputs, _ = by_hand(model, batch, subset)
        expected[number] = float((outputs["answer"]["logits"].argmax(1)[1:7] == label[1:7]).float().mean())
    np.testing.assert_allclose(game.metric_worth, [expected[2], expected[1], expected[2], expected[3]], atol=1e-6)
    summary = metric_summary(found, game)
    assert summary["modalities"]["image"]["value"]["low"] is None and "no interval" in summary["why_no_interval"]


def test_which_reader_a_task_has(model):
    task = model.named_tasks()["answer"]
    assert AnswerReader("answer", task, 2).subsets == 4
    assert LabelReader("answer", written_model().named_tasks()["answer"], NAMES).needed.tolist() == [True, False]


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_outputs_of_the_constant_answer_give_it_back(temperature):
    given = np.array([0.1, 0.6, 0.3])
    names = ["1", "2", "3"]
    classes = [
        (Classification(4, "y", names, calibrate="temperature"), {"logits": torch.randn(5, 3)}),
        (Ordinal(4, "y", names, calibrate="temperature"), {"logits": torch.randn(5, 2)}),
        (ContrastiveClassification(4, "y", names), {"logits": torch.randn(5, 3), "vectors": torch.randn(5, 4)}),
        (Multilabel(4, "y", names, calibrate="temperature"), {"logits": torch.randn(5, 3)}),
    ]
    for task, outputs in classes:
        if not isinstance(task, ContrastiveClassification):
            task.temperature.fill_(temperature)
        made = constant_outputs(task, outputs, given)
        (answer,) = task.predict(None, made)
        np.testing.assert_allclose(list(answer["probabilities"].values()), given, rtol=1e-4)
        assert all(len(tensor) == 1 for tensor in made.values())
    made = constant_outputs(Regression(4, "y"), {"value": torch.zeros(5, dtype=torch.float64)}, np.array([0.7]))
    assert made["value"].tolist() == [0.7]
    assert constant_outputs(Task(4), {"x": torch.zeros(5)}, given) is None


def test_worth_of_each_kind_of_answer():
    answers = np.array([[[0.2, 0.8], [0.9, 0.1]]])  # (1, 2, 2): alone, and the whole
    assert worth_of_answers(answers, "classification").tolist() == [[0.2, 0.9]]
    # the whole says yes and no; alone: (0.2 + (1 - 0.8)) / 2, whole: (0.9 + (1 - 0.1)) / 2
    np.testing.assert_allclose(worth_of_answers(answers, "multilabel"), [[0.2, 0.9]])
    assert worth_of_answers(answers[..., :1], "regression").tolist() == [[0.2, 0.9]]


# ----------------------------------------------------------------------------------------------- what is refused


def test_tasks_are_chosen_by_name_and_what_cannot_be_explained_is_refused(model):
    assert chosen_tasks(model, []) == ["answer", "value", "other"]
    assert chosen_tasks(model, ["value", "value"]) == ["value"]
    with pytest.raises(ConfigError, match="task=anser: the model has no such task. Did you mean 'answer'"):
        chosen_tasks(model, ["anser"])

    class Pairs(Task):
        kind = "pairs"

    stand_in = SimpleNamespace(named_tasks=lambda: {"pairs": Pairs(4)}, fusion=SimpleNamespace(dims=DIMS))
    with pytest.raises(ConfigError, match="task=pairs: it is of the kind pairs, which has no number of one sample"):
        chosen_tasks(stand_in, ["pairs"])
    with pytest.raises(ConfigError, match=r"None of the model's tasks \(pairs: pairs\) has a number"):
        chosen_tasks(stand_in, [])
    stand_in.fusion.dims = {"text": 3}
    with pytest.raises(ConfigError, match="one modality, text: there is nothing to share out"):
        chosen_tasks(stand_in, [])
    stand_in.fusion.dims = dict.fromkeys("abcdefghijk", 3)
    with pytest.raises(ConfigError, match="11 modalities, so 2,048 subsets; up to 10 are explained"):
        chosen_tasks(stand_in, [])


def test_a_split_of_which_nothing_is_left_is_refused(model):
    empty = part(samples(), 0, 2)
    empty.rows[:] = -1
    for batches in ([], [empty]):
        with pytest.raises(DataError, match="no sample to explain"):
            explain_tasks(model, batches, ["answer"], CPU)


def test_a_metric_without_a_value_is_left_out_with_the_reason(model):
    batch = samples(answers=[False] * SIZE)
    found = explain_tasks(model, [batch], ["answer"], CPU, bootstraps=5)
    assert metric_summary(found, found.games["answer"]) == {"metric": None, "why": "no sample has a label"}
    assert output_summary(found, found.games["answer"])["samples"] == SIZE  # what is answered needs no label


def test_every_subset_is_run_once(model):
    decoded, own = [], model.decode
    model.decode = lambda *args, **options: decoded.append(args) or own(*args, **options)
    try:
        explain_tasks(model, [samples()], ["answer"], CPU, bootstraps=3)
    finally:
        del model.decode
    masks = [tuple(bool(x.present[0]) for x in encoded.values()) for (encoded,) in decoded]
    assert sorted(masks) == sorted(m for m in itertools.product([True, False], repeat=2) if any(m))
