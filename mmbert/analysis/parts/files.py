"""Writes what was found of parts: a summary with words (JSON), a line an answer (CSV), maps as arrays (NPZ)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmbert.analysis.parts.explain import ExplainedAnswer, ExplainedSample
from mmbert.analysis.parts.summed import summed_over
from mmbert.analysis.parts.words import word_sums
from mmbert.core.privacy import Privacy
from mmbert.core.whole_files import whole_file
from mmbert.runs.environment import environment
from mmbert.runs.files import timestamp, write_json
from mmbert.runs.folder import RunFolder


def write_parts(
    found: Sequence[ExplainedSample], facts: Mapping[str, Any], run: RunFolder, privacy: Privacy, bootstraps: int
) -> dict[str, Any]:
    """Writes the three files, and returns what the summary holds.

    With ``privacy.samples=false`` neither words nor maps are written: a map shows the outline of the picture that it is
    of. What ``privacy.mask`` finds in a text is one word, the pattern's name in brackets.

    Args:
        found: the samples.
        facts: about model, data and options, for the summary.
        run: the folder.
        privacy: what of samples may be written.
        bootstraps: number of resamples of the intervals.
    """
    content = {
        **facts,
        "gaps": gaps_of(found),
        "summed": summed_over(found, privacy, bootstraps),
        "samples": [sample_content(sample, privacy) for sample in found],
        "finished": timestamp(),
        "environment": environment(),
    }
    with whole_file(run.parts_table) as temporary:
        answers_table(found).to_csv(temporary, index=False)
    if privacy.samples:
        with whole_file(run.parts_arrays) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **part_arrays(found))  # type: ignore[arg-type]
    else:
        run.parts_arrays.unlink(missing_ok=True)
    write_json(run.parts, content)
    return content


def gaps_of(found: Sequence[ExplainedSample]) -> dict[str, dict[str, Any]]:
    """By task: how many answers there are, how far their parts are from summing up, and how many steps that took."""
    by_task: dict[str, list[ExplainedAnswer]] = {}
    for sample in found:
        for answer in sample.answers:
            by_task.setdefault(answer.task, []).append(answer)
    return {
        task: {
            "answers": len(answers),
            "mean": float(np.mean([answer.gap for answer in answers])),
            "largest": max(answer.gap for answer in answers),
            "above_tolerance": sum(answer.much for answer in answers),
            "most_steps_taken": max(answer.steps for answer in answers),
        }
        for task, answers in by_task.items()
    }


def sample_content(sample: ExplainedSample, privacy: Privacy) -> dict[str, Any]:
    """A sample as the summary has it."""
    content: dict[str, Any] = {
        "row": sample.row,
        "answers": [answer_content(sample, answer, privacy) for answer in sample.answers],
        "shares": sample.shares,
    }
    if privacy.samples:
        content["rollout"] = {
            name: {"words": written_words(sample, name, values, privacy)}
            for name, values in sample.rollout.items()
            if name in sample.alignments
        }
    return content


def answer_content(sample: ExplainedSample, answer: ExplainedAnswer, privacy: Privacy) -> dict[str, Any]:
    """One number of an answer as the summary has it.

    ``words`` are ``[white space before, word, sum of its pieces]``.
    """
    content: dict[str, Any] = {
        "task": answer.task,
        "answer": answer.answer,
        "output": answer.output,
        "baseline": answer.baseline,
        "gap": answer.gap,
        "steps": answer.steps,
        "above_tolerance": answer.much,
        "modalities": answer.contributions(),
        "sizes": {name: float(np.abs(part).sum(dtype=np.float64)) for name, part in answer.parts.items()},
    }
    if privacy.samples:
        content["words"] = {
            name: written_words(sample, name, part, privacy)
            for name, part in answer.parts.items()
            if name in sample.alignments
        }
    return content


def written_words(sample: ExplainedSample, name: str, values: np.ndarray, privacy: Privacy) -> list[list[Any]]:
    """The words of a text with their sums."""
    aligned = sample.alignments[name]
    words = word_sums(aligned["text"], np.asarray(aligned["offsets"]), values, privacy)
    return [[word.before, word.text, word.value] for word in words]


def answers_table(found: Sequence[ExplainedSample]) -> pd.DataFrame:
    """A line an answer: what its modalities contribute; empty where the sample lacks one."""
    lines = []
    for sample in found:
        for answer in sample.answers:
            line: dict[str, Any] = {"row": sample.row, "task": answer.task, "answer": answer.answer}
            line |= {"output": answer.output, "baseline": answer.baseline, "gap": answer.gap, "steps": answer.steps}
            line |= {f"contribution/{name}": value for name, value in answer.contributions().items()}
            lines.append(line)
    return pd.DataFrame(lines)


def part_arrays(found: Sequence[ExplainedSample]) -> dict[str, np.ndarray]:
    """``parts/ROW/TASK/ANSWER/MODALITY``, ``rollout/ROW/MODALITY`` and ``diagnostics/ROW/NAME``."""
    arrays: dict[str, np.ndarray] = {}
    for sample in found:
        for answer in sample.answers:
            for name, part in answer.parts.items():
                arrays[map_name(sample.row, answer.task, answer.answer, name)] = part.astype(np.float32)
        arrays |= {f"rollout/{sample.row}/{name}": values for name, values in sample.rollout.items()}
        arrays |= {f"diagnostics/{sample.row}/{name}": values for name, values in sample.diagnostics.items()}
    return arrays


def map_name(row: int, task: str, answer: str, modality: str) -> str:
    """Of a map among the arrays; a class may be called anything, also with a slash."""
    return f"parts/{row}/{task}/{answer.replace('/', '∕')}/{modality}"
