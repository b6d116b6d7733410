"""Every parameter in one group, decay where it belongs, schedules equal to the formulas in use elsewhere."""

import io
import math

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn, tensor
from torch.testing import assert_close

from mmbert.core.errors import ConfigError
from mmbert.encoders.features import FeatureEncoder
from mmbert.fusion.late_mean import LateMeanFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification
from mmbert.tasks.generation import Generation
from mmbert.training.optim import (
    AdamWOptimizer,
    WarmupConstant,
    WarmupCosine,
    l1_norm,
    parameter_groups,
    warmup_steps,
)


class Part(nn.Module):
    """Something of each kind: a matrix, a bias, norms, an embedding, a bare scale, a bias of two dimensions."""

    def __init__(self, lr_scale=1.0, frozen=False):
        super().__init__()
        self.lr_scale = lr_scale
        self.words = nn.Embedding(5, 3)
        self.linear = nn.Linear(3, 3)
        self.norm = nn.LayerNorm([2, 3])
        self.attention = nn.MultiheadAttention(3, 1)
        self.scale = nn.Parameter(torch.ones(()))
        self.low_rank_bias = nn.Parameter(torch.zeros(1, 3))
        self.requires_grad_(not frozen)


class Model(nn.Module):
    def __init__(self, **encoders):
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.fusion = Part()
        self.tasks = nn.ModuleDict({"answer": nn.Sequential(nn.Dropout(0.1), nn.Linear(3, 2))})


class Balance(nn.Module):
    def __init__(self):
        super().__init__()
        self.log_variances = nn.ParameterDict({"answer": nn.Parameter(torch.zeros(()))})
        self.matrix = nn.Parameter(torch.zeros(2, 2))


def names_in(groups, *modules):
    names = {id(p): name for module in modules for name, p in module.named_parameters()}
    return {group["name"]: {names[id(p)] for p in group["params"]} for group in groups}


def test_decay_spares_biases_norms_and_scalars():
    model = Model()
    groups = parameter_groups(model, None, lr=0.1, weight_decay=0.5)
    got = names_in(groups, model)
    assert got == {
        "model/decay": {
            "fusion.words.weight",
            "fusion.linear.weight",
            "fusion.attention.in_proj_weight",
            "fusion.attention.out_proj.weight",
            "tasks.answer.1.weight",
        },
        "model/no_decay": {
            "fusion.linear.bias",
            "fusion.norm.weight",  # two dimensions, but a norm's
            "fusion.norm.bias",
            "fusion.attention.in_proj_bias",
            "fusion.attention.out_proj.bias",
            "fusion.scale",
            "fusion.low_rank_bias",
            "tasks.answer.1.bias",
        },
    }
    assert {group["name"]: group["weight_decay"] for group in groups} == {"model/decay": 0.5, "model/no_decay": 0.0}


def test_learning_rates_follow_each_encoders_scale():
    model = Model(text=Part(lr_scale=0.1), image=Part(lr_scale=2.0))
    optimizer = AdamWOptimizer(lr=0.01).optimizer(model, Balance())
    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == pytest.approx(
        {
            "encoders.text/decay": 0.001,
            "encoders.text/no_decay": 0.001,
            "encoders.image/decay": 0.02,
            "encoders.image/no_decay": 0.02,
            "model/decay": 0.01,
            "model/no_decay": 0.01,
            "balance/no_decay": 0.01,
        }
    )


def test_a_tasks_scale_is_that_of_all_its_heads_and_of_nothing_else():
    encoders = {"text": FeatureEncoder(6), "image": FeatureEncoder(5)}
    dims = {name: encoder.out_dim for name, encoder in encoders.items()}
    small = {"hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 16}
    tasks = {
        "said": Generation(8, "said", dims, decoder="tiny", config=small, max_length=4, lr_scale=0.01),
        "mood": Classification(8, "mood", ["a", "b"], lr_scale=0.5),
        "kind": Classification(8, "kind", ["a", "b"]),
    }
    model = MultimodalModel(encoders, LateMeanFusion(dims, 8), tasks)  # mood and kind have a head a modality
    optimizer = AdamWOptimizer(lr=0.02).optimizer(model)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert len(grouped) == len(set(grouped)) == len(list(model.parameters()))

    def expected(name):
        if "decision_heads.mood" in name or "tasks.mood" in name:
            return 0.01
        return 0.0002 if "tasks.said" in name else 0.02

    assert {name: rates[id(p)] for name, p in model.named_parameters()} == pytest.approx(
        {name: expected(name) for name, _ in model.named_parameters()}
    )
    assert {"tasks.said/decay", "tasks.mood/no_decay", "model/decay"} <= {g["name"] for g in optimizer.param_groups}
    assert not any(group["name"].startswith("tasks.kind") for group in optimizer.param_groups)


def test_the_balance_is_trained_without_decay():
    balance = Balance()
    groups = parameter_groups(Model(), balance, lr=0.1, weight_decay=0.5)
    assert names_in(groups[-1:], balance) == {"balance/no_decay": {"log_variances.answer", "matrix"}}
    assert groups[-1]["weight_decay"] == 0


@given(
    parts=st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 1.0])), max_size=3),
    shared=st.booleans(),
    balanced=st.booleans(),
    frozen_share=st.integers(1, 5),
    of_task=st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(deadline=None, max_examples=30)
def test_every_trainable_parameter_is_in_exactly_one_group(parts, shared, balanced, frozen_share, of_task):
    model = Model(**{f"part{i}": Part(scale, frozen) for i, (frozen, scale) in enumerate(parts)})
    model.tasks["answer"].lr_scale = of_task
    if shared and len(parts) > 1:
        model.tasks["answer"][1].weight = model.fusion.linear.weight  # a task's, and the fusion's
        model.encoders["part1"].linear = model.encoders["part0"].linear  # one layer, two owners
        model.fusion.words.weight = model.encoders["part0"].words.weight  # one tensor, two owners
    for index, parameter in enumerate(model.parameters()):
        if index % frozen_share == 1:
            parameter.requires_grad_(False)
    balance = Balance() if balanced else None
    groups = parameter_groups(model, balance, 0.1, 0.1)
    grouped = [id(p) for group in groups for p in group["params"]]
    expected = {id(p) for module in (model, balance) if module for p in module.parameters() if p.requires_grad}
    assert len(grouped) == len(set(grouped)) and set(grouped) == expected
    assert len({group["name"] for group in groups}) == len(groups)
    torch.optim.AdamW(groups)  # refuses a parameter that stands in two groups


def test_a_model_without_trainable_parameters_is_refused():
    model = Model()
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match="every parameter is frozen"):
        AdamWOptimizer().optimizer(model)


def test_one_step_is_that_of_torchs_own_adamw():
    torch.manual_seed(0)
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    options = {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-6}
    reference = torch.optim.AdamW(
        [{"params": [theirs.weight], "weight_decay": 0.3}, {"params": [theirs.bias], "weight_decay": 0.0}],
        fused=False,
        **options,
    )
    optimizer = AdamWOptimizer(weight_decay=0.3, **options).optimizer(ours)
    for module, opt in ((ours, optimizer), (theirs, reference)):
        for _ in range(3):
            opt.zero_grad()
            module(torch.ones(4, 3)).square().sum().backward()
            opt.step()
    assert_close(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize(("fused", "expected"), [(None, True), (False, False)])
def test_one_kernel_for_all_parameters_wherever_there_is_one(fused, expected):
    assert AdamWOptimizer(fused=fused).optimizer(Model()).defaults["fused"] is expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.0}, "optimizer.lr=0.0"),
        ({"lr": math.nan}, "optimizer.lr=nan"),
        ({"weight_decay": -1.0}, "optimizer.weight_decay=-1.0"),
        ({"l1": -1e-4}, "optimizer.l1=-0.0001"),
        ({"betas": (0.9, 1.0)}, "optimizer.betas="),
    ],
)
def test_options_of_adamw_that_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        AdamWOptimizer(**options)


# ---- L1


def test_l1_counts_each_decayed_trainable_weight_once():
    model = Model(text=Part(frozen=True))
    model.fusion.linear.weight.data = tensor([[1.0, -2.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, -0.5]])
    for weight in (model.fusion.words.weight, model.fusion.attention.in_proj_weight, model.tasks["answer"][1].weight):
        weight.data.zero_()
    model.fusion.attention.out_proj.weight = model.fusion.linear.weight  # shared: counted once
    assert l1_norm(model).item() == 4.0
    penalty = AdamWOptimizer(l1=0.25).penalty
    penalty(model).backward()
    assert penalty(model).item() == 1.0
    assert_close(model.fusion.linear.weight.grad, 0.25 * model.fusion.linear.weight.sign())
    assert model.fusion.linear.bias.grad is None and model.fusion.norm.weight.grad is None


def test_without_l1_there_is_no_penalty():
    assert AdamWOptimizer().penalty is None


# ---- schedules


def rates(schedule, total, steps):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = schedule.build(optimizer, total)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize(("warmup", "total"), [(0, 7), (3, 10), (10, 10), (25, 10), (1, 1)])
def test_cosine_equals_that_of_transformers(warmup, total):
    from transformers import optimization

    class Theirs:
        def __init__(self, make, **options):
            self.make, self.options = make, options

        def build(self, optimizer, total_steps):
            return self.make(optimizer, warmup, total_steps, **self.options)

    to_zero = Theirs(optimization.get_cosine_schedule_with_warmup)
    to_a_fifth = Theirs(optimization.get_cosine_with_min_lr_schedule_with_warmup, min_lr_rate=0.2)
    assert rates(WarmupCosine(warmup), total, total) == pytest.approx(rates(to_zero, total, total))
    assert rates(WarmupCosine(warmup, 0.2), total, total) == pytest.approx(rates(to_a_fifth, total, total))


def test_cosine_by_hand():
    # warm-up of 2 steps, then cos from 1 to 0.5 over 4 steps, and 0.5 for ever after
    expected = [0.0, 1.0, 2.0, 1.853553, 1.5, 1.146447, 1.0, 1.0, 1.0]
    assert rates(WarmupCosine(2, min_lr_ratio=0.5), 6, 9) == pytest.approx(expected, abs=1e-6)


def test_constant_by_hand():
    assert rates(WarmupConstant(), 4, 6) == [2.0] * 6
    assert rates(WarmupConstant(0.5), 4, 5) == [0.0, 1.0, 2.0, 2.0, 2.0]


@pytest.mark.parametrize(("warmup", "steps"), [(0, 0), (7, 7), (0.1, 20), (0.0, 0), (0.999, 200)])
def test_warmup_is_told_in_steps_or_as_a_fraction(warmup, steps):
    assert warmup_steps(warmup, 200) == steps


@pytest.mark.parametrize("schedule", [WarmupCosine, WarmupConstant])
@pytest.mark.parametrize("warmup", [-1, 1.0, 1.5, -0.1, True, "ten"])
def test_warmup_that_is_refused(schedule, warmup):
    with pytest.raises(ConfigError, match=f"scheduler.warmup={warmup} must be"):
        schedule(warmup)


def test_minimum_that_is_refused():
    with pytest.raises(ConfigError, match="min_lr_ratio=2"):
        WarmupCosine(min_lr_ratio=2)


def test_a_resumed_run_follows_the_new_length_and_its_state_is_safe_to_load():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    first = WarmupCosine(0).build(optimizer, 10)
    for _ in range(5):
        optimizer.step()
        first.step()
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    longer = WarmupCosine(0).build(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), 20)
    longer.load_state_dict(torch.load(buffer, weights_only=True))
    longer.optimizer.step()
    longer.step()
    assert longer.get_last_lr()[0] == pytest.approx(0.5 * (1 + math.cos(math.pi * 6 / 20)))


# ---- within Lightning


class Trained(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = Model()
        self.rates = []

    def training_step(self, batch, index):
        self.rates.append(self.optimizers().param_groups[0]["lr"])
        return self.model.tasks["answer"](batch[0]).square().mean()

    def configure_optimizers(self):
        return AdamWOptimizer(lr=1.0).build(
            self.model, None, int(self.trainer.estimated_stepping_batches), WarmupCosine(0)
        )


@pytest.mark.filterwarnings("ignore")
def test_lightning_steps_the_schedule_every_batch_and_clips_in_mixed_precision(tmp_path):
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(4, 3)), batch_size=1)
    module = Trained()
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        precision="bf16-mixed",
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, loader)
    assert module.rates == pytest.approx([0.5 * (1 + math.cos(math.pi * t / 4)) for t in range(4)])
