"""Whether exported files give what the model gives: for every subset of modalities, several batch sizes and lengths."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from mmbert.core.errors import InputError
from mmbert.core.types import Inputs, Tensors
from mmbert.deploy.exported_graph import WholeGraph, flat_inputs
from mmbert.deploy.manifest import longest_of
from mmbert.deploy.trial_inputs import only_modalities, padded_by, present_rows, rows_trimmed
from mmbert.model import MultimodalModel

#: Largest difference that is let through: of an output whose numbers exceed 1, as a share of the largest of them.
EXPORT_TOLERANCE = 1e-4

#: Inputs by ``ENCODER.TENSOR`` -> outputs by ``TASK.TENSOR``.
Runner = Callable[[Tensors], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Difference:
    """The largest difference of two sets of outputs.

    Attributes:
        absolute: max |x - y|.
        scaled: max over the outputs of max |x - y| / max(1, max |x|), which ``EXPORT_TOLERANCE`` bounds.
        output: the name of the output that ``scaled`` is of.
    """

    absolute: float = 0.0
    scaled: float = 0.0
    output: str = ""

    def joined(self, other: Difference) -> Difference:
        """The larger of both, number by number."""
        worse = other if other.scaled > self.scaled else self
        return Difference(max(self.absolute, other.absolute), worse.scaled, worse.output)


def subsets_of(names: Sequence[str]) -> list[tuple[str, ...]]:
    """All that are not empty, the largest last."""
    return [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]


def output_difference(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Difference:
    """Of outputs by name; infinite where one is NaN or infinite, or masks or shapes differ.

    Raises:
        InputError: an output is missing.
    """
    found = Difference()
    for name, x in wanted.items():
        if name not in given:
            raise InputError(f"The exported graph lacks the output '{name}'.")
        y = given[name]
        if x.shape != y.shape or x.dtype != y.dtype:
            return Difference(math.inf, math.inf, name)
        if not x.numel():
            continue
        x, y = x.double(), y.double()
        gap, size = float((x - y).abs().max()), float(x.abs().max())
        scaled = gap / max(1.0, size)
        whole = Difference(gap, scaled, name) if math.isfinite(gap) and math.isfinite(size) else None
        found = found.joined(whole or Difference(math.inf, math.inf, name))
    return found


def trials(
    inputs: Mapping[str, Inputs], subset: Sequence[str], longest: Mapping[str, int] | None = None
) -> Iterator[dict[str, Inputs]]:
    """A batch with a subset of the modalities: one sample, a few of them, all of them, and all with more padding.

    Args:
        inputs: of the batch, by encoder.
        subset: the modalities that stay.
        longest: what networks take at most, by encoder; padding goes no further.
    """
    rows = present_rows(inputs, subset)
    if not rows:
        return
    sizes = sorted({1, min(3, len(rows)), len(rows)})
    for size in sizes:
        yield only_modalities(rows_trimmed(inputs, rows[:size]), subset)
    longer = {}
    for name, tensors in rows_trimmed(inputs, rows).items():
        room = (longest or {}).get(name, math.inf) - tensors["mask"].shape[1]
        longer[name] = padded_by(tensors, int(max(0, min(3, room))))
    yield only_modalities(longer, subset)


def compare_exports(
    model: MultimodalModel,
    runners: Mapping[str, Runner],
    batches: Sequence[Mapping[str, Inputs]],
) -> dict[str, dict[tuple[str, ...], Difference]]:
    """The largest differences between the model and exported files, by file and subset.

    Args:
        model: in evaluation mode, on the CPU.
        runners: the exported files, by what they are called.
        batches: inputs by encoder, with all modalities as far as the samples have them; at least one sample has each.

    Raises:
        InputError: no sample has a modality, so that nothing would be known of it.
    """
    names = list(model.named_encoders())
    for name in names:
        if not any(present_rows(batch, [name]) for batch in batches):
            raise InputError(f"No sample of those by which the export is checked has '{name}'.")
    graph = WholeGraph(model).eval()
    limits = {name: longest_of(encoder.processor) for name, encoder in model.named_encoders().items()}
    longest = {name: limit["size"] for name, limit in limits.items() if limit is not None}
    found: dict[str, dict[tuple[str, ...], Difference]] = {name: {} for name in runners}
    with torch.inference_mode():
        for subset in subsets_of(names):
            for batch in batches:
                for inputs in trials(batch, subset, longest):
                    wanted = graph(flat_inputs(inputs))
                    for name, runner in runners.items():
                        seen = output_difference(wanted, runner(flat_inputs(inputs)))
                        found[name][subset] = found[name].get(subset, Difference()).joined(seen)
    return found
