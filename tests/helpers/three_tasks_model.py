"""A small model of three tasks on given vectors, and its gradients as Lightning's loop would make them."""

import math
from types import SimpleNamespace

import torch

from mmbert.core.types import UNLABELLED, Batch, Encoded, Fused, rows_of
from mmbert.encoders.base import Encoder
from mmbert.fusion.mean import MeanFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification
from mmbert.tasks.regression import Regression
from mmbert.training.balance.fixed import FixedBalance
from mmbert.training.loss_weights import LossWeights
from mmbert.training.module import FusionModule

DIMS = {"text": 3, "image": 2}
SIZE = 8


class Layer(Encoder):
    """One layer on given vectors."""

    kind = "features"

    def __init__(self, dim):
        super().__init__()
        self.out_dim = dim
        self.layer = torch.nn.Linear(dim, dim)

    def encode(self, inputs):
        return Encoded.from_tokens(self.layer(inputs["tokens"]), inputs["mask"])


class WithLoss(MeanFusion):
    """A mean with a loss of its own."""

    def fuse(self, inputs):
        pooled = super().fuse(inputs)
        return Fused(pooled, auxiliary_losses={"size": pooled.square().mean()})


class FromEncoder(Regression):
    """A task that reads an encoded modality besides the fused vector."""

    def forward(self, state, targets=None):
        given = super().forward(state, targets)
        return {"value": given["value"] + state.encoded["text"].pooled.sum(1)}


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
    other = torch.randn(SIZE, generator=generator)
    if answers is not None:
        label[~torch.tensor(answers)] = UNLABELLED
    if values is not None:
        value[~torch.tensor(values)] = math.nan
    return Batch(
        inputs, {"answer": {"label": label}, "value": {"label": value}, "other": {"label": other}}, torch.arange(SIZE)
    )


def part(batch, start, end):
    rows = torch.arange(start, end)
    return Batch(rows_of(batch.inputs, rows), rows_of(batch.targets, rows), batch.rows[rows])


def three_tasks(dropout=0.0):
    return {
        "answer": Classification(4, "answer", ["a", "b", "c"], dropout=dropout),
        "value": Regression(4, "value", dropout=dropout, weight=0.5),
        "other": FromEncoder(4, "other", dropout=dropout),
    }


class Step(FusionModule):
    """Takes losses without a trainer."""

    def _show_loss(self, loss):
        self.shown = loss


def module_of(balance=FixedBalance, penalty=None, dropout=0.0, **options):
    torch.manual_seed(0)
    encoders = {name: Layer(dim) for name, dim in DIMS.items()}
    tasks = three_tasks(dropout)
    model = MultimodalModel(encoders, WithLoss(DIMS, 4, dropout=0.0), tasks)

    def sgd(model, balance, steps):
        return torch.optim.SGD([p for p in [*model.parameters(), *balance.parameters()] if p.requires_grad], lr=0.1)

    return Step(model, balance(tasks, **options), sgd, penalty)


def gradients(module, batches, accumulated=1):
    """What Lightning's loop gives: the sum of the batches' losses, each divided by k."""
    module.window = SimpleNamespace(current=LossWeights([module._counts(b) for b in batches], accumulated))
    for batch in batches:
        (module.training_step(batch, 0) / accumulated).backward()
    return {name: p.grad.clone() for name, p in module.model.named_parameters() if p.grad is not None}
