"""Weighted means of several heads' outputs, as probabilities, logits or numbers; late fusions share them."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.masks import blank

AVERAGES = ("probabilities", "logits")
Average = Literal["probabilities", "logits"]


def checked_average(average: str) -> bool:
    """Whether probabilities are averaged, rather than logits.

    Raises:
        ConfigError: it is neither word.
    """
    if average not in AVERAGES:
        raise ConfigError(f"fusion.average={average} is unknown. {nearest(average, AVERAGES)}")
    return average == "probabilities"


def weighted(outputs: Tensor, log_weights: Tensor, kind: str, probabilities: bool) -> Tensor:
    """outputs (B, V, C), log_weights (B, V) with -inf for absent views -> (B, C), of the same kind.

    Of probabilities the result is log p, or log p - log(1 - p) for properties, p being their weighted mean; numbers are
    averaged as they are.
    """
    logs = log_weights.unsqueeze(-1)  # (B, V, 1)
    if kind == "regression" or not probabilities:
        return (logs.exp() * blank(outputs, log_weights > -math.inf)).sum(1)
    if kind == "classification":
        return torch.logsumexp(outputs.log_softmax(-1) + logs, 1)
    yes, no = F.logsigmoid(outputs) + logs, F.logsigmoid(-outputs) + logs
    return torch.logsumexp(yes, 1) - torch.logsumexp(no, 1)


def even(present: Tensor, dtype: torch.dtype) -> Tensor:
    """present (B, V) bool -> (B, V): the logs of equal weights over what is present, -inf elsewhere."""
    logs = -present.sum(1, keepdim=True).to(dtype).log().expand(present.shape)
    return logs.masked_fill(~present, -math.inf)
