"""Contrastive classification: samples of a class are drawn together, then a logistic regression tells classes apart.

For few labelled samples, in the manner of SetFit: encoders and fusion learn from pairs of samples by

    mean over pairs {i, j} of  (cos(x_i, x_j) - [same class])²,   pairs of one class weighing as much as all others

with x the fused vector, and the head is a logistic regression that is fitted anew to all training samples before each
validation; no gradient of the head reaches what is before it.

Paper: Tunstall et al. 2022, "Efficient Few-Shot Learning Without Prompts" (SetFit), arXiv:2209.11055. Differs from
it: the pairs are all those of a batch (of all processes), where SetFit draws R pairs of each kind a sample, so that an
epoch is one pass over the samples; any modalities, joined by any strategy, in place of a sentence encoder; before the
logistic regression (scikit-learn's) the vectors are centred and scaled, all by one number, because fused vectors are of
any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Loss, OutputSpec, State, Tensors
from mmbert.tasks.classification import Classification
from mmbert.tasks.contrastive.batch import shared_batch
from mmbert.tasks.contrastive.losses import cosine_loss

#: Logit of a class that no training sample has.
UNSEEN = -100.0
#: Steps of the solver at most.
SOLVER_STEPS = 1000


class ContrastiveClassification(Classification):
    """One label out of C from few samples: a contrastive loss on the fused vector, and a fitted logistic regression.

    Targets and metrics are those of ``Classification``; outputs: ``logits`` (B, C) and ``vectors`` (B, H). The loss
    is that of the pairs.

    Args:
        in_dim: width H of the fused vector.
        column: the table's column with the labels.
        classes: the C names in the order of the logits; learnt from the train split.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        inverse_regularization: C of scikit-learn's ``LogisticRegression``: the larger, the less it is regularised.
        balanced_head: classes weigh the same in the logistic regression, however many samples they have.

    Raises:
        ConfigError: fewer than two classes, one named twice, or an option outside its range.
    """

    compares_samples = True
    fits_head = True

    def __init__(
        self,
        in_dim: int,
        column: str,
        classes: Sequence[str],
        weight: float = 1.0,
        lr_scale: float = 1.0,
        inverse_regularization: Annotated[float, Range(above=0)] = 1.0,
        balanced_head: bool = False,
    ) -> None:
        super().__init__(in_dim, column, classes, weight, lr_scale, dropout=0.0)
        self.inverse_regularization, self.balanced_head = inverse_regularization, balanced_head
        self.head: FittedHead = FittedHead(in_dim, len(self.classes))  # type: ignore[assignment]

    @property
    def output_spec(self) -> OutputSpec | None:  # type: ignore[override]
        """None: heads that are fitted one by one cannot be joined in training."""
        return None

    @classmethod
    def fit_labels(cls, cells: Iterable[Any], column: str) -> dict[str, Any]:
        """``classes`` in natural order, from the train split's cells.

        Raises:
            DataError: no cell is labelled, all carry the same label, or the column holds a quantity.
        """
        return {"classes": super().fit_labels(cells, column)["classes"]}

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """pooled (B, H) -> ``logits`` (B, C) and ``vectors`` (B, H)."""
        vectors = state.fused.pooled
        return {"logits": self.head(vectors), "vectors": vectors}

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """The pairs' loss, in training over all processes; half of it from pairs of one class, if there are both."""
        labelled = self.labelled(targets)
        vectors = blank(F.normalize(blank(outputs["vectors"].float(), labelled), dim=-1), labelled)
        cells = torch.where(labelled, targets["label"] + 1, 0).unsqueeze(1)  # 0 stands for none
        batch = shared_batch(vectors.unsqueeze(1), labelled.unsqueeze(1), cells, labelled, gather=self.training)
        everyone, known = batch.vectors[:, 0], batch.known[:, 0]
        label = batch.cells[:, 0]
        pair = known.unsqueeze(1) & known & ~torch.eye(len(known), dtype=torch.bool, device=known.device)
        same = label.unsqueeze(1) == label
        kinds = [pair & same, pair & ~same]
        shares = [kind / kind.sum().clamp(min=1) for kind in kinds]  # (N, N) each; sums to 1, or to 0 without a pair
        share = sum(shares) / sum(kind.any() for kind in kinds).clamp(min=1)  # type: ignore[union-attr]
        with torch.autocast(vectors.device.type, enabled=False):
            lost = cosine_loss(everyone[batch.own], everyone, same[batch.own])
        total = (lost * share[batch.own]).sum()
        return batch.loss(total, torch.ones((), device=total.device), labelled)

    def fit_head(self, outputs: Tensors, targets: Tensors) -> None:
        """Fits the logistic regression to vectors (N, H) and labels (N,); one class alone leaves it as it is."""
        labelled = self.labelled(targets)
        label = targets["label"][labelled].cpu().numpy()
        vectors = outputs["vectors"][labelled].double().cpu().numpy()
        if len(set(label.tolist())) < 2:
            return
        from sklearn.linear_model import LogisticRegression

        balance = "balanced" if self.balanced_head else None
        fitted = LogisticRegression(C=self.inverse_regularization, class_weight=balance, max_iter=SOLVER_STEPS)
        centre = vectors.mean(0)
        scale = ((vectors - centre) ** 2).mean() ** 0.5 or 1.0
        fitted.fit((vectors - centre) / scale, label)
        weight = torch.from_numpy(fitted.coef_ / scale)
        bias = torch.from_numpy(fitted.intercept_ - fitted.coef_ @ centre / scale)
        if len(weight) == 1:  # of two classes it holds the second one's alone
            weight, bias = F.pad(weight, (0, 0, 1, 0)), F.pad(bias, (1, 0))
        self.head.set(torch.from_numpy(fitted.classes_), weight, bias)


class FittedHead(nn.Module):
    """Fused vector -> logits by numbers that were fitted: zeros before that.

    Args:
        in_dim: width H.
        size: C.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, in_dim: int, size: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(size, in_dim))
        self.register_buffer("bias", torch.zeros(size))

    def set(self, places: Tensor, weight: Tensor, bias: Tensor) -> None:
        """Takes the numbers of the classes ``places`` (K,): weight (K, H), bias (K,); the others were never seen."""
        self.weight.zero_()
        self.bias.fill_(UNSEEN)
        self.weight[places] = weight.to(self.weight)
        self.bias[places] = bias.to(self.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, H) -> (B, C)."""
        return F.linear(vectors.detach(), self.weight, self.bias)
