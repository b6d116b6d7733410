"""Multilabel against numbers done by hand, against torch and against scikit-learn."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    roc_auc_score,
)
from torch import tensor
from torch.testing import assert_close

from mmbert.core.calibration import reliability
from mmbert.core.errors import ConfigError, DataError
from mmbert.core.types import Fused, State
from mmbert.tasks.multilabel import Multilabel

CLASSES = ["even", "negative", "prime"]
NAN = math.nan


def make(**options):
    torch.manual_seed(0)
    return Multilabel(**{"in_dim": 4, "column": "properties", "classes": CLASSES, **options})


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


def test_loss_is_the_mean_over_properties_and_labelled_samples_done_by_hand():
    output = tensor([[0.9, 0.2, 0.5], [0.5, 0.5, 0.5]]).logit()
    target = tensor([[1.0, 0.0, 1.0], [NAN, NAN, NAN]])
    # -(log 0.9 + log 0.8 + log 0.5) / 3 = (0.105361 + 0.223144 + 0.693147) / 3
    assert_close(loss_of(make(), output, target), tensor(0.340551), atol=1e-6, rtol=0)


def test_positive_weights_and_smoothing_equal_torch_on_the_labelled_samples():
    task = make(class_weights=[1.0, 3.0, 0.5], label_smoothing=0.2)
    output, target = torch.randn(6, 3), torch.randint(0, 2, (6, 3)).float()
    soft = target * 0.8 + 0.1  # 1 -> 0.9, 0 -> 0.1
    expected = F.binary_cross_entropy_with_logits(output[:4], soft[:4], pos_weight=tensor([1.0, 3.0, 0.5]))
    target[4:] = NAN
    assert_close(loss_of(task, output, target), expected)


def test_balanced_means_negatives_over_positives():
    learned = Multilabel.fit_labels(["even|prime", "even", "negative|even", "[]", None], "properties")
    task = make(class_weights="balanced", **learned)
    # of 4 labelled: even 3, negative 1, prime 1
    assert_close(task.positive_weights, tensor([1 / 3, 3.0, 3.0]))


def test_nobody_labelled_gives_exactly_zero_and_zero_gradients():
    task = make(class_weights=[1.0, 3.0, 0.5])
    loss = loss_of(task, task(of(torch.randn(2, 4)))["logits"], torch.full((2, 3), NAN))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in task.parameters())


@pytest.mark.parametrize("junk", [NAN, math.inf, -1e30])
def test_what_the_head_says_of_an_unlabelled_sample_reaches_no_gradient(junk):
    output = tensor([[0.1, 0.2, 0.3], [junk] * 3], requires_grad=True)
    loss_of(make(), output, tensor([[1.0, 0.0, 1.0], [NAN] * 3])).backward()
    assert not output.grad[1].any() and output.grad[0].all() and output.grad[0].isfinite().all()


def test_metrics_equal_scikit_learn_over_several_batches():
    torch.manual_seed(2)
    output, target = torch.randn(40, 3) * 2, torch.randint(0, 2, (40, 3)).float()
    target[::5] = NAN
    keep = ~target.isnan().any(1)
    truth, p = target[keep].int().numpy(), output[keep].sigmoid().numpy()
    assert measure(make(), output, target, batches=3) == pytest.approx(
        {
            "map": average_precision_score(truth, p, average="macro"),
            "f1": f1_score(truth, p > 0.5, average="macro"),
            "auroc": roc_auc_score(truth, p, average="macro"),
            "exact_match": accuracy_score(truth, p > 0.5),
            "nll": log_loss(truth.ravel(), p.ravel()),
            "brier": brier_score_loss(truth.ravel(), p.ravel()),
            "ece": reliability(p.ravel().astype(float), truth.ravel()).error,
        },
        abs=1e-6,
    )


@pytest.mark.filterwarnings("error")
def test_a_property_that_nobody_has_is_no_zero_in_any_average():
    p = np.array([[0.9, 0.1, 0.6], [0.8, 0.2, 0.4], [0.3, 0.1, 0.7], [0.6, 0.4, 0.2]])
    truth = np.array([[1, 0, 1], [1, 0, 1], [0, 0, 0], [1, 0, 0]])
    got = measure(make(), tensor(p).float().logit(), tensor(truth).float())
    held = [0, 2]
    assert got["auroc"] == pytest.approx(np.mean([roc_auc_score(truth[:, c], p[:, c]) for c in held]), abs=1e-6)
    assert got["map"] == pytest.approx(np.mean([average_precision_score(truth[:, c], p[:, c]) for c in held]), abs=1e-6)
    assert got["f1"] == pytest.approx(f1_score(truth, p > 0.5, average="macro", zero_division=np.nan), abs=1e-6)


def test_a_property_that_everybody_has_counts_in_map_but_not_in_auroc():
    p, truth = tensor([[0.9, 0.1], [0.8, 0.7], [0.3, 0.2]]), tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    got = measure(make(classes=["always", "once"]), p.logit(), truth)
    assert got["auroc"] == 1.0 and got["map"] == 1.0


@pytest.mark.parametrize("size", [0, 3])
@pytest.mark.filterwarnings("error")
def test_without_a_labelled_sample_every_metric_is_nan(size):
    got = measure(make(), torch.randn(size, 3), torch.full((size, 3), NAN))
    assert set(got) == {"map", "f1", "auroc", "exact_match", "nll", "brier", "ece"} and all(
        math.isnan(value) for value in got.values()
    )


def test_one_property_is_enough():
    p, truth = tensor([[0.9], [0.2], [0.6]]), tensor([[1.0], [0.0], [0.0]])
    # F1: one hit, one false alarm = 2/3
    got = measure(make(classes=["toxic"]), p.logit(), truth)
    expected = {"map": 1.0, "f1": 2 / 3, "auroc": 1.0, "exact_match": 2 / 3}
    # -(log 0.9 + log 0.8 + log 0.4) / 3; (0.1² + 0.2² + 0.6²) / 3; (0.1 + 0.2 + 0.6) / 3, for each is alone in its bin
    assert got == pytest.approx({**expected, "nll": 0.414932, "brier": 0.136667, "ece": 0.3}, abs=1e-6)


def test_the_main_metric_is_measured_and_grows():
    assert make().main_metric in make().make_metrics()
    falling = {name for name, metric in make().make_metrics().items() if not metric.higher_is_better}
    assert falling == {"nll", "brier", "ece"}


def test_learning_from_every_spelling_of_a_list():
    learned = Multilabel.fit_labels(["even|prime", '["even"]', ["negative", "even", "even"], "[]", None], "properties")
    assert learned == {
        "classes": ["even", "negative", "prime"],
        "class_counts": {"even": 3, "negative": 1, "prime": 1},
        "labelled_count": 4,
    }
    assert Multilabel.fit_labels(["10;9"], "digits", separator=";")["classes"] == ["9", "10"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([None], "Column 'properties' has no label in the train split"),
        (["[]", []], "Column 'properties' names no property in the train split"),
        (["even", "[broken"], r"Column 'properties': '\[broken' looks like a list"),
    ],
)
def test_columns_that_cannot_be_learnt(cells, message):
    with pytest.raises(DataError, match=message):
        Multilabel.fit_labels(cells, "properties")


def test_options_that_are_refused():
    with pytest.raises(ConfigError, match="needs at least 1"):
        make(classes=[])
    with pytest.raises(ConfigError, match="has 1 numbers for 3 classes"):
        make(class_weights=[2.0])


def test_predictions_speak_in_the_tables_words():
    answers = make().predict(of(None), {"logits": tensor([[0.9, 0.2, 0.6], [0.1, 0.2, 0.3]]).logit()})
    assert [answer["prediction"] for answer in answers] == [["even", "prime"], []]
    assert answers[0]["probabilities"] == pytest.approx({"even": 0.9, "negative": 0.2, "prime": 0.6})


def test_rebuilt_from_json_it_gives_the_same_outputs():
    learned = Multilabel.fit_labels(["even|prime", "negative", "[]"], "properties")
    task = make(hidden_dim=6, class_weights="balanced", separator=";", **learned).eval()
    twin = Multilabel(**json.loads(json.dumps(task.init_args))).eval()
    twin.load_state_dict(task.state_dict())
    fused, target = of(torch.randn(3, 4)), torch.randint(0, 2, (3, 3)).float()
    assert torch.equal(twin(fused)["logits"], task(fused)["logits"])
    assert torch.equal(loss_of(twin, twin(fused)["logits"], target), loss_of(task, task(fused)["logits"], target))
    assert twin.collate([twin.encode({"properties": "prime;even"}, {})])["label"].tolist() == [[1, 0, 1]]


def label(cell, classes, **options):
    """A cell as zeros and ones, through encode and collate."""
    task = make(classes=classes, **options)
    return task.collate([task.encode({"properties": cell}, {})])["label"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("even|prime", [1, 1, 0]),
        (" prime | even ", [1, 1, 0]),
        ("negative", [0, 0, 1]),
        ('["prime"]', [0, 1, 0]),
        (["negative", "even"], [1, 0, 1]),
        ("[]", [0, 0, 0]),
        ([], [0, 0, 0]),
        ("even|even", [1, 0, 0]),
    ],
)
def test_cells_become_zeros_and_ones(cell, expected):
    assert label(cell, ["even", "prime", "negative"]).tolist() == [expected]
    assert label("a|b; c", ["a|b", "c"], separator=";").tolist() == [[1, 1]]


def test_unlabelled_is_not_the_same_as_nothing_holds():
    task = make(classes=["a", "b"])
    targets = task.collate([task.encode({"properties": cell}, {}) for cell in (None, "[]", "b")])
    assert targets["label"][0].isnan().all() and task.labelled(targets).tolist() == [False, True, True]
    assert task.decode(targets) == [None, [], ["b"]]


def test_an_unknown_property_is_named_with_the_nearest():
    with pytest.raises(DataError, match=r"the label 'evn' never occurs in the train split. Did you mean 'even'\?"):
        label("odd|evn", ["even", "odd"])


NAMES = st.lists(st.text("abcdefg01 é", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=8, unique=True)


@given(names=NAMES, data=st.data())
def test_any_labels_come_back(names, data):
    some = data.draw(st.lists(st.sampled_from(names), unique=True))
    task = make(classes=names, in_dim=1)
    targets = task.collate([task.encode({"properties": some}, {})])
    assert task.decode(targets) == [[name for name in names if name in some]]


def test_a_name_is_one_property_however_it_is_written():
    learnt = Multilabel.fit_labels(["1|1.0|a", ["1.0", " a"], "['a']"], "label")
    assert learnt == {"classes": ["1", "a"], "class_counts": {"1": 2, "a": 3}, "labelled_count": 3}
    task = Multilabel(4, "label", ["1.0", "a"])
    assert task.encode({"label": "a|1"}, {}) == [1, 0]


def test_zeros_and_ones_for_each_property_are_no_names():
    for cell in ("[1, 0, 1]", "[1. 0. 0.]", [0, 0, 1]):
        with pytest.raises(
            DataError, match=r"\[[01], 0, [01]\] looks like a 0 or 1 for each property. Write the names"
        ):
            Multilabel.fit_labels([cell], "label")
    assert Multilabel.fit_labels(["[0, 1]", "[1]"], "label")["classes"] == ["0", "1"]


# ---- calibration


def confident(count=200):
    """Logits that are right in three of four cases and too sure, yet told apart by float32's sigmoid."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 2, (count, 3), generator=generator).float()
    output = (target * 2 - 1 + 1.5 * torch.randn(count, 3, generator=generator)) * 2
    return output, target


def test_a_temperature_changes_probabilities_and_no_answer():
    plain, task = make(), make(calibrate="temperature")
    assert task.tunes and not plain.tunes
    output, target = confident()
    target[3] = NAN
    outputs, targets, state = {"logits": output}, {"label": target}, of(torch.zeros(200, 4))
    data = task.tuning_data(state, outputs, targets)
    assert data[3] is None and sum(entry is None for entry in data) == 1
    chosen = task.tune([entry for entry in data if entry is not None])
    known = ~target.isnan().any(1)
    best = minimize_scalar(
        lambda t: float(F.binary_cross_entropy_with_logits(output[known].double() / t, target[known].double())),
        bounds=(0.01, 100),
        method="bounded",
    )
    assert chosen == {"temperature": pytest.approx(best.x, rel=1e-3)} and best.x > 2
    before, after = plain.predict(state, outputs), task.predict(state, outputs)
    assert [answer["prediction"] for answer in before] == [answer["prediction"] for answer in after]
    assert after[0]["probabilities"]["even"] == pytest.approx(
        1 / (1 + math.exp(-float(output[0, 0]) / best.x)), rel=1e-3
    )
    first, last = measure(plain, output, target), measure(task, output, target)
    assert all(last[name] < first[name] for name in ("nll", "brier", "ece"))
    assert all(last[name] == pytest.approx(first[name]) for name in ("map", "f1", "auroc", "exact_match"))


def test_near_ties_keep_their_answer_at_any_temperature():
    task = make(calibrate="temperature")
    output = tensor([[1e-6, -1e-6, 0.0]])
    assert task.predict(of(torch.zeros(1, 4)), {"logits": output})[0]["prediction"] == ["even"]
    task.temperature.fill_(100.0)  # float32 has no probability between one half and that of 1e-8
    assert task.predict(of(torch.zeros(1, 4)), {"logits": output})[0]["prediction"] == ["even"]
    assert measure(task, output, tensor([[1.0, 0.0, 0.0]]))["exact_match"] == 1


def test_the_temperature_is_saved_only_where_it_is_fitted():
    assert "temperature" not in make().state_dict()
    task = make(calibrate="temperature")
    task.temperature.fill_(3.0)
    again = make(calibrate="temperature")
    again.load_state_dict(task.state_dict())
    output, _ = confident(4)
    assert again.probabilities({"logits": output}).equal((output / 3).sigmoid())
