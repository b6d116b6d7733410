"""ε against calculations of others: Rényi divergences in NumPy, opacus' other accountant, published numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.special import gammaln, logsumexp

from mmbert.core.errors import ConfigError
from mmbert.training.private import budget as budget_module
from mmbert.training.private.budget import PrivateOptions, noise_multiplier, plan_budget, spent_epsilon


def renyi_epsilon(sigma: float, rate: float, steps: int, delta: float) -> float:
    """Mironov, Talwar & Zhang 2019 (arXiv:1908.10530), eq. 3 at integer orders; converted as Balle et al. 2020."""
    best = math.inf
    for order in range(2, 256):
        k = np.arange(order + 1)
        log_binomial = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
        terms = log_binomial + k * math.log(rate) + (order - k) * math.log1p(-rate) + (k * k - k) / (2 * sigma**2)
        divergence = steps * logsumexp(terms) / (order - 1)
        converted = divergence + math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)
        best = min(best, converted)
    return best


@pytest.mark.parametrize(("sigma", "rate", "steps", "delta"), [(1.1, 256 / 60000, 14040, 1e-5), (2.0, 0.1, 300, 1e-4)])
def test_epsilon_is_that_of_numpy(sigma: float, rate: float, steps: int, delta: float) -> None:
    by_hand = renyi_epsilon(sigma, rate, steps, delta)
    by_divergences = spent_epsilon(sigma, rate, steps, delta, "rdp")
    assert by_divergences <= by_hand * 1.001  # it has fractional orders too
    assert by_divergences == pytest.approx(by_hand, rel=0.03)
    numerically = spent_epsilon(sigma, rate, steps, delta, "prv")
    assert 0.75 * by_divergences < numerically < by_divergences


def test_a_published_number() -> None:
    """TensorFlow Privacy's tutorial on MNIST: 60 000 samples, batches of 250, σ = 1.3, 15 epochs, δ = 1e-5: ε = 1.18.

    https://www.tensorflow.org/responsible_ai/privacy/tutorials/classification_privacy (before the conversion of Balle
    et al., which gives less).
    """
    found = spent_epsilon(1.3, 250 / 60000, 15 * 240, 1e-5, "rdp")
    assert 0.9 < found < 1.18


def test_full_batches_are_the_gaussian_mechanism() -> None:
    """At rate 1 with T steps: the exact δ of a Gaussian mechanism with σ / √T (Balle & Wang 2018, arXiv:1805.06530)."""
    from scipy.stats import norm

    sigma, steps, delta = 4.0, 16, 1e-5
    epsilon = spent_epsilon(sigma, 1.0, steps, delta, "prv")
    mu = math.sqrt(steps) / sigma

    def exact(e: float) -> float:
        return float(norm.cdf(mu / 2 - e / mu) - math.exp(e) * norm.cdf(-mu / 2 - e / mu))

    assert exact(epsilon) <= delta
    assert exact(epsilon - 0.05) > delta


@pytest.mark.parametrize("accountant", ["prv", "rdp"])
def test_the_noise_spends_what_was_asked_and_no_more(accountant: str) -> None:
    budget = plan_budget(PrivateOptions(2.0, 1e-4, 1.0, accountant), 500, 50, 40)
    assert 2.0 * 0.99 <= budget.spent(40) <= 2.0
    assert budget.spent(0) == 0
    assert budget.spent(20) < budget.spent(40)
    assert budget.facts(20)["epsilon"] == budget.spent(20)


SLOW = pytest.mark.slow  # opacus' own search takes seconds there


@pytest.mark.parametrize("epsilon", [0.5, pytest.param(2.0, marks=SLOW), pytest.param(8.0, marks=SLOW)])
@pytest.mark.parametrize("accountant", ["prv", "rdp"])
def test_the_search_finds_what_the_one_of_opacus_finds(epsilon: float, accountant: str) -> None:
    from opacus.accountants.utils import get_noise_multiplier

    mechanism = {"target_epsilon": epsilon, "target_delta": 1e-4, "sample_rate": 0.05, "steps": 100}
    theirs = get_noise_multiplier(**mechanism, accountant=accountant, epsilon_tolerance=0.005 * epsilon)
    assert noise_multiplier(epsilon, 1e-4, 0.05, 100, accountant) == pytest.approx(theirs, rel=0.01)


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0])
def test_the_search_asks_the_slow_accountant_a_few_times(epsilon: float, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counting(*given: Any) -> float:
        asked.append(given[-1])
        return spent_epsilon(*given)

    monkeypatch.setattr(budget_module, "spent_epsilon", counting)
    noise_multiplier(epsilon, 1e-4, 0.032, 640, "prv")
    assert asked.count("prv") <= 3 and asked.count("rdp") <= 10


def test_the_accountant_called_directly_says_the_same_of_rate_and_steps() -> None:
    """σ from the budget, everything else from the data: 500 rows in batches of 50 are 10 batches an epoch, rate 0.1."""
    from opacus.accountants import PRVAccountant

    plan = plan_budget(PrivateOptions(2.0, 1e-4), 500, 50, 4 * 10)
    counted = PRVAccountant()
    for _ in range(40):
        counted.step(noise_multiplier=plan.noise_multiplier, sample_rate=50 / 500)
    assert counted.get_epsilon(1e-4) == pytest.approx(plan.spent(40), rel=1e-6)
    for _ in range(4):
        counted.step(noise_multiplier=plan.noise_multiplier, sample_rate=50 / 500)
    assert counted.get_epsilon(1e-4) > 2.0


def test_delta_is_a_tenth_of_one_in_n_or_refused() -> None:
    assert plan_budget(PrivateOptions(3.0, None, 1.0, "rdp"), 200, 20, 10).delta == pytest.approx(1 / 2000)
    with pytest.raises(ConfigError, match=r"privacy\.delta=0\.005: it must be .* below 1/N, which is 0\.005"):
        plan_budget(PrivateOptions(3.0, 1 / 200, 1.0, "rdp"), 200, 20, 10)


def test_an_epsilon_that_no_noise_gives_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"privacy\.epsilon=0\.01: the accountant 'rdp' finds no noise"):
        noise_multiplier(0.01, 1e-5, 0.1, 100, "rdp")


def test_without_opacus_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opacus.accountants", None)
    with pytest.raises(ConfigError, match=r"pip install mmbert\[private\]"):
        noise_multiplier(1.0, 1e-5, 0.1, 100, "prv")


def test_no_option_may_lack_a_value() -> None:
    assert PrivateOptions.of({"samples": True, "mask": []}) is None
    assert PrivateOptions.of(None) is None
    with pytest.raises(ConfigError, match=r"privacy\.epsilon=null: privacy=dp needs it"):
        PrivateOptions.of({"epsilon": None, "delta": None, "max_grad_norm": 1.0, "accountant": "prv"})
