"""Whether an explanation can be trusted: deletion and insertion curves, maps of shuffled weights, planted parts.

deletion, insertion  Petsiuk et al. 2018, "RISE", arXiv:1806.07421: parts are taken away (set to their neutral value),
                     or given back, the most telling first; the output must fall, or rise, sooner than in random
                     order
shuffled weights     Adebayo et al. 2018, "Sanity Checks for Saliency Maps", arXiv:1810.03292: a map that looks the
                     same when the weights are destroyed says nothing of what was learnt. Differs from it: the
                     numbers of each weight are shuffled, not drawn anew, so that their sizes stay
planted parts        of a part that alone tells the label, the share of what speaks for the answer, and whether the
                     most telling place lies in it
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from mmbert.analysis.parts.differentiable import ReadFunction
from mmbert.model import MultimodalModel

#: Which weights are shuffled, from the answer downwards.
Stage = Literal["heads", "fusion", "encoders"]
STAGES: tuple[Stage, ...] = ("heads", "fusion", "encoders")
#: Points of a curve, from nothing to all.
POINTS = 21


@dataclass(frozen=True)
class OrderedCurve:
    """Of one sample, parts in the order of an explanation beside random orders.

    Attributes:
        output: (POINTS,) the output with so many parts changed.
        area: under it, from 0 to 1.
        random_areas: (orders,) of random orders.
    """

    output: np.ndarray
    area: float
    random_areas: np.ndarray


def numbered_parts(function: ReadFunction, row: int, parts: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """Parts of a sample's modalities, each numbered from 0, numbered together.

    Args:
        function: of the batch.
        row: the sample.
        parts: by encoder name int64, broadcastable to what it reads of the sample; -1 = of no part.

    Returns:
        The same, of the shape of what is read, -1 where nothing is real; and how many parts there are.
    """
    found, count = {}, 0
    for name, read in function.read.items():
        numbers, real = read.numbers[row], read.real[row]
        given = parts[name].expand(numbers.shape)
        found[name] = torch.where(real & (given >= 0), given + count, -1)
        count = max(count, int(found[name].max()) + 1)
    return found, count


def scores_of_parts(attributions: Mapping[str, Tensor], parts: Mapping[str, Tensor], count: int) -> np.ndarray:
    """The sums over each part's numbers, (count,), of one sample."""
    scores = torch.zeros(count + 1, dtype=torch.float64)
    for name, values in attributions.items():
        scores.index_add_(0, parts[name].flatten() % (count + 1), values.flatten().double())
    return scores[:count].numpy()


@torch.no_grad()
def curve(
    function: ReadFunction,
    which: tuple[int, int],
    parts: Mapping[str, Tensor],
    scores: np.ndarray,
    insertion: bool,
    orders: int = 10,
    seed: int = 0,
) -> OrderedCurve:
    """A deletion or insertion curve.

    Args:
        function: of the batch.
        which: the sample, and the place of the number among the task's.
        parts: see ``numbered_parts``.
        scores: (P,) of the parts; the largest come first.
        insertion: parts are given back to the neutral inputs, instead of taken away from the sample's.
        orders: random ones beside it.
        seed: of these.
    """
    row, column = which
    draws = np.random.default_rng([seed, row])
    ranked = [np.argsort(-scores, kind="stable"), *(draws.permutation(len(scores)) for _ in range(orders))]
    place = torch.from_numpy(np.stack([np.argsort(order) for order in ranked]))  # (K, P), which turn each part has
    turns = torch.linspace(0, len(scores), POINTS).round()  # (T,), how many parts are changed
    changed = place[:, None] < turns[:, None]  # (K, T, P)
    size = changed.shape[0] * POINTS
    flat = torch.cat([changed.reshape(size, -1), torch.zeros(size, 1, dtype=torch.bool)], 1)
    numbers = {}
    for name, read in function.read.items():
        is_changed = flat[:, parts[name] % (flat.shape[1])]  # (size, ...)
        whole = is_changed if insertion else ~is_changed
        outside = (parts[name] < 0).expand_as(whole)
        numbers[name] = torch.where(whole | outside, read.numbers[row], read.baseline[row])
    found = function.all_numbers(numbers, torch.full((size,), row))[:, column].reshape(-1, POINTS).numpy()
    areas = np.trapezoid(found, np.linspace(0, 1, POINTS), axis=1)
    return OrderedCurve(found[0], float(areas[0]), areas[1:])


def shuffled_model(model: MultimodalModel, stage: Stage, seed: int) -> MultimodalModel:
    """A copy in which the numbers of each weight stand in random order, from the heads down to a stage."""
    shuffled = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    inside: dict[Stage, nn.Module] = {
        "heads": nn.ModuleList([shuffled.tasks, shuffled.decision_heads]),
        "fusion": shuffled.fusion,
        "encoders": shuffled.encoders,
    }
    with torch.no_grad():
        for part in STAGES[: STAGES.index(stage) + 1]:
            for weight in inside[part].parameters():
                order = torch.randperm(weight.numel(), generator=generator)
                weight.copy_(weight.flatten()[order].view_as(weight))
    return shuffled


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's, of two maps of one shape; NaN where one of them is the same throughout."""
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


@dataclass(frozen=True)
class Localisation:
    """How much of a map lies in a planted part.

    Attributes:
        share: of what speaks for the answer; NaN where nothing does.
        area: the part's share of the places.
        hit: whether the most telling place lies in it.
    """

    share: float
    area: float
    hit: bool


def localisation(values: np.ndarray, planted: np.ndarray) -> Localisation:
    """The localisation of a map; the pointing game is Zhang et al. 2018, arXiv:1608.00507, without its margin.

    Args:
        values: of any shape.
        planted: bool of the same shape.
    """
    positive = values.clip(min=0)
    total = float(positive.sum())
    share = float(positive[planted].sum()) / total if total > 0 else float("nan")
    return Localisation(share, float(planted.mean()), bool(planted.ravel()[np.argmax(values)]))
