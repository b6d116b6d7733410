"""FAMO against torchjd's class, and in a module's steps."""

import pytest
import pytorch_lightning as pl
import torch
from torch import tensor
from torch.testing import assert_close
from torchjd.scalarization import FAMO

from mmbert.core.errors import TrainingError
from mmbert.data.loading.samplers import LazyLoader
from mmbert.training.balance.base import StepLosses
from mmbert.training.balance.famo import FAMOBalance
from mmbert.training.module import FusionModule
from three_tasks_model import SIZE, module_of, part, samples, three_tasks

WEIGHTS = {"answer": 1.0, "value": 0.5, "other": 1.0}


def step(values, counts=(4, 4, 4)):
    losses = {n: tensor(v, requires_grad=True) for n, v in zip(WEIGHTS, values, strict=True)}
    known = dict(zip(losses, map(float, counts), strict=True))
    return StepLosses(losses, known, losses, known)


def test_gradients_and_weights_are_torchjds_over_many_steps():
    balance, reference = FAMOBalance(three_tasks()), FAMO(3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        before, after = (torch.rand(2, 3, generator=generator) + 0.1).unbind()
        values = (before * tensor(list(WEIGHTS.values()))).requires_grad_()
        reference(values).backward()
        given = step(before.tolist())
        total, logs = balance.step_loss(given)
        total.backward()
        gradient = torch.stack([loss.grad for loss in given.losses.values()])
        assert_close(gradient, values.grad * tensor(list(WEIGHTS.values())), rtol=1e-4, atol=1e-6)
        assert_close(sum(logs.values()), tensor(1.0), atol=1e-6, rtol=0)  # a convex combination
        reference.update(after * tensor(list(WEIGHTS.values())))
        balance.stepped(lambda after=after: dict(zip(WEIGHTS, after.tolist(), strict=True)))
        assert_close(balance.logits.value, reference._w.data, rtol=1e-4, atol=1e-6)


def test_tasks_without_labels_keep_their_weight():
    balance = FAMOBalance(three_tasks())
    _, logs = balance.step_loss(step([1.0, 0.0, 2.0], (4, 0, 4)))
    assert logs["value/weight"] == 0
    balance.stepped(lambda: {"answer": 0.5, "other": 2.0})
    assert balance.logits.value[1] == 0 and balance.logits.value[0] != 0
    balance.stepped(dict)  # a step of nothing
    total, _ = balance.step_loss(step([0.0, 0.0, 0.0], (0, 0, 0)))
    assert total == 0


def test_a_negative_loss_is_refused():
    with pytest.raises(TrainingError, match="balance=famo takes the logarithm of losses, but .* 'answer' is -1"):
        FAMOBalance(three_tasks()).step_loss(step([-1.0, 1.0, 1.0]))


def fit(module, batches, **options):
    class Whole(FusionModule):
        pass

    module.__class__ = Whole

    def collate(places):
        return part(batches, places[0], places[-1] + 1)

    loader = LazyLoader(range(SIZE), collate_fn=collate, batch_size=4)
    given = {"max_epochs": 3, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(accelerator="cpu", devices=1, enable_model_summary=False, **(given | options))
    trainer.fit(module, loader)
    return module


def test_a_run_learns_from_the_same_batches_with_the_same_dropout():
    """With a learning rate of nothing the losses stay to the last bit, dropout or not: no task has fallen."""
    module = module_of(FAMOBalance, dropout=0.5)
    module.make_optimizer = lambda model, balance, steps: torch.optim.SGD(model.parameters(), lr=0.0)
    assert bool((fit(module, samples()).balance.logits.value == 0).all())
    moved = fit(module_of(FAMOBalance, dropout=0.5), samples()).balance
    assert int(moved.logits.steps.max()) == 6 and bool((moved.logits.value != 0).all())
    assert moved.sums == {}


def test_accumulated_batches_make_one_step():
    module = fit(module_of(FAMOBalance), samples(), accumulate_grad_batches=2)
    assert module.balance.logits.steps.tolist() == [3, 3, 3] and module.same_batches.batches == []


def test_nothing_of_it_is_given_to_the_optimiser():
    assert list(FAMOBalance(three_tasks()).parameters()) == []
