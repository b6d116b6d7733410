"""Is a group better than the baseline? Tests over seeds, and over samples where there is one run of each.

**Over seeds.** Runs with the same seed share data order, splits and the start of what all strategies have, so they are
compared in pairs: the differences d_i of the seeds that both groups have. Their mean is tested by Student's paired t
test; beside it stands the exact sign-flip test (Fisher 1935, Pitman 1937), which assumes nothing but symmetry, and
cannot fall below 2/2^n: with five seeds it never reaches 0.05, which is why it does not decide alone. p-values of all
comparisons with one baseline are corrected by Holm's step-down method (Holm 1979, Scand. J. Stat. 6:65). The effect
size is Hedges' g of the differences, d_z (1 - 3 / (4 (n - 1) - 1)) with d_z = mean / std (Lakens 2013, Front. Psychol.
4:863).

**Over samples.** One run of each says nothing of seeds, only of these two models: McNemar's exact test of which samples
one has right and the other wrong (McNemar 1947), and a bootstrap of the difference over samples.

**Intervals** of a mean over seeds are bootstrapped, bias-corrected and accelerated (Efron 1987); with fewer than three
values, or equal ones, there is none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SIGNIFICANCE_LEVEL = 0.05
RESAMPLES = 9_999
#: Of samples, of which there are many more than seeds.
SAMPLE_RESAMPLES = 2_000
#: Up to this many pairs all sign flips are counted; beyond it they are drawn.
EXACT_PAIRS = 16


@dataclass(frozen=True)
class Comparison:
    """A group against the baseline, seed by seed.

    Attributes:
        group: its name.
        baseline: the other's.
        pairs: seeds that both have.
        difference: mean of group minus baseline; NaN without pairs.
        low: of the difference's 95 % interval by Student's t.
        high: of the same.
        p: of the paired t test; NaN for fewer than two pairs.
        p_holm: the same, corrected for the number of comparisons.
        p_flips: of the exact sign-flip test.
        effect: Hedges' g of the differences.
        better: whether larger numbers are better, +1, or smaller, -1.
    """

    group: str
    baseline: str
    pairs: int
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    p_flips: float
    effect: float
    better: int

    def sentence(self, level: float = SIGNIFICANCE_LEVEL) -> str:
        """What is shown by the data, and what is not."""
        if self.pairs < 2:
            return (
                f"{self.group} and {self.baseline} have {self.pairs or 'no'} seed{'s' * (self.pairs != 1)} in common: "
                "nothing is shown. Run both with the same seeds, five or more."
            )
        size = f"{self.difference:+.4f} on average over {self.pairs} seeds ({self.low:+.4f} … {self.high:+.4f})"
        if self.p_holm < level:
            word = "better" if self.difference * self.better > 0 else "worse"
            return f"{self.group} is {word} than {self.baseline}: {size}, p = {p_value_text(self.p_holm)} after Holm."
        return (
            f"No difference is shown between {self.group} and {self.baseline}: {size}, "
            f"p = {p_value_text(self.p_holm)} after Holm. That is no proof that there is none: the interval says how "
            "large it may be."
        )


def compare(
    values: Mapping[str, Mapping[int, float]], baseline: str, larger_is_better: bool = True
) -> list[Comparison]:
    """Each group against the baseline, in the mapping's order.

    Args:
        values: the metric by group and seed.
        baseline: one of the groups.
        larger_is_better: of the metric.
    """
    found = []
    for group, by_seed in values.items():
        if group == baseline:
            continue
        seeds = sorted(set(by_seed) & set(values[baseline]))
        found.append((group, np.array([by_seed[seed] - values[baseline][seed] for seed in seeds])))
    tests = [paired_t(differences) for _, differences in found]
    corrected = holm([p for p, _, _ in tests])
    return [
        Comparison(
            group=group,
            baseline=baseline,
            pairs=len(differences),
            difference=float(differences.mean()) if len(differences) else math.nan,
            low=low,
            high=high,
            p=p,
            p_holm=p_holm,
            p_flips=sign_flips(differences),
            effect=hedges_g(differences),
            better=1 if larger_is_better else -1,
        )
        for (group, differences), (p, low, high), p_holm in zip(found, tests, corrected, strict=True)
    ]


def paired_t(differences: np.ndarray) -> tuple[float, float, float]:
    """(n,) -> p of the two-sided test that their mean is 0, and the mean's 95 % interval; NaN for n < 2.

    Equal differences have no spread: p is then 0, or 1 if all are 0.
    """
    from scipy import stats

    count = len(differences)
    if count < 2:
        return math.nan, math.nan, math.nan
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    if spread <= 1e-12 * max(1.0, abs(mean)):
        return float(abs(mean) < 1e-12), mean, mean
    half = float(stats.t.ppf(1 - SIGNIFICANCE_LEVEL / 2, count - 1)) * spread / math.sqrt(count)
    p = 2 * float(stats.t.sf(abs(mean) / (spread / math.sqrt(count)), count - 1))
    return p, mean - half, mean + half


def sign_flips(differences: np.ndarray, seed: int = 0) -> float:
    """(n,) -> p: the share of all 2^n sign patterns whose mean is as far from 0; NaN for n = 0.

    More than ``EXACT_PAIRS`` differences: of ``RESAMPLES`` random patterns, the observed one counted in.
    """
    count = len(differences)
    if not count:
        return math.nan
    if count <= EXACT_PAIRS:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=count)))
        means = np.abs(signs @ differences)
        return float((means >= abs(differences.sum()) * (1 - 1e-12)).mean())
    signs = np.random.default_rng(seed).choice((1.0, -1.0), (RESAMPLES, count))
    means = np.abs(signs @ differences)
    return float((1 + (means >= abs(differences.sum()) * (1 - 1e-12)).sum()) / (RESAMPLES + 1))


def hedges_g(differences: np.ndarray) -> float:
    """(n,) -> the mean in standard deviations, corrected for few pairs; NaN for n < 2 or without spread."""
    count = len(differences)
    if count < 2 or not differences.std(ddof=1) > 0:
        return math.nan
    d_z = float(differences.mean() / differences.std(ddof=1))
    return d_z * (1 - 3 / (4 * (count - 1) - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's corrected p-values, in the given order; NaN stays NaN and counts as no comparison."""
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    corrected, largest = list(p_values), 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        corrected[place] = largest
    return corrected


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The 95 % BCa bootstrap interval of the mean; NaN for fewer than three values or without spread."""
    from scipy import stats

    numbers = np.asarray(values, float)
    if len(numbers) < 3 or not np.ptp(numbers) > 0:
        return math.nan, math.nan
    found = stats.bootstrap(
        (numbers,),
        np.mean,
        confidence_level=1 - SIGNIFICANCE_LEVEL,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(seed),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def mcnemar(first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """Which samples two models have right, (n,) bool each -> only the first, only the second, exact two-sided p."""
    from scipy import stats

    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    discordant = only_first + only_second
    p = float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return only_first, only_second, p


def bootstrap_difference(first: np.ndarray, second: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Per-sample scores (n,) of two models on the same samples -> mean difference and its 95 % percentile interval."""
    differences = np.asarray(first, float) - np.asarray(second, float)
    generator = np.random.default_rng(seed)
    count = len(differences)
    means = [differences[generator.integers(0, count, count)].mean() for _ in range(SAMPLE_RESAMPLES)]
    low, high = np.quantile(means, [SIGNIFICANCE_LEVEL / 2, 1 - SIGNIFICANCE_LEVEL / 2])
    return float(differences.mean()), float(low), float(high)


def p_value_text(p: float) -> str:
    """A p-value with two digits."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"
