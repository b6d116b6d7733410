"""Training samples drawn by tasks: where tasks have unequal numbers of labels, each gets its share of an epoch.

An epoch stays as long as the train split. Task t gets a part of it in proportion to n_t ** e, n_t being how many
samples carry its label:

    proportional  e = 1       sqrt  e = 1/2       balanced  e = 0, all tasks alike

The parts are whole numbers that sum to the epoch's length (largest remainders), and within its part a task's samples
come in random order, each as often as the others, give or take one. A sample with the labels of several tasks may come
in the part of each, and teaches all of them whenever it comes; one without any label never comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from mmbert.core.errors import ConfigError, nearest

#: e of the formula above, by the word of the option ``task_sampling``.
EXPONENTS = {"proportional": 1.0, "sqrt": 0.5, "balanced": 0.0}


@dataclass(frozen=True)
class TaskDraws:
    """The order of an epoch in which each task has its share.

    Attributes:
        places: by task, (n_t,) the places in the split of the samples that carry its label; at least one each.
        quotas: by task, how many samples of an epoch are drawn for it.
    """

    places: Mapping[str, np.ndarray]
    quotas: Mapping[str, int]

    @classmethod
    def of(cls, places: Mapping[str, np.ndarray], how: str, size: int) -> TaskDraws:
        """Shares of an epoch of ``size`` samples; tasks without a labelled sample are left out.

        Raises:
            ConfigError: ``how`` is no word of ``EXPONENTS``.
        """
        if how not in EXPONENTS:
            raise ConfigError(f"task_sampling={how}: {nearest(str(how), EXPONENTS)}")
        known = {name: found for name, found in places.items() if len(found)}
        wanted = np.array([len(found) ** EXPONENTS[how] for found in known.values()], float)
        exact = size * wanted / wanted.sum() if len(wanted) else wanted
        whole = np.floor(exact).astype(int)
        # the first of equal remainders, whatever the last bit of a division is
        rest = np.argsort(-(exact - whole).round(9), kind="stable")[: size - whole.sum() if len(whole) else 0]
        whole[rest] += 1
        return cls(known, dict(zip(known, whole.tolist(), strict=True)))

    def order(self, generator: torch.Generator) -> np.ndarray:
        """(size,) places, in an order that the generator alone decides."""
        parts = []
        for name, places in self.places.items():
            rounds = -(-self.quotas[name] // len(places))
            drawn = [places[torch.randperm(len(places), generator=generator).numpy()] for _ in range(rounds)]
            parts.append(np.concatenate([*drawn, places[:0]])[: self.quotas[name]])
        together = np.concatenate(parts)
        mixed: np.ndarray = together[torch.randperm(len(together), generator=generator).numpy()]
        return mixed

    def described(self) -> str:
        """``answer 500 (of 100 labelled), value 500 (of 9,900 labelled)``."""
        parts = (f"{name} {self.quotas[name]:,} (of {len(found):,} labelled)" for name, found in self.places.items())
        return ", ".join(parts)
