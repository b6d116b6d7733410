"""The loss of distillation against NumPy, and which tasks have none."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.deploy.compress.distillation import Distillation, distillation_term, distilled_key
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.regression import Regression
from mmbert.tasks.transcription import Transcription
from mmbert.training.epoch_means import EpochMeans


def softmax(x):
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def pair(seed):
    draws = np.random.default_rng(seed)
    return draws.normal(0, 3, (4, 5)), draws.normal(0, 3, (4, 5))


def test_of_classes_it_is_the_divergence_at_the_temperature_times_its_square():
    student, teacher = pair(0)
    known, made = softmax(teacher / 3), softmax(student / 3)
    expected = 9 * (known * np.log(known / made)).sum(1)
    found = distillation_term("classification", torch.tensor(student), torch.tensor(teacher), 3.0)
    np.testing.assert_allclose(found.numpy(), expected)
    assert (expected > 0.1).all()


def test_of_properties_it_is_that_of_each_one():
    student, teacher = pair(1)
    known, made = 1 / (1 + np.exp(-teacher / 2)), 1 / (1 + np.exp(-student / 2))
    each = known * np.log(known / made) + (1 - known) * np.log((1 - known) / (1 - made))
    found = distillation_term("multilabel", torch.tensor(student), torch.tensor(teacher), 2.0)
    np.testing.assert_allclose(found.numpy(), 4 * each.mean(1))


def test_who_answers_alike_pays_nothing():
    student, _ = pair(2)
    same = torch.tensor(student)
    for kind in ("classification", "multilabel", "regression"):
        torch.testing.assert_close(distillation_term(kind, same, same, 2.0), torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize("temperature", [5.0, 50.0])
def test_the_square_keeps_the_size_of_gradients(temperature):
    student, teacher = (torch.tensor(x) for x in pair(3))
    size = {}
    for t in (temperature, 2 * temperature):
        given = student.clone().requires_grad_()
        distillation_term("classification", given, teacher, t).sum().backward()
        size[t] = float(given.grad.norm())
    assert 0.7 < size[temperature] / size[2 * temperature] < 1.4


def test_a_step_mixes_both_losses_by_alpha_and_finds_the_teacher_by_the_row():
    tasks = {
        "answer": Classification(4, "answer", ["a", "b", "c"], weight=2.0),
        "value": Regression(4, "value", 10.0, 5.0),
    }
    logits, numbers = torch.randn(3, 3), torch.tensor([1.0, 2.0, 3.0])
    teacher = {
        "answer": {7: torch.tensor([1.0, 0.0, -1.0]), 9: torch.tensor([0.0, 2.0, 0.0])},
        "value": {7: torch.tensor(6.0), 9: torch.tensor(8.0)},
    }
    keys = {name: distilled_key(name, task) for name, task in tasks.items()}
    assert keys == {"answer": "logits", "value": "value"}
    distillation = Distillation(teacher, keys, temperature=2.0, alpha=0.25)
    module = SimpleNamespace(tasks=tasks, means={"train": EpochMeans()})
    batch = SimpleNamespace(rows=torch.tensor([9, -1, 7]))  # the second only fills up the batch
    output = SimpleNamespace(outputs={"answer": {"logits": logits}, "value": {"value": numbers}})
    found = distillation.trained_loss(module, batch, output, torch.tensor(10.0))
    there, known = logits[[0, 2]].numpy().astype(np.float64), np.array([[0.0, 2.0, 0.0], [1.0, 0.0, -1.0]])
    a, b = softmax(known / 2), softmax(there / 2)
    classes = 4 * (a * np.log(a / b)).sum(1).mean()
    values = np.mean([((1 - 8) / 5) ** 2, ((3 - 6) / 5) ** 2])
    assert float(found) == pytest.approx(0.75 * 10 + 0.25 * (2 * classes + values), rel=1e-5)


def test_tasks_without_logits_of_samples_are_refused():
    assert distilled_key("p", Multilabel(4, "p", ["x", "y"])) == "logits"
    task = Transcription.__new__(Transcription)
    with pytest.raises(ConfigError, match=r"'said' \(Transcription\) cannot be distilled"):
        distilled_key("said", task)
