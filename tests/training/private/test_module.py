"""A step by DP-SGD: clipping by hand, the noise's spread, what is divided by what, empty batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mmbert.core.types import Batch
from mmbert.data.loading.poisson import PoissonBatches
from mmbert.encoders.features import FeatureEncoder
from mmbert.fusion.concat import ConcatFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification
from mmbert.training.balance.fixed import FixedBalance
from mmbert.training.private.budget import Budget, PrivateOptions
from mmbert.training.private.module import PrivateModule, private_optimizer


def budget(sigma: float = 0.0, clip: float = 1.0, size: int = 4) -> Budget:
    return Budget(8.0, 1e-5, clip, "rdp", sigma, 0.1, 100, 40, size)


class Steps:
    """What ``make_private`` reads of the module, over one optimiser."""

    make_private = PrivateModule.make_private

    def __init__(self, parameters: list[nn.Parameter], plan: Budget, seed: int = 0, secure: bool = False) -> None:
        self._dp = private_optimizer(torch.optim.SGD(parameters, lr=1.0), plan, secure)
        self.options = type("Options", (), {"secure": secure})
        self.seed, self.global_step = seed, 0


def test_samples_are_clipped_over_all_parameters_summed_and_divided_by_the_expected_size() -> None:
    weight, bias = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    steps = Steps([weight, bias], budget(clip=1.0, size=4))
    weight.grad_sample = torch.tensor([[3.0, 0.0], [0.3, 0.0], [0.0, 0.0]])
    bias.grad_sample = torch.tensor([[4.0], [0.4], [0.0]])
    steps.make_private()
    # norms 5, 0.5 and 0: the first becomes 1, the others stay; three samples came, four were expected
    torch.testing.assert_close(weight.grad, torch.tensor([(0.6 + 0.3) / 4, 0.0]), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(bias.grad, torch.tensor([(0.8 + 0.4) / 4]), rtol=1e-5, atol=1e-7)
    assert weight.grad_sample is None and weight.summed_grad is None


@pytest.mark.parametrize("secure", [False, True])
def test_the_noise_has_the_spread_that_was_planned_also_in_an_empty_batch(secure: bool) -> None:
    weight = nn.Parameter(torch.zeros(200_000))
    steps = Steps([weight], budget(sigma=1.7, clip=0.5, size=8), secure=secure)
    weight.grad_sample = torch.zeros((0, 200_000))
    steps.make_private()
    planned = 1.7 * 0.5 / 8
    assert float(weight.grad.std()) == pytest.approx(planned, rel=0.01)  # five standard errors are 0.8 %
    assert abs(float(weight.grad.mean())) < 5 * planned / math.sqrt(200_000)


def test_noise_depends_on_seed_and_step_alone() -> None:
    def noise(seed: int, step: int, secure: bool = False) -> torch.Tensor:
        weight = nn.Parameter(torch.zeros(50))
        steps = Steps([weight], budget(sigma=1.0), seed, secure)
        steps.global_step = step
        weight.grad_sample = torch.zeros((0, 50))
        torch.rand(int(seed) + step)
        steps.make_private()
        return weight.grad

    assert torch.equal(noise(1, 5), noise(1, 5))
    assert not torch.equal(noise(1, 5), noise(1, 6))
    assert not torch.equal(noise(1, 5), noise(2, 5))
    assert not torch.equal(noise(1, 5, secure=True), noise(1, 5, secure=True))


N, SIZE, EPOCHS = 20, 2, 2
STEPS = EPOCHS * N // SIZE


def small_model() -> MultimodalModel:
    torch.manual_seed(4)
    encoders = {name: FeatureEncoder(3, norm=False, frozen=True) for name in ("first", "second")}
    task = Classification(5, "kind", ["a", "b", "c"], class_weights=[0.5, 1.0, 3.0], dropout=0.0)
    return MultimodalModel(encoders, ConcatFusion(dict.fromkeys(encoders, 3), 5, dropout=0.0), {"kind": task})


class Places(Dataset[tuple[int, int]]):
    """What the sampler asks for, as it is."""

    def __getitem__(self, pair: tuple[int, int]) -> tuple[int, int]:
        return pair


def batch_of(pairs: list[tuple[int, int]]) -> Batch:
    """Samples by their places; the second modality is missing in every third."""
    draw = torch.Generator().manual_seed(0)
    numbers, labels = torch.randn(2, N, 2, 3, generator=draw), torch.arange(N) % 3
    rows = torch.tensor([place for _, place in pairs])
    real = rows >= 0
    there = real & (rows % 3 != 0)
    masks = {"first": real, "second": there}
    inputs = {
        name: {"features": numbers[k][rows], "mask": masks[name].unsqueeze(1).expand(-1, 2)}
        for k, name in enumerate(masks)
    }
    return Batch(inputs, {"kind": {"label": torch.where(real, labels[rows], -100)}}, rows)


def adamw(model: nn.Module, balance: nn.Module, steps: int) -> dict[str, Any]:
    return {"optimizer": torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02, eps=1e-4)}


def sgd(model: nn.Module, balance: nn.Module, steps: int) -> dict[str, Any]:
    return {"optimizer": torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.3)}


def trained(make_optimizer: Any, plan: Budget) -> tuple[MultimodalModel, PrivateModule]:
    """By Lightning and ``PrivateModule``, with this mechanism whatever it spends."""
    model = small_model()
    balance = FixedBalance(model.named_tasks())
    options = PrivateOptions(8.0, 1e-5, plan.max_grad_norm, "rdp")
    module = PrivateModule(model, balance, make_optimizer, options, N, SIZE, seed=1, say=lambda line: None)
    module.budget = plan
    loader = DataLoader(Places(), batch_sampler=PoissonBatches(range(N), SIZE, seed=1), collate_fn=batch_of)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=EPOCHS, enable_model_summary=False, **quiet)
    trainer.fit(module, loader)
    assert trainer.global_step == STEPS
    return model, module


def batches() -> list[Batch]:
    """Those of all epochs; one of them is empty, and they differ in size."""
    sampler = PoissonBatches(range(N), SIZE, seed=1)
    return [batch_of(pairs) for _ in range(EPOCHS) for pairs in sampler]


def by_hand(make_optimizer: Any) -> MultimodalModel:
    """Plain autograd of Σ_i loss_i / ``SIZE`` on the same batches."""
    model = small_model().train()
    optimizer = make_optimizer(model, None, 0)["optimizer"]
    for batch in batches():
        optimizer.zero_grad()
        loss = model.named_tasks()["kind"].loss(model(batch.inputs).outputs["kind"], batch.targets["kind"])
        (loss.total / SIZE).backward()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        optimizer.step()
    return model


def weights(model: MultimodalModel) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("make_optimizer", [sgd, adamw])
def test_without_noise_and_clipping_it_is_plain_training_on_the_same_poisson_batches(make_optimizer: Any) -> None:
    sizes = {int((batch.rows >= 0).sum()) for batch in batches()}
    assert 0 in sizes and len(sizes) > 3, "batches of one size would not show by what is divided"
    model, _ = trained(make_optimizer, Budget(8.0, 1e-5, 1e6, "rdp", 1e-14, SIZE / N, STEPS, N, SIZE))
    first, expected = weights(small_model()), weights(by_hand(make_optimizer))
    for name, given in weights(model).items():
        torch.testing.assert_close(given, expected[name], rtol=1e-4, atol=1e-5)
        assert float((given - first[name]).abs().max()) > 0.01, name


def test_one_step_moves_no_further_than_the_clipped_samples_allow() -> None:
    """With C = 0.01 and plain gradient descent each step is at most lr · n · C / size, n being the batch's samples."""
    model, _ = trained(sgd, Budget(8.0, 1e-5, 0.01, "rdp", 1e-14, SIZE / N, STEPS, N, SIZE))
    first, samples = weights(small_model()), sum(int((batch.rows >= 0).sum()) for batch in batches())
    moved = math.sqrt(sum(float((p - first[name]).square().sum()) for name, p in weights(model).items()))
    assert 0 < moved <= 0.3 * samples * 0.01 / SIZE


def test_the_noise_of_a_sum_has_the_variance_of_sigma_times_c() -> None:
    """Two runs that differ in noise alone: of a linear loss the difference is the noise of one step."""
    plan = Budget(8.0, 1e-5, 0.3, "rdp", 2.0, 0.1, 100, 40, 8)
    sums = []
    for seed in range(2000):
        weight = nn.Parameter(torch.zeros(3))
        steps = Steps([weight], plan, seed)
        weight.grad_sample = torch.full((5, 3), 0.1)
        steps.make_private()
        sums.append(weight.grad * 8 - 5 * 0.1)
    noise = torch.stack(sums).numpy()
    assert noise.var() == pytest.approx((2.0 * 0.3) ** 2, rel=0.08)  # five standard errors: 5 · sqrt(2 / 6000) = 9 %
    assert abs(noise.mean()) < 5 * 0.6 / math.sqrt(noise.size)
    assert abs(np.corrcoef(noise.T)[np.triu_indices(3, 1)]).max() < 0.12


def test_what_is_stored_counts_the_steps_that_were_taken() -> None:
    from opacus.accountants import RDPAccountant

    _, module = trained(sgd, Budget(8.0, 1e-5, 1.0, "rdp", 1.5, SIZE / N, STEPS, N, SIZE))
    facts, counted = module.private_facts(), RDPAccountant()
    for _ in batches():
        counted.step(noise_multiplier=1.5, sample_rate=SIZE / N)
    assert facts["steps"] == STEPS == 20
    assert facts["epsilon"] == pytest.approx(counted.get_epsilon(1e-5), rel=1e-9)
