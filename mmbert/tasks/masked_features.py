"""Masked features: some vectors of a sequence are hidden, and the model says what they were.

    loss = Σ over hidden vectors of ‖ head(h) - v̂ ‖² / W      v̂: the vector, brought to mean 0 and variance 1

Paper: Chen et al. 2020, "UNITER", arXiv:1909.11740 (masked region feature regression: ready features of regions become
zeros and are regressed with L2); spans of frames as in Baevski et al. 2020, "wav2vec 2.0", arXiv:2006.11477. Differs
from UNITER: the head does not share weights with the projection of the inputs, the vectors are normalised one by one,
so that features of any scale are learnt alike, and hidden ones are whole spans. Differs from wav2vec 2.0: vectors are
regressed, not told apart from distractors. It works on ready features: of an encoder of pixels or waveforms no token
has an input of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.masks import blank
from mmbert.core.precision import exact_dtype
from mmbert.core.ranges import Range
from mmbert.core.types import Inputs, Loss, State, Tensors
from mmbert.data.augment.augmentation import sample_random
from mmbert.encoders.base import Encoder
from mmbert.encoders.features import FeatureEncoder
from mmbert.tasks.base import Head, Task


class MaskedFeatures(Task):
    """Vectors of a modality that were hidden, regressed from its fused tokens.

    Targets: ``hidden`` (B, L) bool and ``vectors`` (B, L, W) float32, normalised, 0 elsewhere; outputs: ``guesses``
    (B, L, W).

    Metrics: ``r2``, the share of the hidden vectors' variance that is explained, over all numbers at once.

    Args:
        in_dim: width H of the fused tokens.
        dims: width by modality.
        modality: the encoder whose vectors are hidden, one of ready features.
        share: of a sequence's vectors.
        span: so many neighbouring vectors are hidden together; spans may overlap.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        hidden_dim: width of a hidden layer in the head; 0 = none.
        dropout: on the head's input.

    Raises:
        ConfigError: there is no such encoder, or it reads no ready features.
    """

    kind = "masked_features"
    reads_tokens = True
    higher_is_better = False

    def __init__(
        self,
        in_dim: int,
        dims: Mapping[str, int],
        modality: str = "image",
        share: Annotated[float, Range(above=0, below=1)] = 0.15,
        span: Annotated[int, Range(1)] = 1,
        weight: float = 1.0,
        lr_scale: float = 1.0,
        hidden_dim: Annotated[int, Range(0)] = 0,
        dropout: Annotated[float, Range(0, below=1)] = 0.0,
    ) -> None:
        super().__init__(in_dim, None, weight, lr_scale)
        if modality not in dims:
            raise ConfigError(f"modality={modality}: no encoder is called so. {nearest(modality, dims)}")
        self.modality, self.share, self.span = modality, share, span
        self.hidden_dim, self.dropout = hidden_dim, dropout
        self.changes_inputs = (modality,)
        self.head: nn.Module | None = None

    def connect(self, encoders: Mapping[str, Encoder]) -> None:
        """Makes a head as wide as the features.

        Raises:
            ConfigError: the encoder reads no ready features.
        """
        super().connect(encoders)
        encoder = encoders[self.modality]
        if not isinstance(encoder, FeatureEncoder):
            raise ConfigError(
                f"tasks: masked features need an encoder of ready features "
                f"(features@encoders.{self.modality}=sequence); "
                f"'{self.modality}' is a {type(encoder).__name__}, whose tokens have no input of their own."
            )
        self.head = Head(self.in_dim, encoder.processor.width, self.hidden_dim, self.dropout)

    def change_inputs(
        self, inputs: Mapping[str, Inputs], draws: Sequence[int], targets: Tensors
    ) -> tuple[dict[str, Inputs], Tensors]:
        """Hidden vectors become zeros; a sample's choice follows from its draw alone."""
        read = inputs[self.modality]
        real = read["mask"].numpy()
        chosen = np.zeros_like(real)
        for row, draw in enumerate(draws):
            if targets["counted"][row]:
                random = sample_random(draw, "tasks.masked_features")
                chosen[row, : real[row].sum()] = spans(int(real[row].sum()), self.share, self.span, random)
        hidden = torch.from_numpy(chosen)
        features = read["features"]
        vectors = blank(F.layer_norm(features.float(), features.shape[-1:]), hidden)
        changed = {**read, "features": blank(features, ~hidden)}
        return {self.modality: changed}, {"hidden": hidden, "vectors": vectors}

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool: the samples of which vectors may be hidden; of a short sequence it is sometimes none."""
        return targets["counted"] if "hidden" in targets else torch.zeros_like(targets["counted"])

    def count(self, targets: Tensors) -> Tensor:
        """() hidden vectors; 0 where no inputs were changed, as in evaluation beside other tasks."""
        return targets["hidden"].sum() if "hidden" in targets else targets["counted"].sum() * 0

    def decode(self, targets: Tensors) -> list[Any]:
        """The places of the hidden vectors, None where there is none."""
        if "hidden" not in targets:
            return super().decode(targets)
        return [row.nonzero().flatten().tolist() or None for row in targets["hidden"]]

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """tokens (B, L, H) -> ``guesses`` (B, L, W)."""
        assert self.head is not None, "connect makes the head"
        return {"guesses": self.head(state.fused.tokens[self.modality])}

    def _hidden(self, outputs: Tensors, targets: Tensors) -> tuple[Tensor, Tensor]:
        """Guesses and vectors (N, W) float32 of all hidden places."""
        length = targets["hidden"].shape[1]
        hidden = targets["hidden"]
        return outputs["guesses"][:, :length][hidden].float(), targets["vectors"][hidden]

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """Mean squared error of a vector's numbers, over hidden vectors."""
        if "hidden" not in targets:
            nothing = torch.zeros_like(outputs["guesses"][..., 0], dtype=torch.bool)
            return Loss(blank(outputs["guesses"].float(), nothing).sum(), self.count(targets))
        guesses, vectors = self._hidden(outputs, targets)
        return Loss((guesses - vectors).square().mean(1).sum(), self.count(targets))

    def make_metrics(self) -> MetricCollection:
        """``r2``."""
        return MetricCollection({"r2": ExplainedShare()})

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the hidden vectors of a batch."""
        if "hidden" in targets:
            metrics.update(*self._hidden(outputs, targets))

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """Nothing: what is hidden is hidden in training alone."""
        return [{"prediction": None} for _ in outputs["guesses"]]


class ExplainedShare(Metric):
    """1 - Σ (guess - number)² / Σ (number - mean of all numbers)², in float64; NaN without any variance."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        # squared errors, squares, numbers, and how many
        self.add_state("sums", torch.zeros(4, dtype=exact_dtype(self.device)), dist_reduce_fx="sum")

    def update(self, guesses: Tensor, vectors: Tensor) -> None:
        """Both (N, W); N may be 0."""
        x, y = guesses.to(self.sums.dtype), vectors.to(self.sums.dtype)
        self.sums += torch.stack([(x - y).square().sum(), y.square().sum(), y.sum(), y.new_tensor(y.numel())])

    def compute(self) -> Tensor:
        """() float32."""
        errors, squares, total, count = self.sums
        spread = squares - total.square() / count.clamp(min=1)
        return (1 - errors / spread).float() if bool(spread > 0) else torch.tensor(math.nan, device=self.device)


def spans(length: int, share: float, span: int, random: np.random.Generator) -> np.ndarray:
    """(L,) bool: the places that are hidden, about ``share`` of them, in spans that may overlap.

    Args:
        length: L.
        share: of the places.
        span: places of one span; at the end of the sequence it is cut.
        random: how a fraction of a span is rounded, and where spans begin.
    """
    hidden = np.zeros(length, bool)
    count = int(share * length / span + random.random())
    for begin in random.permutation(length)[:count]:
        hidden[begin : begin + span] = True
    return hidden
