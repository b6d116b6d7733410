"""The privacy budget of a run: options, the noise that keeps within it, and the ε that its steps have spent.

A step of DP-SGD (Abadi et al. 2016, arXiv:1607.00133) adds N(0, (σ C)²) to the sum of a Poisson batch's clipped
gradients: the subsampled Gaussian mechanism with rate q and noise multiplier σ. opacus' accountants compose T of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import isfinite, log, sqrt
from typing import Any, NamedTuple

from mmbert.core.errors import ConfigError

#: Accountants by their option's word: opacus' own names.
ACCOUNTANTS = ("prv", "rdp")
#: How far below the ε that was asked for the planned one may lie, as a share.
UNSPENT_SHARE = 0.01
#: The noise beyond which no ε is sought.
MOST_NOISE = 1e6
INSTALL_OPACUS = "privacy=dp needs opacus: pip install mmbert[private]"


@dataclass(frozen=True)
class PrivateOptions:
    """What ``privacy=dp`` says of training.

    Attributes:
        epsilon: the most that all steps together may spend.
        delta: the probability with which ε may not hold; None = 1 / (10 N), a tenth of what N samples forbid.
        max_grad_norm: C, the norm to which each sample's gradient is clipped.
        accountant: ``prv`` (Gopi et al. 2021, arXiv:2106.02848) or ``rdp`` (Mironov et al. 2019, arXiv:1908.10530).
        secure: noise and batches from the operating system's entropy, and noise that is safe from the rounding of
            floating-point numbers; no run can then be repeated.
    """

    epsilon: float
    delta: float | None = None
    max_grad_norm: float = 1.0
    accountant: str = "prv"
    secure: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any] | None) -> PrivateOptions | None:
        """Those of a config's node ``privacy``; None where it asks for no private training.

        Raises:
            ConfigError: an option has no value.
        """
        given = options or {}
        if "epsilon" not in given:
            return None
        for name in ("epsilon", "max_grad_norm", "accountant"):
            if given.get(name) is None:
                raise ConfigError(f"privacy.{name}=null: privacy=dp needs it. For training without: privacy=none.")
        delta = given.get("delta")
        return cls(
            float(given["epsilon"]),
            None if delta is None else float(delta),
            float(given["max_grad_norm"]),
            str(given["accountant"]),
            bool(given.get("secure")),
        )


@dataclass(frozen=True)
class Budget:
    """The mechanism of one run.

    Attributes:
        epsilon: asked for.
        delta: as used.
        max_grad_norm: C.
        accountant: see ``PrivateOptions``.
        noise_multiplier: σ.
        sample_rate: q.
        planned_steps: T, for which σ was found; no more are taken.
        samples: N.
        batch_size: the expected size of a batch, the denominator of every step.
    """

    epsilon: float
    delta: float
    max_grad_norm: float
    accountant: str
    noise_multiplier: float
    sample_rate: float
    planned_steps: int
    samples: int
    batch_size: int

    def spent(self, steps: int) -> float:
        """ε after so many steps."""
        return spent_epsilon(self.noise_multiplier, self.sample_rate, steps, self.delta, self.accountant)

    def facts(self, steps: int) -> dict[str, Any]:
        """What a run stores; ``epsilon`` is what ``steps`` have spent, ``target_epsilon`` what was asked."""
        own = asdict(self)
        return {"target_epsilon": own.pop("epsilon"), "epsilon": self.spent(steps), "steps": steps, **own}


def plan_budget(options: PrivateOptions, samples: int, batch_size: int, steps: int) -> Budget:
    """The least noise with which ``steps`` steps spend at most ``options.epsilon``.

    Raises:
        ConfigError: δ is too large for so many samples, opacus is not installed, or no noise will do.
    """
    delta = check_delta(options, samples)
    rate = min(1.0, batch_size / samples)
    sigma = noise_multiplier(options.epsilon, delta, rate, steps, options.accountant)
    return Budget(
        options.epsilon, delta, options.max_grad_norm, options.accountant, sigma, rate, steps, samples, batch_size
    )


def check_delta(options: PrivateOptions, samples: int) -> float:
    """δ as it is used.

    Raises:
        ConfigError: it is 1/N or more.
    """
    delta = 1 / (10 * samples) if options.delta is None else options.delta
    if not 0 < delta < 1 / samples:
        raise ConfigError(
            f"privacy.delta={delta:g}: it must be above 0 and below 1/N, which is {1 / samples:.3g} for the "
            f"{samples:,} samples of train; else a model that publishes one of its samples would pass for private. "
            "privacy.delta=null takes 1/(10 N)."
        )
    return delta


def noise_multiplier(epsilon: float, delta: float, rate: float, steps: int, accountant: str) -> float:
    """A σ with which ``steps`` steps at rate ``rate`` spend at most ε, and at least 99 % of it.

    opacus' own ``get_noise_multiplier`` bisects from 0 and 10 on, and both accountants are slow where there is little
    noise. Here Rényi divergences, which are quick and as a rule a little above the numerical accountant, say where to
    begin, and how ε falls with σ.

    Raises:
        ConfigError: opacus is not installed, or there is no such σ.
    """
    least = least_of_divergences(delta)
    found = None
    begin = rate * sqrt(2 * steps * log(1 / delta)) / epsilon  # many steps, each with little effect
    if least < epsilon:
        found = least_noise(begin, epsilon, delta, rate, steps, "rdp")
    if accountant != "rdp":
        found = least_noise(found or begin, epsilon, delta, rate, steps, accountant, by_divergences=found is not None)
    if found is None:
        raise no_noise(epsilon, delta, rate, steps, accountant)
    return found


def least_of_divergences(delta: float) -> float:
    """The ε that Rényi divergences give even where there is nothing but noise: below it they know of no σ.

    Raises:
        ConfigError: opacus is not installed.
    """
    try:
        from opacus.accountants import RDPAccountant
        from opacus.accountants.analysis.rdp import get_privacy_spent
    except ImportError as error:
        raise ConfigError(INSTALL_OPACUS) from error
    orders = RDPAccountant.DEFAULT_ALPHAS
    with without_grid_warnings():
        return float(get_privacy_spent(orders=orders, rdp=[0.0] * len(orders), delta=delta)[0])


def least_noise(
    begin: float,
    epsilon: float,
    delta: float,
    rate: float,
    steps: int,
    accountant: str,
    by_divergences: bool = True,
) -> float | None:
    """σ from a guess, by secants of ln ε over ln σ, which is nearly straight; None = there is none to ``MOST_NOISE``.

    Args:
        begin: the guess.
        epsilon: as of ``noise_multiplier``.
        delta: the same.
        rate: the same.
        steps: the same.
        accountant: the same.
        by_divergences: the first slope is that of Rényi divergences at the guess; False = ε ∝ 1/σ, as of small ε.
    """

    def point(sigma: float, by: str = accountant) -> Point:
        return Point(sigma, spent_epsilon(sigma, rate, steps, delta, by))

    too_little: Point | None = None
    enough = point(begin)
    while not enough.spent <= epsilon:
        if enough.sigma > MOST_NOISE:
            return None
        too_little, enough = enough, point(2 * enough.sigma)
    slope = 1.0
    if too_little is not None:
        slope = slope_between(too_little, enough)
    elif by_divergences:
        slope = slope_between(point(0.95 * enough.sigma, "rdp"), point(enough.sigma, "rdp"))
    while enough.spent < (1 - UNSPENT_SHARE) * epsilon:
        if too_little is not None and enough.sigma - too_little.sigma <= 1e-6 * enough.sigma:
            break
        asked = point(next_noise(too_little, enough, slope, (1 - UNSPENT_SHARE / 2) * epsilon))
        if asked.spent <= epsilon:
            enough = asked
        else:
            too_little = asked
        if too_little is not None:
            slope = slope_between(too_little, enough)
    return enough.sigma


class Point(NamedTuple):
    """A noise multiplier σ, and the ε that all steps spend with it."""

    sigma: float
    spent: float


def slope_between(less: Point, more: Point) -> float:
    """a of ε ∝ σ^-a between two points: 1 where there is much noise, 2 and more where there is little."""
    if not isfinite(less.spent):
        return 2.0
    return max(1.0, log(less.spent / more.spent) / log(more.sigma / less.sigma))


def next_noise(too_little: Point | None, enough: Point, slope: float, aim: float) -> float:
    """Where ε would be ``aim`` if it went on with this slope; within what is known, and not too near its ends."""
    found = enough.sigma * (enough.spent / aim) ** (1 / slope)
    if too_little is None:
        return max(found, enough.sigma / 2)
    width = enough.sigma - too_little.sigma
    return min(max(found, too_little.sigma + 0.1 * width), enough.sigma - 0.1 * width)


def no_noise(epsilon: float, delta: float, rate: float, steps: int, accountant: str) -> ConfigError:
    """The error where no noise will do."""
    return ConfigError(
        f"privacy.epsilon={epsilon:g}: the accountant '{accountant}' finds no noise for {steps:,} steps at the rate "
        f"{rate:.4g} and δ={delta:g}. Try privacy.accountant={other(accountant)}, a larger epsilon, fewer epochs or a "
        "smaller data.batch_size."
    )


def spent_epsilon(sigma: float, rate: float, steps: int, delta: float, accountant: str) -> float:
    """ε of ``steps`` steps at rate ``rate`` with noise multiplier σ; 0 where nothing was done."""
    from opacus.accountants import create_accountant

    if steps == 0:
        return 0.0
    counted = create_accountant(accountant)
    counted.history = [(sigma, rate, steps)]
    with without_grid_warnings():
        return float(counted.get_epsilon(delta))


@contextmanager
def without_grid_warnings() -> Iterator[None]:
    """Without the warnings of opacus on the edges of its grids, which its results allow for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def other(accountant: str) -> str:
    """The accountant that was not asked."""
    return next(name for name in ACCOUNTANTS if name != accountant)
