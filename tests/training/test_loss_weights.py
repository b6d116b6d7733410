"""A step made of several batches, or of several processes' batches, is the step of one batch that holds all of them."""

import math
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from mmbert.core.types import UNLABELLED, Batch, Encoded, Fused, rows_of
from mmbert.data.loading.samplers import LazyLoader
from mmbert.encoders.base import Encoder
from mmbert.fusion.mean import MeanFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification
from mmbert.tasks.regression import Regression
from mmbert.training.balance.fixed import FixedBalance
from mmbert.training.balance.uncertainty import UncertaintyBalance
from mmbert.training.loss_weights import SAMPLES, LossWeights, sum_of
from mmbert.training.modality_balance.gradient_blending import GradientBlending
from mmbert.training.module import FusionModule

DIMS = {"text": 3, "image": 2}
SIZE = 8


class Linear(Encoder):
    """One layer on given vectors."""

    kind = "features"

    def __init__(self, dim):
        super().__init__()
        self.out_dim = dim
        self.layer = torch.nn.Linear(dim, dim)

    def encode(self, inputs):
        return Encoded.from_tokens(self.layer(inputs["tokens"]), inputs["mask"])


class Charged(MeanFusion):
    """A mean with a loss of its own, a mean over samples."""

    def fuse(self, inputs):
        pooled = super().fuse(inputs)
        return Fused(pooled, auxiliary_losses={"size": pooled.square().mean()})


def samples(seed=0, answers=None, values=None):
    """One batch of all samples; the last one lacks its picture."""
    generator = torch.Generator().manual_seed(seed)
    inputs = {
        name: {"tokens": torch.randn(SIZE, 1, dim, generator=generator), "mask": torch.ones(SIZE, 1).bool()}
        for name, dim in DIMS.items()
    }
    inputs["image"]["mask"][-1] = False
    label = torch.randint(0, 3, (SIZE,), generator=generator)
    value = torch.randn(SIZE, generator=generator)
    if answers is not None:
        label[~torch.tensor(answers)] = UNLABELLED
    if values is not None:
        value[~torch.tensor(values)] = math.nan
    return Batch(inputs, {"answer": {"label": label}, "value": {"label": value}}, torch.arange(SIZE))


def part(batch, start, end):
    rows = torch.arange(start, end)
    return Batch(rows_of(batch.inputs, rows), rows_of(batch.targets, rows), batch.rows[rows])


def module_of(balance=FixedBalance, blending=False, weights=None, **options):
    torch.manual_seed(0)
    encoders = {name: Linear(dim) for name, dim in DIMS.items()}
    tasks = {
        "answer": Classification(4, "answer", ["a", "b", "c"], dropout=0.0, class_weights=weights),
        "value": Regression(4, "value", dropout=0.0, weight=0.5),
    }
    model = MultimodalModel(encoders, Charged(DIMS, 4, dropout=0.0), tasks)
    method = GradientBlending(weights={"text": 1, "image": 2, "joint": 3}) if blending else None
    if method is not None:
        method.setup(SimpleNamespace(), SimpleNamespace(model=model), "fit")

    def penalty(model):
        return 0.01 * sum(p.abs().sum() for p in model.parameters())

    def sgd(model, balance, steps):
        return torch.optim.SGD([*model.parameters(), *balance.parameters()], lr=0.1)

    return FusionModule(model, balance(tasks), sgd, penalty, method, **options)


class Step(FusionModule):
    """Takes losses without a trainer."""

    def _show_loss(self, loss):
        self.shown = loss


def gradients(module, batches, accumulated):
    """What Lightning's loop gives: the sum of the batches' losses, each divided by k."""
    module.__class__ = Step
    module.window = SimpleNamespace(current=LossWeights([module._counts(b) for b in batches], accumulated))
    for batch in batches:
        (module.training_step(batch, 0) / accumulated).backward()
    return {name: p.grad for name, p in module.named_parameters()} | {"loss": getattr(module, "shown", None)}


CUTS = st.lists(st.integers(1, SIZE - 1), max_size=3, unique=True).map(sorted)
MASKS = st.lists(st.booleans(), min_size=SIZE, max_size=SIZE)


@given(cuts=CUTS, answers=MASKS, values=MASKS, more=st.integers(0, 2), blending=st.booleans(), plain=st.booleans())
@settings(deadline=None, max_examples=25)
def test_accumulated_gradients_are_those_of_one_batch_whatever_is_labelled(
    cuts, answers, values, more, blending, plain
):
    whole = samples(answers=answers, values=values)
    edges = [0, *cuts, SIZE]
    batches = [part(whole, start, end) for start, end in zip(edges, edges[1:], strict=False)]
    options = {"balance": FixedBalance if plain else UncertaintyBalance, "blending": blending}
    weights = None if plain else [0.2, 1.0, 3.0]
    expected = gradients(module_of(weights=weights, **options), [whole], 1)
    # more: the last window of an epoch holds fewer batches than k
    given = gradients(module_of(weights=weights, **options), batches, len(batches) + more)
    for name, gradient in expected.items():
        assert_close(given[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


def test_one_batch_in_one_process_is_weighed_by_nothing():
    weights = LossWeights([{"answer": 3.0, SAMPLES: 8.0}], 1)
    weights.next_batch()
    assert (weights.weight("answer"), weights.share, weights.count("answer", 2.0)) == (1.0, 1.0, 2.0)


def test_weights_by_hand():
    weights = LossWeights([{"answer": 3.0, SAMPLES: 4.0}, {"answer": 0.0, SAMPLES: 2.0}], 4)
    weights.next_batch()
    assert weights.weight("answer") == 4 * 3 / 3 and weights.weight(SAMPLES) == 4 * 4 / 6
    weights.next_batch()
    assert weights.weight("answer") == 0 and weights.weight(SAMPLES) == 4 * 2 / 6
    assert weights.share == 2 and weights.count("answer", 0.0) == 3 and weights.weight("unknown") == 1
    assert sum_of([]) == {}


def loader_of(whole, size):
    def collate(places):
        return part(whole, places[0], places[-1] + 1)

    return LazyLoader(range(SIZE), collate_fn=collate, batch_size=size)


def fit(module, loader, **options):
    """The parameters after one epoch."""
    given = {"max_epochs": 1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(accelerator="cpu", devices=1, enable_model_summary=False, **(given | options))
    trainer.fit(module, loader)
    return dict(module.named_parameters())


@pytest.mark.parametrize("accumulated", [2, 3])  # of four batches: two windows of two; one of three and one of one
def test_a_run_that_accumulates_takes_the_steps_of_larger_batches(accumulated):
    whole = samples(answers=[True, False, False, True, True, True, False, False], values=[False] * 3 + [True] * 5)
    one = fit(module_of(), loader_of(whole, 2 * accumulated))
    other = fit(module_of(), loader_of(whole, 2), accumulate_grad_batches=accumulated)
    start = dict(module_of().named_parameters())
    for name, parameter in one.items():
        assert_close(other[name], parameter, rtol=1e-5, atol=1e-7)
    assert any((one[name] - start[name]).abs().max() > 1e-3 for name in one)


def test_batches_that_are_never_trained_on_weigh_nothing():
    whole = samples(answers=[True, True, False, False, True, True, True, True])
    short = {"limit_train_batches": 3, "accumulate_grad_batches": 2}
    given = fit(module_of(), loader_of(whole, 2), **short)
    expected = module_of()
    optimizer = expected.make_optimizer(expected.model, expected.balance, 0)
    for start, end in ((0, 4), (4, 6)):
        optimizer.zero_grad()
        gradients(expected, [part(whole, start, end)], 1)
        optimizer.step()
    for name, parameter in expected.named_parameters():
        assert_close(given[name], parameter, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("labelled", [[False] * SIZE, [True] + [False] * (SIZE - 1)])
def test_a_loss_over_nothing_is_left_out(labelled):
    """Not 0.0, which would look like the best there is."""
    module, nobody = module_of(), samples(answers=labelled, values=[False] * SIZE)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader_of(nobody, 4), loader_of(nobody, 4))
    measured = set(trainer.callback_metrics)
    expected = (
        {f"{split}/answer/loss" for split in ("train", "val")} | {"train/loss", "val/loss"} if any(labelled) else set()
    )
    assert {name for name in measured if name.endswith("/loss")} == expected
    module.begin_test("test")
    trainer.test(module, dataloaders=loader_of(nobody, 4), verbose=False)
    assert {name for name in module.numbers if name.endswith("/loss")} == (
        {"test/answer/loss", "test/loss"} if any(labelled) else set()
    )


def half(rank, folder, accumulated):
    """One of two processes: two batches of its half of the samples, of which one process has no label at all."""
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    mine = part(labelled_by_halves(), 4 * rank, 4 * rank + 4)
    found = gradients(module_of(UncertaintyBalance), [part(mine, 0, 1), part(mine, 1, 4)], accumulated)
    for name, gradient in found.items():
        if name != "loss":
            dist.all_reduce(gradient)
            found[name] = gradient / 2  # as DistributedDataParallel does
    if rank == 0:
        torch.save(found, f"{folder}/gradients.pt")
    dist.destroy_process_group()


def labelled_by_halves():
    return samples(answers=[True, False, True, True, False, False, False, False], values=[False] * 3 + [True] * 5)


@pytest.mark.slow
@pytest.mark.parametrize("accumulated", [2, 3])
def test_two_processes_take_the_step_of_one(tmp_path, accumulated):
    mp.spawn(half, args=(str(tmp_path), accumulated), nprocs=2)
    found = torch.load(tmp_path / "gradients.pt", weights_only=True)
    expected = gradients(module_of(UncertaintyBalance), [labelled_by_halves()], 1)
    for name, gradient in expected.items():
        if name != "loss":
            assert_close(found[name], gradient, rtol=1e-5, atol=1e-7)
