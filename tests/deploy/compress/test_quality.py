"""Intervals and paired differences of variants, against NumPy: which samples, which draws, which percentiles."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmbert.core.types import Batch
from mmbert.deploy.compress.quality import VariantAnswers, quality_summary, resampled, variant_answers
from mmbert.tasks.classification import Classification
from mmbert.tasks.regression import Regression

DRAWS, SEED = 200, 5


def answers(rows, right, values):
    """Of two tasks: whether each sample's class is right, and the number that was answered, of labels 0."""
    logits = torch.tensor([[2.0, 0.0] if good else [0.0, 2.0] for good in right])
    zero = torch.zeros(len(rows), dtype=torch.int64)
    return VariantAnswers(
        np.array(rows),
        {"answer": {"logits": logits}, "size": {"value": torch.tensor(values, dtype=torch.float64)}},
        {"answer": {"label": zero}, "size": {"label": zero.double()}},
        {"answer": float(np.mean(right)), "size": float(np.abs(values).mean())},
    )


def variant(tasks):
    return SimpleNamespace(model=SimpleNamespace(named_tasks=lambda: tasks), without=None)


@pytest.fixture(scope="module")
def case():
    draws = np.random.default_rng(0)
    right = draws.random((2, 24)) < [[0.8], [0.6]]
    values = draws.normal(0, 3, (2, 24))
    # the variant answers all but four rows, the original all but two others
    kept = [[row for row in range(24) if row not in gone] for gone in ((3, 7, 8, 20), (0, 11))]
    made = [answers(rows, right[i][rows], values[i][rows]) for i, rows in enumerate(kept)]
    tasks = {"answer": Classification(2, "answer", ["a", "b"]), "size": Regression(2, "size")}
    found = quality_summary(variant(tasks), *made, DRAWS, SEED)
    return right, values, kept, found


def resamples(count):
    """The places that are drawn: they depend on the number of samples and the seed alone."""
    draws = np.random.default_rng(SEED)
    return np.array([draws.integers(count, size=count) for _ in range(DRAWS)])


@pytest.mark.parametrize("task", ["answer", "size"])
def test_a_value_has_the_percentiles_of_its_own_resamples(case, task):
    right, values, kept, found = case
    each = (right[0] if task == "answer" else np.abs(values[0]))[kept[0]]
    means = each[resamples(len(each))].mean(1)
    shown = found[task]
    assert shown["samples"] == 20 and shown["value"] == pytest.approx(each.mean())
    assert shown["low"] == pytest.approx(np.percentile(means, 2.5))
    assert shown["high"] == pytest.approx(np.percentile(means, 97.5))
    assert shown["higher_is_better"] is (task == "answer")
    # the interval is as wide as the normal approximation's, so that nothing was taken for another percentile
    assert shown["high"] - shown["low"] == pytest.approx(2 * 1.96 * each.std() / np.sqrt(20), rel=0.25)


@pytest.mark.parametrize("task", ["answer", "size"])
def test_a_difference_is_paired_over_the_samples_that_both_answer(case, task):
    right, values, kept, found = case
    common = sorted(set(kept[0]) & set(kept[1]))
    mine, theirs = (right if task == "answer" else np.abs(values))[:, common].astype(float)
    paired = (mine - theirs)[resamples(len(common))].mean(1)
    shown = found[task]["difference"]
    assert shown["value"] == pytest.approx((mine - theirs).mean())
    assert shown["low"] == pytest.approx(np.percentile(paired, 2.5))
    assert shown["high"] == pytest.approx(np.percentile(paired, 97.5))


def test_answers_that_agree_nearly_everywhere_differ_by_little_with_a_narrow_interval():
    right = np.arange(100) % 2 == 0  # alone each accuracy is known to ± 0.1
    other = right.copy()
    other[0] = False
    rows = list(range(100))
    made = [answers(rows, each, np.zeros(100)) for each in (other, right)]
    found = quality_summary(variant({"answer": Classification(2, "answer", ["a", "b"])}), *made, 300, 0)["answer"]
    assert found["high"] - found["low"] > 0.15
    assert found["difference"]["value"] == pytest.approx(-0.01)
    assert -0.05 <= found["difference"]["low"] <= found["difference"]["high"] <= 0


def test_without_resamples_there_is_no_interval(case):
    rows = [0, 1]
    one = answers(rows, [True, False], [1.0, 2.0])
    tasks = {"answer": Classification(2, "answer", ["a", "b"])}
    found = quality_summary(variant(tasks), one, one, 0, SEED)["answer"]
    assert (found["value"], found["low"], found["high"]) == (0.5, None, None)
    assert found["difference"] == {"value": 0.0, "low": None, "high": None}


def test_resamples_by_hand():
    task = Classification(2, "answer", ["a", "b"])
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    labels = torch.tensor([0, 1, 1, 0, 0])
    right = (logits.argmax(1) == labels).numpy()
    draws = np.random.default_rng(3)
    expected = [right[draws.integers(5, size=5)].mean() for _ in range(30)]
    found = resampled(task, {"logits": logits}, {"label": labels}, 30, 3)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(set(found)) > 2


def test_samples_that_only_fill_a_batch_or_of_which_nothing_is_left_are_not_counted_and_rows_are_sorted():
    task = Classification(2, "answer", ["a", "b"])
    masks = torch.tensor([[True, True], [True, False], [True, True], [True, True]])  # by sample: text, image

    def batch(rows, there, labels):
        inputs = {name: {"mask": there[:, place : place + 1]} for place, name in enumerate(("text", "image"))}
        return Batch(inputs, {"answer": {"label": torch.tensor(labels)}}, torch.tensor(rows))

    def run(inputs, targets):
        size = len(inputs["image"]["mask"])
        return {"answer": {"logits": torch.tensor([[1.0, 0.0]]).expand(size, 2)}}

    made = SimpleNamespace(
        model=SimpleNamespace(named_tasks=lambda: {"answer": task}), without="text", run=run
    )  # the second has nothing but its text; row -1 fills the batch
    found = variant_answers(made, [batch([9, 4, 2, -1], masks, [0, 0, 1, 0]), batch([1], masks[:1], [0])])
    assert found.rows.tolist() == [1, 2, 9]
    assert found.targets["answer"]["label"].tolist() == [0, 1, 0]
    assert found.values["answer"] == pytest.approx(2 / 3)
