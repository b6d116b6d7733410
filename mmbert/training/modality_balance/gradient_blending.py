"""Gradient blending: the losses of each modality alone and of all together, weighed by how they overfit.

    L    = w_joint L_joint + Σ_m w_m L_m                         L_m: the loss with modality m alone
    G_k  = L^V_k(n) - L^V_k(N)                                   what k gained on validation between two epochs n and N
    O_k  = (L^V_k(N) - L^T_k(N)) - (L^V_k(n) - L^T_k(n))         what its gap between train and validation grew by
    w_k  = (G_k / O_k²) / Z,   Z so that they sum to 1           k one of the modalities, or joint

Paper: Wang, Tran & Feiszli 2020, "What Makes Training Multi-modal Classification Networks Hard?", arXiv:1905.12681,
proposition 1 and algorithms 1 and 2; |O_k / G_k| is its overfitting-to-generalisation ratio.

Two variants:
    offline   as in the paper's algorithm of the same name: ``runs`` names finished runs, one with each modality alone
              and one with all of them; the weights follow from their first and last common epoch and stay.
              ``weights`` gives them by hand.
    online    the weights are estimated anew every ``every_epochs`` epochs (a super-epoch) from what each k did since
              the last estimate. Differs from the paper's online algorithm, which trains a copy of the network on each
              L_k alone for the length of a super-epoch: here all losses are those of the one model in training, so
              that it costs M passes of fusion and heads a step and not M + 1 trainings, and what k gained may be
              owed to another's gradient.
              Until the first estimate all weights are 1 / (M + 1).
Further differences: the paper gives each modality a classifier of its own; here the same fusion and heads take it with
the others missing. The validation split stands for the held-out part of train from which the paper estimates G and O;
nothing is measured on test. What got worse on validation (G < 0) gets weight 0, O² is at least 1e-8, and where nothing
gained the weights stay. With several tasks L_k is their balance, and G and O are of Σ_t weight_t L_t. Samples
that lack m count for nothing in L_m. The weights scale the tasks' losses alone, not auxiliary ones. Frozen encoders
are no hindrance: fusion and heads are what is blended then.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from mmbert.core.errors import ConfigError
from mmbert.core.ranges import Range
from mmbert.core.types import Batch, rows_of
from mmbert.data.loading.cached import present
from mmbert.model import ModelOutput
from mmbert.runs.folder import RunFolder
from mmbert.runs.history import read_epochs
from mmbert.tasks.base import Task
from mmbert.training.modality_balance.base import ModalityBalance, TrainedModule
from mmbert.training.modality_balance.unimodal import ALONE, decode_unimodal, need_several

JOINT = "joint"
SMALLEST = 1e-8
#: (train, validation) loss of each k.
EpochLosses = dict[str, tuple[float, float]]


class GradientBlending(ModalityBalance):
    """Blends the joint loss with those of each modality alone.

    Logged: ``train/blend/K``, the weights, and for both splits ``alone/MODALITY/TASK/loss``.

    Args:
        every_epochs: online: how many epochs lie between two estimates.
        weights: offline: a weight for each modality and for ``joint``; they are divided by their sum.
        runs: offline: a finished run's folder for each modality and for ``joint``.
        seed: see ``ModalityBalance``; nothing is drawn here.

    Raises:
        ConfigError: options contradict each other or lie outside their range.
    """

    def __init__(
        self,
        every_epochs: Annotated[int, Range(1)] = 1,
        weights: Mapping[str, float] | None = None,
        runs: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        if every_epochs < 1:
            raise ConfigError(f"balance_modalities.every_epochs={every_epochs} must be at least 1.")
        if weights is not None and runs is not None:
            raise ConfigError("balance_modalities.weights and balance_modalities.runs exclude each other.")
        if weights is not None and (min(weights.values(), default=0) < 0 or sum(weights.values()) <= 0):
            raise ConfigError(f"balance_modalities.weights={dict(weights)} must not be negative, nor all 0.")
        self.every_epochs, self.given, self.runs = every_epochs, weights, runs
        self.online = weights is None and runs is None
        self.weights: dict[str, float] = {}
        self.task_weights: dict[str, float] = {}
        self.reference: EpochLosses = {}  # at the last estimate
        self.epochs = 0  # that were measured since
        self.validation: dict[str, float] = {}  # of this epoch

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Takes or estimates the weights to begin with.

        Raises:
            ConfigError: there is one modality, names do not fit, or a run's losses cannot be read.
        """
        if stage != "fit":
            return
        model: Any = pl_module.model
        names = [*need_several(model, "gradient_blending"), JOINT]
        if names.count(JOINT) > 1:
            raise ConfigError(f"An encoder called '{JOINT}' has the name of the joint loss: call it otherwise.")
        self.task_weights = {name: float(task.weight) for name, task in model.named_tasks().items()}
        given: Mapping[str, Any] | None = self.given or self.runs
        if given is not None and set(given) != set(names):
            option = "weights" if self.given else "runs"
            raise ConfigError(f"balance_modalities.{option} must name {', '.join(names)}, but names {list(given)}.")
        if self.weights:
            return  # of a checkpoint
        if self.given is not None:
            self.weights = {name: self.given[name] / sum(self.given.values()) for name in names}
        elif self.runs is not None:
            self.weights = offline_weights({name: Path(self.runs[name]) for name in names}, self.task_weights)
        else:
            self.weights = dict.fromkeys(names, 1 / len(names))

    def trained_loss(self, module: TrainedModule, batch: Batch, output: ModelOutput, joint: Tensor) -> Tensor:
        """() Σ_k w_k L_k of a batch."""
        total = self.weights[JOINT] * joint
        for name, weight in self.weights.items():
            module.means["train"].add(f"blend/{name}", torch.tensor(weight, device=joint.device), 1)
            if name == JOINT:
                continue
            losses, counts = losses_alone(module, "train", batch, output, name)
            window, before = module.weights, f"{ALONE}/{name}/"
            counts = {key: window.count(before + key, count) for key, count in counts.items()}
            if any(counts.values()):
                weighed = {key: loss * window.weight(before + key) for key, loss in losses.items()}
                total = total + weight * module.balance(weighed, counts, window.share)[0]
        return total

    def counts(self, tasks: Mapping[str, Task], batch: Batch) -> dict[str, float]:
        """How many labelled samples have each modality."""
        found: dict[str, float] = {}
        for name in self.weights:
            if name == JOINT:
                continue
            targets = rows_of(batch.targets, present(batch.inputs[name]))
            found |= {f"{ALONE}/{name}/{key}": float(task.count(targets[key])) for key, task in tasks.items()}
        return found

    def validated(self, module: TrainedModule, batch: Batch, output: ModelOutput) -> None:
        """Adds up the losses of each modality alone."""
        for name in self.weights:
            if name != JOINT:
                losses_alone(module, "val", batch, output, name)

    def validation_ended(self, means: Mapping[str, Tensor]) -> None:
        """Remembers what validation came to until the epoch ends."""
        self.validation = self.summed(means)

    def epoch_ended(self, means: Mapping[str, Tensor]) -> None:
        """Estimates the weights anew when a super-epoch is over; an epoch without a validation does not count."""
        train, val = self.summed(means), self.validation
        self.validation = {}
        if not self.online or set(train) != set(self.weights) or set(val) != set(self.weights):
            return
        now = {name: (train[name], val[name]) for name in self.weights}
        self.epochs += 1
        if not self.reference:
            self.reference, self.epochs = now, 0
        elif self.epochs == self.every_epochs:
            self.weights = blend(self.reference, now) or self.weights
            self.reference, self.epochs = now, 0

    def summed(self, means: Mapping[str, Tensor]) -> dict[str, float]:
        """Σ_t weight_t L_t of each k for which some task was measured."""
        found = {}
        for name in self.weights:
            before = "" if name == JOINT else f"{ALONE}/{name}/"
            parts = {task: means.get(f"{before}{task}/loss") for task in self.task_weights}
            known = {task: float(loss) for task, loss in parts.items() if loss is not None}
            if known:
                found[name] = sum(self.task_weights[task] * loss for task, loss in known.items())
        return found

    def state_dict(self) -> dict[str, Any]:
        """Weights, and what the next estimate needs."""
        return {
            "weights": self.weights,
            "reference": {name: list(pair) for name, pair in self.reference.items()},
            "epochs": self.epochs,
            "validation": self.validation,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there."""
        self.weights = dict(state_dict["weights"])
        self.reference = {name: (pair[0], pair[1]) for name, pair in state_dict["reference"].items()}
        self.epochs = int(state_dict["epochs"])
        self.validation = dict(state_dict["validation"])


def losses_alone(
    module: TrainedModule, split: str, batch: Batch, output: ModelOutput, name: str
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Each task's mean loss with one modality alone, and over how much; both go into the split's means."""
    found = decode_unimodal(module.model, batch, output.encoded, name)
    losses, counts = {}, {}
    for key, task in module.tasks.items():
        if found is None:
            losses[key], counts[key] = torch.zeros((), device=batch.rows.device), 0.0
        else:
            loss = task.loss(found[0].outputs[key], found[1][key])
            losses[key], counts[key] = loss.mean, float(loss.count)
        module.means[split].add(f"{ALONE}/{name}/{key}/loss", losses[key], counts[key])
    return losses, counts


def blend(before: EpochLosses, now: EpochLosses) -> dict[str, float] | None:
    """w of each k from its (train, validation) losses at two epochs; None if nothing gained."""
    raw = {}
    for name, (train, val) in now.items():
        train_before, val_before = before[name]
        gain = val_before - val
        overfit = (val - train) - (val_before - train_before)
        raw[name] = max(gain, 0.0) / max(overfit**2, SMALLEST)
    total = sum(raw.values())
    return {name: value / total for name, value in raw.items()} if total > 0 else None


def offline_weights(runs: Mapping[str, Path], task_weights: Mapping[str, float]) -> dict[str, float]:
    """w of each k from runs that trained k alone.

    Args:
        runs: a finished run's folder for each k.
        task_weights: the tasks whose losses count, and by how much.

    Raises:
        ConfigError: a run has no losses of a task for two epochs, or none of them gained.
    """
    curves = {name: epochs_of(folder, task_weights) for name, folder in runs.items()}
    last = min(map(len, curves.values())) - 1
    weights = blend({k: curve[0] for k, curve in curves.items()}, {k: curve[last] for k, curve in curves.items()})
    if weights is None:
        raise ConfigError("balance_modalities.runs: none of the runs got better on validation between its epochs.")
    return weights


def epochs_of(folder: Path, task_weights: Mapping[str, float]) -> list[tuple[float, float]]:
    """(train, validation) loss of each epoch of a finished run, from its history.

    Raises:
        ConfigError: there is no such file, or it lacks a task or a second epoch.
    """
    path = RunFolder(folder).history
    if not path.is_file():
        raise ConfigError(f"balance_modalities.runs: {folder} is no finished run, for it has no {path.name}.")
    names = [f"{split}/{task}/loss" for split in ("train", "val") for task in task_weights]
    # of an epoch the first value: the chosen checkpoint is measured once more at the end
    found = {name: dict(reversed(read_epochs(path, name))) for name in names}
    for name, values in found.items():
        if len(values) < 2:
            raise ConfigError(f"balance_modalities.runs: {path} has '{name}' for {len(values)} epochs; two are needed.")
    epochs = sorted(set.intersection(*(set(values) for values in found.values())))
    return [
        (
            sum(w * found[f"train/{t}/loss"][e] for t, w in task_weights.items()),
            sum(w * found[f"val/{t}/loss"][e] for t, w in task_weights.items()),
        )
        for e in epochs
    ]
