"""What LiRA looks at of each sample: one number of a model's answer that is large where the label is well answered."""

from __future__ import annotations

import torch
from torch import Tensor

from mmbert.core.types import Tensors
from mmbert.tasks.base import Task
from mmbert.tasks.one_class import OneClass


def why_not_attacked(task: Task) -> str | None:
    """Why a task has no statistic; None if it has one."""
    if (
        isinstance(task, OneClass)
        or task.output_spec is not None
        and task.output_spec.kind in ("multilabel", "regression")
    ):
        return None
    return (
        f"a task of kind '{task.kind}' has no probability of one label a sample, from which LiRA's statistic is made; "
        "classification, ordinal, multilabel and regression have"
    )


def membership_statistic(task: Task, outputs: Tensors, targets: Tensors) -> Tensor:
    """The statistic of each labelled sample.

    For classes log(p / (1 - p)) of the label's probability p (Carlini et al. 2022, arXiv:2112.03570, section IV.C),
    from logits, so that a p near 1 is not rounded. For several properties the same of the probability of the whole set
    of labels, the product over them. For numbers the number that is answered: a model that was trained on the sample
    answers nearer to its label, whichever side that is. Calibration is left out.

    Args:
        task: one of which ``why_not_attacked`` is None.
        outputs: (B, …) of the task.
        targets: of the same samples.

    Returns:
        (B,) float64, NaN where the label is missing.
    """
    labelled = task.labelled(targets)
    if isinstance(task, OneClass):
        found = logit_of_class(task.class_logits(outputs).double(), targets["label"].clamp(min=0))
    else:
        spec = task.output_spec
        assert spec is not None
        answer, label = outputs[spec.output].double(), targets[spec.target].double()
        found = logit_of_set(answer, label) if spec.kind == "multilabel" else answer.reshape(len(labelled))
    return torch.where(labelled, found, torch.nan)


def logit_of_class(logits: Tensor, label: Tensor) -> Tensor:
    """log p - log(1 - p) = z_y - log Σ_{c≠y} exp z_c.

    Args:
        logits: (B, C).
        label: (B,) int64, from 0 to C - 1.
    """
    place = label.unsqueeze(1)
    others = logits.scatter(1, place, -torch.inf)
    return logits.gather(1, place).squeeze(1) - others.logsumexp(1)


def logit_of_set(logits: Tensor, labels: Tensor) -> Tensor:
    """log p - log(1 - p) of p = Π_j p_j, the probability of all labels of a sample at once.

    Args:
        logits: (B, C) of C sigmoids.
        labels: (B, C) of 0 and 1, NaN where missing; those do not count.
    """
    signs = torch.where(labels > 0.5, 1.0, -1.0).to(logits.dtype)
    each = torch.where(labels.isnan(), 0.0, torch.nn.functional.logsigmoid(signs * logits))
    whole = each.sum(1).clamp(max=-torch.finfo(logits.dtype).tiny)
    return whole - torch.log(-torch.expm1(whole))


def answered_right(task: Task, outputs: Tensors, targets: Tensors) -> Tensor:
    """(B,) float64: 1 where the class is right, 0 where not, NaN without a label and for tasks without classes."""
    labelled = task.labelled(targets)
    if not isinstance(task, OneClass):
        return torch.full((len(labelled),), torch.nan, dtype=torch.float64)
    right = (task.class_logits(outputs).argmax(-1) == targets["label"]).double()
    return torch.where(labelled, right, torch.nan)
