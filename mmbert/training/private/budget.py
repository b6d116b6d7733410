"""The privacy budget of a run: options, the noise that keeps within it, and the ε that its steps have spent.

A step of DP-SGD (Abadi et al. 2016, arXiv:1607.00133) adds N(0, (σ C)²) to the sum of a Poisson batch's clipped
gradients: the subsampled Gaussian mechanism with rate q and noise multiplier σ. opacus' accountants compose T of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

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

    opacus' own search asks the numerical accountant, which takes seconds for each answer, from σ = 20 on. Here Rényi
    divergences, which are quick and as a rule a little above it, say where to begin.

    Raises:
        ConfigError: opacus is not installed, or there is no such σ.
    """
    try:
        from opacus.accountants.utils import get_noise_multiplier
    except ImportError as error:
        raise ConfigError(INSTALL_OPACUS) from error
    mechanism = {"target_epsilon": epsilon, "target_delta": delta, "sample_rate": rate, "steps": steps}
    try:
        with without_grid_warnings():
            begin = get_noise_multiplier(**mechanism, accountant="rdp", epsilon_tolerance=UNSPENT_SHARE * epsilon)
    except ValueError as error:  # of small ε the divergences know too little
        if accountant == "rdp":
            raise no_noise(epsilon, delta, rate, steps, accountant) from error
        begin = 20.0
    return float(begin) if accountant == "rdp" else least_noise(float(begin), epsilon, delta, rate, steps, accountant)


def least_noise(begin: float, epsilon: float, delta: float, rate: float, steps: int, accountant: str) -> float:
    """σ by bisection, from a guess.

    Raises:
        ConfigError: there is none up to ``MOST_NOISE``.
    """
    low, high = 0.0, begin
    while (spent := spent_epsilon(high, rate, steps, delta, accountant)) > epsilon:
        low, high = high, 2 * high
        if high > MOST_NOISE:
            raise no_noise(epsilon, delta, rate, steps, accountant)
    while epsilon - spent > UNSPENT_SHARE * epsilon and high - low > 1e-6 * high:
        middle = max((low + high) / 2, 0.85 * high)  # far below, numerical composition is slow
        if (at_middle := spent_epsilon(middle, rate, steps, delta, accountant)) <= epsilon:
            high, spent = middle, at_middle
        else:
            low = middle
    return high


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
