"""The attack on models like a run's: shadow models on random halves, each attacked in turn with the others' help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmbert.analysis.membership.halves import random_halves
from mmbert.analysis.membership.lira import Variance, chosen_variance, leave_one_out_scores
from mmbert.analysis.membership.roc import attack_measures
from mmbert.analysis.membership.shadows import ShadowTrainer, one_array, one_thread
from mmbert.analysis.membership.statistic import answered_right, membership_statistic, why_not_attacked
from mmbert.core.errors import ConfigError, DataError, TrainingError, nearest
from mmbert.tasks.base import Task

#: Fewer labelled samples say nothing about anyone.
LEAST_SAMPLES = 20
#: With fewer models a Gaussian would come from a single one.
LEAST_SHADOWS = 6


@dataclass(frozen=True)
class AttackOptions:
    """How the attack is made.

    Attributes:
        shadows: number K of models, even, at least ``LEAST_SHADOWS``.
        offline: only models that were not trained on a sample are its references.
        variance: None = by the number of models.
        bootstraps: resamples of the intervals.
        seed: of the halves, the models and the resamples.
    """

    shadows: int = 64
    offline: bool = False
    variance: Variance | None = None
    bootstraps: int = 1000
    seed: int = 0

    @property
    def used_variance(self) -> Variance:
        """What ``variance`` comes to."""
        return chosen_variance(self.shadows - 1) if self.variance is None else self.variance


@dataclass(frozen=True)
class Observed:
    """What is seen of one task's answers to N labelled samples by K models.

    Attributes:
        rows: (N,) int64, of the table.
        member: (K, N) bool, which model was trained on which sample.
        statistics: (K, N) float, see ``membership_statistic``.
        right: (K, N) float, 1 where the class was right; NaN for tasks without classes.
    """

    rows: np.ndarray
    member: np.ndarray
    statistics: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class Attacked:
    """One task's scores.

    Attributes:
        observed: what they come from.
        scores: (K, N), the greater, the likelier a member.
        measures: by attack, ``lira`` and ``threshold``, what ``attack_measures`` gives.
    """

    observed: Observed
    scores: np.ndarray
    measures: dict[str, dict[str, dict[str, Any]]]


def attacked_tasks(tasks: dict[str, Task], wanted: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The tasks that can be attacked, and why others cannot.

    Args:
        tasks: of the run.
        wanted: names; empty = all that can be.

    Raises:
        ConfigError: there is no such task, or it cannot be attacked, or none can.
    """
    for name in wanted:
        if name not in tasks:
            raise ConfigError(f"task={name}: the run has no such task. {nearest(name, tasks)}")
    refused = {name: why for name, task in tasks.items() if (why := why_not_attacked(task))}
    for name in wanted:
        if name in refused:
            raise ConfigError(f"task={name}: {refused[name]}.")
    chosen = list(wanted) or [name for name in tasks if name not in refused]
    if not chosen:
        reasons = "; ".join(f"{name}: {why}" for name, why in refused.items())
        raise ConfigError(f"No task of the run can be attacked: {reasons}.")
    return chosen, refused


def observe(
    trainer: ShadowTrainer,
    names: Sequence[str],
    options: AttackOptions,
    trained: Callable[[int], None] = lambda count: None,
) -> dict[str, Observed]:
    """Trains the shadow models, and keeps what they answer to every training row.

    Args:
        trainer: of the run.
        names: of the tasks.
        options: of the attack.
        trained: called after each model with how many there are.

    Raises:
        DataError: there are too few labelled samples.
        TrainingError: a model diverged.
    """
    member = random_halves(options.shadows, len(trainer.rows), options.seed)
    seeds = np.random.SeedSequence([options.seed, 1]).generate_state(options.shadows)
    statistics: dict[str, list[np.ndarray]] = {name: [] for name in names}
    right: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for place in range(options.shadows):
        with one_thread():
            model = trainer.train(member[place], int(seeds[place] >> 1))
            answers = list(trainer.answers(model, names))
        tasks = model.named_tasks()
        for name in names:
            found = [batch[name] for batch in answers]
            statistics[name].append(one_array(membership_statistic(tasks[name], *both) for both in found))
            right[name].append(one_array(answered_right(tasks[name], *both) for both in found))
        if not place:
            check_labelled({name: statistics[name][0] for name in names})
        trained(place + 1)
    return {
        name: labelled_alone(trainer.rows, member, np.stack(statistics[name]), np.stack(right[name]), name)
        for name in names
    }


def check_labelled(statistics: dict[str, np.ndarray]) -> None:
    """Refuses tasks with too few labels.

    Raises:
        DataError: names the task.
    """
    for name, values in statistics.items():
        if (count := int((~np.isnan(values)).sum())) < LEAST_SAMPLES:
            raise DataError(
                f"The task '{name}' has {count} labelled training samples; the attack needs {LEAST_SAMPLES} at least, "
                "and some hundreds to say much. Train a run on more rows, or name another task: task=NAME."
            )


def labelled_alone(
    rows: np.ndarray, member: np.ndarray, statistics: np.ndarray, right: np.ndarray, name: str
) -> Observed:
    """The samples that carry a label.

    Raises:
        TrainingError: a model answers with infinity.
    """
    kept = ~np.isnan(statistics).all(0)
    if not np.isfinite(statistics[:, kept]).all():
        raise TrainingError(
            f"A shadow model's answers of the task '{name}' are not finite: its training diverged. Train a run with a "
            "smaller learning rate."
        )
    return Observed(rows[kept], member[:, kept], statistics[:, kept], right[:, kept])


def attack(observed: Observed, options: AttackOptions, is_confidence: bool = True) -> Attacked:
    """Scores of every model against every sample, and how well they tell members from others.

    Args:
        observed: of one task.
        options: of the attack.
        is_confidence: the statistic is greater where the answer is better, so that it is a score by itself (one
            threshold for all samples: Yeom et al. 2018, arXiv:1709.01604).
    """
    scores = leave_one_out_scores(observed.statistics, observed.member, options.used_variance, options.offline)
    measures = {"lira": attack_measures(scores, observed.member, options.bootstraps, options.seed)}
    if is_confidence:
        measures["threshold"] = attack_measures(observed.statistics, observed.member, options.bootstraps, options.seed)
    return Attacked(observed, scores, measures)
