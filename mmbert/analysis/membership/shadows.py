"""Shadow models: fusion and heads of a run, trained anew on parts of its training split, over the same features.

They are trained by the run's own code, options and privacy settings, with its validation split for early stopping and
for the best checkpoint; only the rows of ``train`` and the seed are others.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, open_dict

from mmbert.core.errors import ConfigError
from mmbert.core.types import Tensors
from mmbert.data.loading.cached import Source
from mmbert.encoders.base import Encoder
from mmbert.fusion.base import Fusion
from mmbert.model import MultimodalModel
from mmbert.runs.folder import RunFolder
from mmbert.training.build import Parts, build, make_modality_balance, make_tasks
from mmbert.training.callbacks.checkpoint import begun_with
from mmbert.training.callbacks.console import print_line
from mmbert.training.fit import fit, restore_best
from mmbert.training.instantiate import make
from mmbert.training.loggers.group import RunLoggers
from mmbert.training.private.module import PrivateModule
from mmbert.training.private.prepare import prepare_private
from mmbert.training.run import seed_everything
from mmbert.training.task_configs import all_tasks, fit_labels
from mmbert.training.trainer import make_training
from mmbert.training.use_store import read_from_store

#: Lines with the same beginning say the same of another model.
SAME_LINE = 25


class RememberedSource:
    """Stored values of rows, read from the disk once.

    Args:
        source: where they are.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.values: dict[int, Any] = {}

    def row(self, row: int) -> Any:
        """What is kept of a row; None if nothing is."""
        if row not in self.values:
            self.values[row] = self.source.row(row)
        return self.values[row]


class ShadowTrainer:
    """Trains models as a run did, on any of its training rows.

    Args:
        cfg: the run's config; it is not changed.

    Raises:
        ConfigError: an encoder learns: its features would have to be computed anew for every model.
        MmbertError: the run's data cannot be used.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = alone(cfg)
        seed_everything(self.cfg)  # frozen encoders of random weights are those of the run
        self.parts: Parts = build(self.cfg)
        self.encoders = self.parts.model.named_encoders()
        refuse_learning(self.encoders)
        data = self.parts.data
        read_from_store(data, self.parts.model, self.cfg.store, self.cfg.trainer)
        data.sources = {name: RememberedSource(source) for name, source in data.sources.items()}
        data.num_workers = 0  # what is read from memory needs none
        self.task_configs = all_tasks(self.cfg, data)
        self.labels = {name: fit_labels(part, data) for name, part in self.task_configs.items()}
        self.fingerprint = begun_with(self.cfg, data)
        self.fingerprints: dict[str, str] = {}
        self.said_already: set[str] = set()

    @property
    def rows(self) -> np.ndarray:
        """(N,) int64, the rows of the table that the run was trained on."""
        return self.parts.data.rows["train"]

    def train(self, chosen: np.ndarray, seed: int) -> MultimodalModel:
        """A model trained on some of the rows.

        Args:
            chosen: (N,) bool, which of ``rows``.
            seed: of first weights, order, dropout and noise.
        """
        cfg = copy.deepcopy(self.cfg)
        cfg.seed = seed
        seed_everything(cfg)
        parts = self.fresh_parts(cfg, self.rows[chosen])
        prepare_private(cfg, parts)
        with TemporaryDirectory(prefix="mmbert-shadow-") as scratch:
            folder = RunFolder(Path(scratch))
            training = make_training(cfg, parts, folder, RunLoggers([]), self.fingerprint)
            training.module.fingerprints = self.fingerprints  # of frozen weights, the same for all models
            if isinstance(training.module, PrivateModule):
                training.module.say = self.say_once
            fit(training, parts.data, None)
            restore_best(training, parts.monitor, folder)
        return parts.model

    def say_once(self, line: str) -> None:
        """Prints what the first model says of its privacy, not again what the others say."""
        beginning = line[:SAME_LINE]
        if beginning not in self.said_already:
            self.said_already.add(beginning)
            print_line(line)

    def fresh_parts(self, cfg: DictConfig, rows: np.ndarray) -> Parts:
        """A run's parts with first weights of its own, and these rows for ``train``."""
        fusion: Fusion = make(cfg.fusion, dims={name: encoder.out_dim for name, encoder in self.encoders.items()})
        whole = self.parts.data
        columns = {name: whole.column_of(name) for name in self.encoders if whole.has_column(whole.column_of(name))}
        tasks = make_tasks(self.task_configs, self.labels, fusion, columns)
        data = copy.copy(whole)
        data.rows = {**whole.rows, "train": rows}
        data.seed = cfg.seed
        data.tasks = {name: task.without_weights() for name, task in tasks.items()}
        if cfg.get("task_sampling") is not None:
            data.draw_by_task(str(cfg.task_sampling), [name for name, task in tasks.items() if task.weight])
        model = MultimodalModel(self.encoders, fusion, tasks)
        balance = make(cfg.balance, tasks=tasks)
        return Parts(data, model, balance, self.parts.monitor, {}, make_modality_balance(cfg, data))

    @torch.inference_mode()
    def answers(self, model: MultimodalModel, names: Sequence[str]) -> Iterator[Mapping[str, tuple[Tensors, Tensors]]]:
        """By task outputs and targets of all ``rows``, in their order, a batch at a time, without random changes.

        Args:
            model: what ``train`` gave.
            names: of the tasks.
        """
        device = next(model.parameters()).device
        model.eval()
        for batch in self.parts.data.plain_loader("train"):
            there = batch.to(device)
            outputs = model(there.inputs).outputs
            yield {name: (outputs[name], there.targets[name]) for name in names}


def alone(cfg: DictConfig) -> DictConfig:
    """A run's config for one process that writes, logs and draws nothing."""
    changed = copy.deepcopy(cfg)
    with open_dict(changed):
        changed.compile = False
        changed.checkpoint.per_task = False
        changed.trainer.update(enable_progress_bar=False, devices=1, num_nodes=1, strategy="auto")
        changed.store.enabled = True
    return changed


def refuse_learning(encoders: Mapping[str, Encoder]) -> None:
    """Refuses encoders with weights that are trained.

    Raises:
        ConfigError: names them.
    """
    learning = [name for name, encoder in encoders.items() if any(p.requires_grad for p in encoder.parameters())]
    if learning:
        frozen = " ".join(f"encoders.{name}.frozen=true" for name in learning)
        raise ConfigError(
            f"The run trains its encoder{'s' * (len(learning) > 1)} {' and '.join(learning)}. The attack trains dozens "
            "of models over features that are computed once, so every encoder must be frozen: train a run with "
            f"{frozen}, or leave the modality out ({learning[0]}=none)."
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the context torch computes with one thread: steps of so small models only wait for more of them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_array(parts: Iterable[torch.Tensor]) -> np.ndarray:
    """Tensors of batches one after the other."""
    return torch.cat(list(parts)).cpu().numpy()
