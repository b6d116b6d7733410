"""Knowledge distillation: a student is trained to answer as a teacher does, besides its own labels.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531: with a temperature T,

    loss = (1 - alpha) * loss of the labels + alpha * T² * KL(softmax(teacher / T) || softmax(student / T))

averaged over samples; T² keeps the size of the gradients of the second term as T changes. Of several properties
(multilabel) the divergence is that of each property's Bernoulli distribution, averaged over them; of numbers the second
term is alpha times the mean squared error to the teacher's number, both in standard deviations of the train labels.
The teacher's outputs are computed once, on the training samples as they are, and looked up by their row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbert.core.errors import ConfigError
from mmbert.core.types import Batch, Tensors
from mmbert.model import ModelOutput, MultimodalModel
from mmbert.tasks.base import Task
from mmbert.training.modality_balance.base import ModalityBalance, TrainedModule

#: What is distilled of a task, by its kind: the key of its outputs.
DISTILLED = ("classification", "multilabel", "regression")


def distilled_key(name: str, task: Task) -> str:
    """The key of the outputs that are distilled.

    Raises:
        ConfigError: the task is of a kind whose outputs are no logits and no numbers of samples.
    """
    spec = task.output_spec
    if task.kind not in DISTILLED or spec is None or spec.output is None:
        raise ConfigError(
            f"The task '{name}' ({type(task).__name__}) cannot be distilled: only logits of classes or properties, and "
            "numbers, of each sample are. Prune the model instead (methods=[structured]), or train without this task."
        )
    return str(spec.output)


def class_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """(N, C) logits each -> (N,) T² · KL(teacher || student) of their softmax at the temperature."""
    known, log_known = (teacher / temperature).softmax(1), (teacher / temperature).log_softmax(1)
    return temperature**2 * (known * (log_known - (student / temperature).log_softmax(1))).sum(1)


def property_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """(N, C) logits each -> (N,) T² · KL of the Bernoulli distributions, the mean over properties."""
    known = (teacher / temperature).sigmoid()
    cross = F.binary_cross_entropy_with_logits(student / temperature, known, reduction="none")
    own = F.binary_cross_entropy_with_logits(teacher / temperature, known, reduction="none")
    return temperature**2 * (cross - own).mean(1)


class Distillation(ModalityBalance):
    """Adds the second term to the loss of every training step.

    Args:
        teacher: by task what ``teacher_outputs`` gave: by row.
        keys: by task the key of its outputs.
        temperature: T, above 0.
        alpha: the share of the second term, in [0, 1].
        seed: of the run.
    """

    def __init__(
        self,
        teacher: Mapping[str, Mapping[int, Tensor]],
        keys: Mapping[str, str],
        temperature: float,
        alpha: float,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        self.teacher, self.keys = teacher, keys
        self.temperature, self.alpha = temperature, alpha

    def trained_loss(self, module: TrainedModule, batch: Batch, output: ModelOutput, joint: Tensor) -> Tensor:
        """See the top of the file."""
        terms = []
        for name, key in self.keys.items():
            task, known = module.tasks[name], self.teacher[name]
            there = [place for place, row in enumerate(batch.rows.tolist()) if row in known]
            if not there:
                continue
            student = output.outputs[name][key][there].float()
            rows = batch.rows[there].tolist()
            teacher = torch.stack([known[row] for row in rows]).to(student)
            spec = task.output_spec
            assert spec is not None
            term = distillation_term(task.kind, student / spec.scale, teacher / spec.scale, self.temperature).mean()
            module.means["train"].add(f"{name}/loss/distillation", term.detach(), len(there))
            terms.append(task.weight * term)
        return (1 - self.alpha) * joint + self.alpha * torch.stack(terms).sum() if terms else joint


def distillation_term(kind: str, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """(N,) the second term of each sample, without alpha.

    Args:
        kind: of the task.
        student: (N, C) logits, or (N,) or (N, 1) numbers.
        teacher: the same.
        temperature: T; of numbers there is none.
    """
    if kind == "classification":
        return class_divergence(student, teacher, temperature)
    if kind == "multilabel":
        return property_divergence(student, teacher, temperature)
    return (student - teacher).square().reshape(len(student), -1).mean(1)


def teacher_outputs(
    teacher: MultimodalModel, batches: Iterable[Batch], keys: Mapping[str, str]
) -> dict[str, dict[int, Tensor]]:
    """What a teacher answers to training samples, by task and row.

    Args:
        teacher: in evaluation mode.
        batches: of the training split, bound to the teacher.
        keys: by task the key of its outputs.
    """
    found: dict[str, dict[int, Tensor]] = {name: {} for name in keys}
    with torch.inference_mode():
        for batch in batches:
            outputs: Mapping[str, Tensors] = teacher(batch.inputs).outputs
            for name, key in keys.items():
                made: Any = outputs[name][key].float().clone()
                found[name] |= {row: made[place] for place, row in enumerate(batch.rows.tolist()) if row >= 0}
    return found
