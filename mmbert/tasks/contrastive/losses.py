"""InfoNCE, SigLIP's loss and the cosine loss of pairs, row by row, with any number of right answers.

    InfoNCE   -mean over k in P(i) of  log [exp(s · a_i·b_k) / Σ_j exp(s · a_i·b_j)]
    SigLIP    -Σ_j log σ(z_ij (s · a_i·b_j + c)),   z_ij = 1 for j in P(i), -1 otherwise
    cosine    (a_i·a_j - [same label])²

P(i) are the right answers for i: one, where no two samples are the same.

Papers: van den Oord et al. 2018, arXiv:1807.03748, in the form of Radford et al. 2021, "CLIP", arXiv:2103.00020;
several right answers as in Yang et al. 2022, "UniCL", arXiv:2204.03610; Zhai et al. 2023, "SigLIP",
arXiv:2303.15343; the cosine loss as in sentence-transformers' ``CosineSimilarityLoss``, which SetFit uses (Tunstall
et al. 2022, arXiv:2209.11055).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmbert.core.masks import blank


def info_nce(rows: Tensor, columns: Tensor, right: Tensor, known: Tensor, scale: Tensor) -> Tensor:
    """The loss of each row.

    Args:
        rows: (B, E) of length 1.
        columns: (N, E) of length 1, what rows are compared with.
        right: (B, N) bool, the right answers.
        known: (N,) bool, which columns are there at all.
        scale: () s, the inverse of the temperature.

    Returns:
        (B,); 0 for a row without a right answer that is known.
    """
    # the lowest number rather than -inf: a row without any column would have a gradient of NaN
    similar = (scale * (rows @ columns.T)).masked_fill(~known, torch.finfo(rows.dtype).min)
    right = right & known
    log_shares = blank(similar.log_softmax(1), right)
    return -log_shares.sum(1) / right.sum(1).clamp(min=1)


def sigmoid_loss(rows: Tensor, columns: Tensor, right: Tensor, known: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """SigLIP's loss of each row: arguments as of ``info_nce``, and c () -> (B,)."""
    logits = scale * (rows @ columns.T) + bias
    lost = -F.logsigmoid(torch.where(right, logits, -logits))
    return blank(lost.T, known).sum(0)


def cosine_loss(rows: Tensor, columns: Tensor, same: Tensor) -> Tensor:
    """(B, E) and (N, E) of length 1, (B, N) bool -> (B, N): squared distance of the cosine from 1 or 0."""
    return (rows @ columns.T - same.to(rows.dtype)).square()
