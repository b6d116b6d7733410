"""Explanations of samples summed over them: what modalities contribute on average, and which words tell the most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmbert.analysis.explanation import means_with_intervals
from mmbert.analysis.parts.explain import ExplainedAnswer, ExplainedSample
from mmbert.analysis.parts.words import word_sums
from mmbert.core.privacy import Privacy

#: Words of a split that are listed.
MOST_WORDS = 30


def summed_over(found: Sequence[ExplainedSample], privacy: Privacy, bootstraps: int) -> dict[str, Any]:
    """By task: of each modality and of the words of each text, over all answers that are explained.

    ``contribution`` is the mean of the modality's sum of parts, ``size`` that of its absolute value, ``share`` that of
    the absolute value divided by the sum over the modalities, 0 where a sample lacks it; with 95 % intervals, where
    samples, not answers, are drawn.
    """
    tasks = dict.fromkeys(answer.task for sample in found for answer in sample.answers)
    modalities = list(dict.fromkeys(name for sample in found for answer in sample.answers for name in answer.parts))
    made: dict[str, Any] = {}
    for task in tasks:
        of_task = [(sample, [a for a in sample.answers if a.task == task]) for sample in found]
        of_task = [(sample, answers) for sample, answers in of_task if answers]
        made[task] = {"samples": len(of_task), "modalities": means_of(of_task, modalities, bootstraps)}
        if privacy.samples:
            made[task]["words"] = telling_words(of_task, privacy)
    return made


def means_of(
    of_task: Sequence[tuple[ExplainedSample, Sequence[ExplainedAnswer]]], modalities: Sequence[str], bootstraps: int
) -> dict[str, Any]:
    """Means over samples, of each the mean over its answers."""
    values = np.full((len(of_task), 3, len(modalities)), np.nan)
    for number, (_, answers) in enumerate(of_task):
        sums = np.array([[each.contributions().get(name, np.nan) for name in modalities] for each in answers])
        sizes = np.abs(sums)
        totals = np.nansum(sizes, 1, keepdims=True)
        shares = np.where(totals > 0, np.nan_to_num(sizes) / np.where(totals > 0, totals, 1), np.nan)
        for place, each in enumerate((sums, sizes, shares)):
            values[number, place] = each.mean(0)
    found = {
        key: means_with_intervals(values[:, place], bootstraps, 0)
        for place, key in enumerate(("contribution", "size", "share"))
    }
    return {name: {key: each[place] for key, each in found.items()} for place, name in enumerate(modalities)}


def telling_words(
    of_task: Sequence[tuple[ExplainedSample, Sequence[ExplainedAnswer]]], privacy: Privacy
) -> dict[str, list[dict[str, Any]]]:
    """By modality the words with the largest sums of absolute values; upper and lower case are one word.

    ``count`` is how often a word was explained, ``samples`` in how many of them, ``mean`` what it contributes and
    ``size`` the mean of the absolute value.
    """
    values: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for sample, answers in of_task:
        for answer in answers:
            for name, part in answer.parts.items():
                if name not in sample.alignments:
                    continue
                aligned = sample.alignments[name]
                for word in word_sums(aligned["text"], np.asarray(aligned["offsets"]), part, privacy):
                    values.setdefault(name, {}).setdefault(word.text.casefold(), []).append((sample.row, word.value))
    listed = {}
    for name, words in values.items():
        lines = [
            {
                "word": word,
                "count": len(each),
                "samples": len({row for row, _ in each}),
                "mean": float(np.mean([value for _, value in each])),
                "size": float(np.mean([abs(value) for _, value in each])),
                "total_size": float(np.sum([abs(value) for _, value in each])),
            }
            for word, each in words.items()
        ]
        listed[name] = sorted(lines, key=lambda line: -line["total_size"])[:MOST_WORDS]  # type: ignore[operator]
    return listed
