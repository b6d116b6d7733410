"""Measures a trained model with missing and damaged modalities at test, and writes ``robustness.json``.

    subsets   every non-empty subset of the modalities, the others taken away from all samples
    missing   samples lose modalities at growing rates, by each mechanism of ``mmbert.data.splits.missing``
    noise     inputs are damaged in steps, one modality at a time and all of them together, as in MultiBench (Liang et
              al. 2021, arXiv:2107.07502), by the corruptions of ``mmbert.data.augment.corruptions``

All of it is measured with the weights that the run chose on validation, in one pass over a split.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Any, get_args

import numpy as np
import pytorch_lightning as pl

from mmbert.analysis.conditions import Condition, ConditionsModule
from mmbert.analysis.degraded import degraded_loader
from mmbert.core.errors import ConfigError, nearest
from mmbert.core.ranges import Many, OptionsOf, Range, String, Switch
from mmbert.data.augment.corruptions import Degradation
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_of
from mmbert.data.splits.missing import Mechanism, Missing, present_cells
from mmbert.model import MultimodalModel
from mmbert.runs.files import timestamp
from mmbert.runs.folder import RunFolder

#: What ``noise.levels`` may be.
LEVELS = Many(Range(above=0, at_most=1))


@dataclass(frozen=True)
class MissingOptions:
    """The config node ``robustness.missing``.

    Attributes:
        rates: shares of the samples that become incomplete; none = this is not measured.
        mechanisms: how modalities are removed; each one at each rate.
        column: see ``Missing``.
        strength: see ``Missing``.
        seed: of the draws.
    """

    rates: Annotated[Sequence[float], Many(Range(0, 1))] = ()
    mechanisms: Sequence[Mechanism] = get_args(Mechanism)
    column: str | None = None
    strength: Annotated[float, Range(0, 20)] = 2.0
    seed: Annotated[int, Range(0)] = 0

    def all(self) -> Iterator[Missing]:
        """Every mechanism at every rate."""
        for mechanism, rate in itertools.product(self.mechanisms, self.rates):
            yield Missing(rate, mechanism, column=self.column, strength=self.strength, seed=self.seed)


class Robustness:
    """The config group ``robustness``: what a run measures after training.

    Args:
        splits: which are measured; None = the first test split.
        subsets: measure every subset of the modalities.
        missing: options of ``MissingOptions``.
        noise: ``levels`` (above 0, at most 1; none = this is not measured), ``modalities`` (None = all), ``together``
            (all of these damaged at once too), and the options of ``Degradation``.

    Raises:
        ConfigError: an option is out of range.
    """

    def __init__(
        self,
        splits: Annotated[Sequence[str] | None, Many(String("a name"))] = None,
        subsets: bool = False,
        missing: Annotated[Mapping[str, Any] | None, OptionsOf(MissingOptions)] = None,
        noise: Annotated[
            Mapping[str, Any] | None,
            OptionsOf(Degradation, levels=LEVELS, modalities=Many(String("a name")), together=Switch()),
        ] = None,
    ) -> None:
        options = dict(noise or {})
        self.splits = splits
        self.subsets = subsets
        self.levels = [float(level) for level in options.pop("levels", ())]
        self.noisy: Sequence[str] | None = options.pop("modalities", None)
        self.together = bool(options.pop("together", True))
        self.degradation = Degradation(**options)
        self.missing = MissingOptions(**(missing or {}))
        for level in self.levels:
            if not 0 < level <= 1:
                raise ConfigError(
                    f"robustness.noise.levels has {level}: steps above 0, at most 1, are wanted; 0 is always there."
                )
        with named_as_robustness():
            list(self.missing.all())

    @property
    def active(self) -> bool:
        """Whether anything is measured."""
        return bool(self.subsets or self.missing.rates or self.levels)

    def check(self, model: MultimodalModel, data: MultimodalData) -> None:
        """Refuses, before training, options that could not be measured after it.

        Args:
            model: with the encoders.
            data: bound to it.

        Raises:
            ConfigError: there is no such split or modality, or nothing can be removed.
        """
        for split in self.splits or ():
            if split == "train" or split not in data.rows:
                known = [name for name in data.rows if name != "train"]
                raise ConfigError(f"robustness.splits names '{split}'. {nearest(split, known)}")
        names = used_modalities(model, data)
        for name in self.noisy or ():
            if name not in names:
                raise ConfigError(f"robustness.noise.modalities names '{name}'. {nearest(name, names)}")
        for split in self.measured(data):
            self.conditions(model, data, split)

    def measured(self, data: MultimodalData) -> list[str]:
        """The names of the splits that are measured."""
        return list(self.splits) if self.splits else list(data.test_splits[:1] or list(data.rows)[:1])

    def measure(
        self, model: MultimodalModel, data: MultimodalData, trainer: pl.Trainer, run: RunFolder
    ) -> dict[str, Any]:
        """Measures and writes ``robustness.json``; every process of a distributed run must call it.

        Args:
            model: with the weights that are evaluated.
            data: bound to it.
            trainer: runs the evaluation.
            run: the folder that ``robustness.json`` is written to.

        Returns:
            Entries for ``metrics.json``: the seconds it took.
        """
        began = time.monotonic()
        results = {split: self.split(model, data, trainer, split) for split in self.measured(data)}
        seconds = round(time.monotonic() - began, 2)
        head = {"modalities": used_modalities(model, data), "options": self.options(), "finished": timestamp()}
        run.write_robustness({**head, "splits": results})
        return {"robustness_seconds": seconds}

    def options(self) -> dict[str, Any]:
        """The options as they are written to ``robustness.json``."""
        noise = {"levels": self.levels, "modalities": self.noisy, "together": self.together}
        return {
            "subsets": self.subsets,
            "missing": asdict(self.missing),
            "noise": {**noise, **asdict(self.degradation)},
        }

    def split(self, model: MultimodalModel, data: MultimodalData, trainer: pl.Trainer, split: str) -> dict[str, Any]:
        """The results of one split under every condition, by kind; ``clean`` is the unchanged split."""
        kinds, conditions = zip(*self.conditions(model, data, split), strict=True)
        module = ConditionsModule(model, conditions)
        loader = data.loader(split)
        if self.levels:
            loader = degraded_loader(data, split, self.degradation, self.levels, self.damaged(model, data))
        trainer.test(module, dataloaders=loader, verbose=False)
        results: dict[str, Any] = {kind: [] for kind in dict.fromkeys(kinds)}
        for kind, one in zip(kinds, module.results, strict=True):
            results[kind].append(one)
        return {**results, "clean": results["clean"][0]}

    def conditions(self, model: MultimodalModel, data: MultimodalData, split: str) -> list[tuple[str, Condition]]:
        """All conditions under which a split is measured, each with its kind: clean, subsets, missing or noise."""
        names = list(model.fusion.dims)
        there = np.array([name not in data.drop for name in names])
        found = [("clean", Condition({}, there))]
        if self.subsets:
            for subset in nonempty_subsets(used_modalities(model, data)):
                kept = np.array([name in subset for name in names])
                found.append(("subsets", Condition({"modalities": list(subset)}, kept)))
        if self.missing.rates:
            with named_as_robustness():
                found += [("missing", one) for one in missing_conditions(self.missing, model, data, split)]
        damaged = self.damaged(model, data)
        groups = [[name] for name in damaged] + ([damaged] if self.together and len(damaged) > 1 else [])
        for group, (number, level) in itertools.product(groups, enumerate(self.levels)):
            facts = {"modalities": group, "level": level}
            found.append(("noise", Condition(facts, there, dict.fromkeys(group, number))))
        return found

    def damaged(self, model: MultimodalModel, data: MultimodalData) -> list[str]:
        """The modalities whose inputs are damaged, in the model's order."""
        return [name for name in used_modalities(model, data) if self.noisy is None or name in self.noisy]


def used_modalities(model: MultimodalModel, data: MultimodalData) -> list[str]:
    """The model's modalities without those that the data drop from every sample."""
    return [name for name in model.fusion.dims if name not in data.drop]


def nonempty_subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All 2^M - 1 non-empty subsets, small ones first."""
    for size in range(1, len(names) + 1):
        yield from itertools.combinations(names, size)


def missing_conditions(
    options: MissingOptions, model: MultimodalModel, data: MultimodalData, split: str
) -> Iterator[Condition]:
    """A condition for each mechanism at each rate, in addition to what the data lack already."""
    names = list(model.fusion.dims)
    used = used_modalities(model, data)
    places = [names.index(name) for name in used]
    columns = {name: data.column_of(name) for name in used}
    inputs = {name: modality_of(data.processors[name]) for name in used}
    rows = data.rows[split]
    there = present_cells(data.table, rows, columns)
    for place, name in enumerate(used):
        if name in data.taken:
            there[:, place] &= ~data.taken[name][rows]
    for missing in options.all():
        taken = missing.draw(data.table, rows, columns, inputs, data.class_column(), there)
        kept = np.tile([name in used for name in names], (len(data.table), 1))
        kept[rows[:, None], places] &= ~taken
        realised = missing.realised(taken, there, used)
        yield Condition({"mechanism": missing.mechanism, "rate": missing.rate, "realised": realised}, kept)


@contextmanager
def named_as_robustness() -> Iterator[None]:
    """Errors of ``Missing`` name the options ``data.missing.*``; here they name ``robustness.missing.*``."""
    try:
        yield
    except ConfigError as error:
        message = str(error).replace("data.missing.rate", "robustness.missing.rates")
        raise ConfigError(message.replace("data.missing.", "robustness.missing.")) from error
