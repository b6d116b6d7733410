"""Classification against numbers done by hand, against torch's own semantics and against scikit-learn."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.utils.class_weight import compute_class_weight
from torch import tensor
from torch.testing import assert_close

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.types import UNLABELLED, Fused, State
from mmbert.reporting.statistics.summary import is_error
from mmbert.tasks.classification import Classification

CLASSES = ["-3", "2", "10"]


def make(**options):
    torch.manual_seed(0)
    return Classification(**{"in_dim": 4, "column": "answer", "classes": CLASSES, **options})


def of(pooled):
    """pooled (B, H) -> what a head reads."""
    return State(Fused(pooled), {})


def loss_of(task, output, target):
    return task.loss({"logits": output}, {"label": target}).mean


def update(task, metrics, output, target):
    task.update(metrics, {"logits": output}, {"label": target})


def measure(task, output, target, batches=1):
    metrics = task.make_metrics()
    for part, truth in zip(output.chunk(batches), target.chunk(batches), strict=True):
        update(task, metrics, part, truth)
    return {key: float(value) for key, value in metrics.compute().items()}


def logits_for(probabilities):
    return torch.tensor(probabilities).log()


# ---- loss


def test_loss_is_the_mean_over_labelled_samples_done_by_hand():
    output = logits_for([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    # -(log 0.5 + log 0.6) / 2 = (0.693147 + 0.510826) / 2; the second sample carries no label
    assert_close(loss_of(make(), output, tensor([0, UNLABELLED, 2])), tensor(0.6019865), atol=1e-6, rtol=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 5.0]])
def test_loss_equals_torch_on_the_labelled_samples_alone(smoothing, weights):
    task = make(label_smoothing=smoothing, class_weights=weights)
    output, target = torch.randn(9, 3), tensor([0, 1, 2, UNLABELLED, 2, 2, UNLABELLED, 0, 1])
    keep = target != UNLABELLED
    weight = None if weights is None else tensor(weights)
    expected = F.cross_entropy(output[keep], target[keep], weight=weight, label_smoothing=smoothing)
    assert_close(loss_of(task, output, target), expected)


def test_label_smoothing_by_hand():
    # target of class 0 with smoothing 0.3: (0.8, 0.1, 0.1)
    # -(0.8 log 0.5 + 0.1 log 0.25 + 0.1 log 0.25) = 0.554518 + 0.277259
    loss = loss_of(make(label_smoothing=0.3), logits_for([[0.5, 0.25, 0.25]]), tensor([0]))
    assert_close(loss, tensor(0.831777), atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", [{}, {"class_weights": [1.0, 2.0, 5.0], "label_smoothing": 0.1}])
def test_nobody_labelled_gives_exactly_zero_and_zero_gradients(options):
    task = make(**options)
    loss = loss_of(task, task(of(torch.randn(3, 4)))["logits"], torch.full((3,), UNLABELLED))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in task.parameters())


@pytest.mark.parametrize("junk", [math.nan, math.inf, 1e30])
def test_what_the_head_says_of_an_unlabelled_sample_reaches_no_gradient(junk):
    output = tensor([[0.1, 0.2, 0.3], [junk] * 3], requires_grad=True)
    loss_of(make(), output, tensor([1, UNLABELLED])).backward()
    assert not output.grad[1].any() and output.grad[0].isfinite().all() and output.grad[0].any()


def test_bfloat16_outputs_are_judged_in_float32():
    assert loss_of(make(), torch.randn(2, 3).bfloat16(), tensor([0, 1])).dtype == torch.float32


def test_balanced_weights_are_those_of_scikit_learn():
    cells = ["2"] * 6 + ["-3"] * 3 + ["10"]
    learned = Classification.fit_labels(cells, "answer")
    task = make(class_weights="balanced", **learned)
    expected = compute_class_weight("balanced", classes=np.array(CLASSES), y=np.array(cells))  # 10/9, 10/18, 10/3
    assert_close(task.class_weights, tensor(expected, dtype=torch.float32))


def test_class_weights_move_with_the_module_but_are_not_saved():
    task = make(class_weights=[1.0, 2.0, 3.0])
    assert not [key for key in task.state_dict() if "weights" in key]
    assert task.to(torch.float64).class_weights.dtype == torch.float64


# ---- metrics


def test_metrics_equal_scikit_learn_over_several_batches():
    torch.manual_seed(1)
    output, target = torch.randn(60, 3) * 2, torch.randint(0, 3, (60,))
    target[::7] = UNLABELLED
    keep = target != UNLABELLED
    truth, p = target[keep].numpy(), output[keep].softmax(-1).numpy()
    got = measure(make(), output, target, batches=4)
    assert {name: got[name] for name in ("accuracy", "f1", "auroc")} == pytest.approx(
        {
            "accuracy": accuracy_score(truth, p.argmax(1)),
            "f1": f1_score(truth, p.argmax(1), average="macro"),
            "auroc": roc_auc_score(truth, p, multi_class="ovr", average="macro"),
        },
        abs=1e-6,
    )


def test_a_class_absent_from_the_split_is_no_zero_in_any_average():
    # class 2 occurs neither among the labels nor among the predictions
    output = logits_for([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.3, 0.5, 0.2], [0.5, 0.4, 0.1]])
    target = tensor([0, 0, 1, 1])
    truth, p = target.numpy(), output.softmax(-1).numpy()
    got = measure(make(), output, target)
    assert got["f1"] == pytest.approx(f1_score(truth, p.argmax(1), average="macro"), abs=1e-6)
    assert got["f1"] == pytest.approx((0.8 + 2 / 3) / 2, abs=1e-6)  # not (0.8 + 0.667 + 0) / 3
    per_class = [roc_auc_score(truth == c, p[:, c]) for c in (0, 1)]
    assert got["auroc"] == pytest.approx(np.mean(per_class), abs=1e-6) == 1.0


def test_a_class_that_is_predicted_but_never_right_counts_zero_in_f1_as_in_scikit_learn():
    output, target = logits_for([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]), tensor([0, 1, 1])
    got = measure(make(), output, target)["f1"]
    assert got == pytest.approx(f1_score([0, 1, 1], [0, 1, 2], average="macro"), abs=1e-6)
    assert got == pytest.approx((1 + 2 / 3 + 0) / 3, abs=1e-6)


def test_auroc_is_undefined_when_one_class_fills_the_split():
    got = measure(make(), torch.randn(4, 3), tensor([1, 1, 1, 1]))
    assert math.isnan(got["auroc"]) and not math.isnan(got["accuracy"])


@pytest.mark.parametrize("size", [0, 3])
@pytest.mark.filterwarnings("error")
def test_without_a_labelled_sample_every_metric_is_nan(size):
    got = measure(make(), torch.randn(size, 3), torch.full((size,), UNLABELLED))
    assert {"accuracy", "f1", "auroc", "mcc", "ece"} <= set(got) and all(math.isnan(value) for value in got.values())


def test_an_unlabelled_batch_changes_no_metric():
    task = make()
    output, target = torch.randn(8, 3), tensor([0, 1, 2, 0, 1, 2, 0, 1])
    metrics = task.make_metrics()
    update(task, metrics, torch.randn(5, 3), torch.full((5,), UNLABELLED))
    update(task, metrics, output, target)
    assert {k: float(v) for k, v in metrics.compute().items()} == measure(task, output, target)


def test_metrics_start_again_after_a_reset():
    task = make()
    metrics = task.make_metrics()
    update(task, metrics, torch.randn(6, 3), tensor([0, 1, 2, 0, 1, 2]))
    metrics.compute()
    metrics.reset()
    output, target = torch.randn(8, 3), tensor([0, 1, 2, 0, 1, 2, 0, 1])
    update(task, metrics, output, target)
    assert {k: float(v) for k, v in metrics.compute().items()} == measure(task, output, target)


def test_the_main_metric_is_measured_and_grows():
    task = make()
    metrics = task.make_metrics()
    assert task.main_metric in metrics and task.higher_is_better
    fall = [name for name, metric in metrics.items() if not metric.higher_is_better]
    assert set(fall) == {"nll", "brier", "ece", "aurc"} and all(is_error(f"test/answer/{name}") for name in fall)


# ---- labels


def test_classes_are_in_natural_order_and_counted():
    learned = Classification.fit_labels([10, "2", -3.0, None, 2, "2"], "answer")
    assert learned == {"classes": ["-3", "2", "10"], "class_counts": {"-3": 1, "2": 3, "10": 1}}
    assert Classification.fit_labels(["pear", "Apple", "fig"], "fruit")["classes"] == ["Apple", "fig", "pear"]
    assert Classification.fit_labels(["b", "9", "10", "nan"], "mixed")["classes"] == ["9", "10", "b", "nan"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([], "Column 'answer' has no label in the train split"),
        ([None, None], "Column 'answer' has no label in the train split"),
        (["x", "x", None], "Column 'answer' has the same label 'x' throughout"),
        ([i + 0.5 for i in range(150)], "Column 'answer' holds 150 different numbers in 150 .*task=regression"),
    ],
)
def test_columns_that_cannot_be_learnt(cells, message):
    with pytest.raises(DataError, match=message):
        Classification.fit_labels(cells, "answer")


@pytest.mark.parametrize(
    "cells",
    [
        [str(i) for i in range(150)],  # identifiers
        [i + 0.5 for i in range(50)],  # few
        [i + 0.5 for i in range(150)] * 3,  # many, but they repeat
    ],
)
def test_columns_that_may_be_classes(cells):
    assert len(Classification.fit_labels(cells, "answer")["classes"]) == len(set(cells))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["a"]}, r"column 'answer' has the classes \['a'\]; it needs at least 2"),
        ({"classes": ["a", "b", "a"]}, "names the class 'a' twice"),
        ({"class_weights": "balance"}, "class_weights='balance' on column 'answer'.*Did you mean 'balanced'"),
        ({"class_weights": "balanced"}, "needs class_counts"),
        ({"class_weights": [1.0, 2.0]}, "has 2 numbers for 3 classes. Give one for each of -3, 2, 10"),
        ({"class_weights": [1.0, -1.0, 1.0]}, "finite numbers >= 0"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0 on column 'answer'"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        make(**options)


# ---- predictions and saving


def test_predictions_speak_in_the_tables_words():
    answers = make().predict(of(None), {"logits": logits_for([[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]])})
    assert [answer["prediction"] for answer in answers] == ["2", "-3"]
    assert answers[0]["probabilities"] == pytest.approx({"-3": 0.2, "2": 0.5, "10": 0.3})


@pytest.mark.parametrize("options", [{}, {"hidden_dim": 5, "class_weights": "balanced", "label_smoothing": 0.1}])
def test_rebuilt_from_json_it_gives_the_same_outputs(options):
    task = make(class_counts={"-3": 1, "2": 5, "10": 2}, **options).eval()
    twin = Classification(**json.loads(json.dumps(task.init_args))).eval()
    twin.load_state_dict(task.state_dict())
    fused, target = of(torch.randn(3, 4)), tensor([0, 1, 2])
    assert torch.equal(twin(fused)["logits"], task(fused)["logits"])
    assert torch.equal(loss_of(twin, twin(fused)["logits"], target), loss_of(task, task(fused)["logits"], target))
    assert twin.decode({"label": tensor([2, UNLABELLED])}) == ["10", None]


def test_the_count_is_known_before_the_loss():
    target = tensor([0, 2, UNLABELLED, 2])
    for weights, expected in ((None, 3), ([0.25, 1.0, 0.125], 0.5)):
        task = make(class_weights=weights)
        given = task.loss({"logits": torch.randn(4, 3)}, {"label": target})
        assert given.count.item() == task.count({"label": target}).item() == expected


def label(cell, classes):
    """A cell as an index, through encode and collate, and back."""
    task = make(classes=classes)
    targets = task.collate([task.encode({"answer": cell}, {})])
    return targets["label"], task.decode(targets)[0]


def test_cells_become_numbers_in_the_order_of_the_classes_and_words_again():
    classes = ["b", "a", "7"]
    for cell, index in zip(("b", "a", "7", 7, 7.0, " a ", None), (0, 1, 2, 2, 2, 1, UNLABELLED), strict=True):
        numbers, word = label(cell, classes)
        assert numbers.tolist() == [index] and numbers.dtype == torch.int64
        assert word == (None if cell is None else classes[index])
    assert [label(cell, ["007", "7"])[0].item() for cell in ("007", "7")] == [0, 1]  # leading zeros make it another


def test_an_unknown_class_is_named_with_the_nearest():
    with pytest.raises(
        DataError, match=r"the label 'dgo' is no class of the train split. Did you mean 'dog'\? Choices: cat, dog"
    ):
        label("dgo", ["cat", "dog"])


def test_writings_of_one_number_are_one_class():
    learnt = Classification.fit_labels(["0", "0.0", 1, "1.0", " cat", "cat", None, "1.10"], "label")
    assert learnt == {"classes": ["0", "1", "1.10", "cat"], "class_counts": {"0": 2, "1": 2, "1.10": 1, "cat": 2}}
    task = Classification(4, "label", ["0.0", "1.0"])  # as a model that was saved before may have them
    assert [task.encode({"label": cell}, {}) for cell in ("0", 0, "0.0", "1", " 1.0 ")] == [0, 0, 0, 1, 1]


def test_balanced_weights_count_a_class_however_its_cells_are_written():
    counts = {"0.0": 3, "1.0": 1}  # learnt from the table; the classes are given by the config
    task = Classification(4, "label", ["0", "1"], class_weights="balanced", class_counts=counts)
    assert task.class_weights.tolist() == pytest.approx([4 / (2 * 3), 4 / (2 * 1)])


@pytest.mark.parametrize("written", ["{}.5", "{},5", "{} %", "{}.5 €"])
def test_many_numbers_that_hardly_repeat_are_no_classes(written):
    cells = [written.format(i) for i in range(150)]
    with pytest.raises(DataError, match="holds 150 different numbers in 150 labelled train samples: a quantity"):
        Classification.fit_labels(cells, "label")
    assert len(Classification.fit_labels([f"{i}" for i in range(150)], "label")["classes"]) == 150
    assert len(Classification.fit_labels([f"v{i}" for i in range(150)], "label")["classes"]) == 150
