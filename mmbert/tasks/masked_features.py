"""Masked features: parts of an input are hidden, and the model says what they were.

    ready features   loss = Σ over hidden vectors of ‖ head(h) - v̂ ‖² / W     v̂: the vector, normalised
    pictures         loss = Σ over hidden patches of | head(h) - x |₁ / W     x: their normalised pixels
    sounds           loss = Σ over hidden frames of | head(h) - f |₁ / W      f: their log-mel bands, normalised

Papers: of ready features Chen et al. 2020, "UNITER", arXiv:1909.11740 (masked region feature regression: ready features
of regions become zeros and are regressed with L2), with spans of frames as in Baevski et al. 2020, "wav2vec 2.0",
arXiv:2006.11477; of pictures Xie et al. 2022, "SimMIM", arXiv:2111.09886 (``mmbert.tasks.masking.hidden_pictures``
says how we differ); of sounds Liu et al. 2020, "Mockingjay", arXiv:1910.12638 (``mmbert.tasks.masking.hidden_sounds``).
Differs from all: the head reads the fused tokens, so that other modalities help; and what is hidden is hidden in the
input, so that no encoder has seen it. Differs from UNITER: the head does not share weights with the projection of the
inputs, the vectors are normalised one by one, so that features of any scale are learnt alike, and hidden ones are whole
spans. Differs from wav2vec 2.0: vectors are regressed, not told apart from distractors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
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
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.processors.audio import AudioProcessor
from mmbert.encoders.processors.log_mel import LogMelProcessor
from mmbert.tasks.base import Head, Task
from mmbert.tasks.masking.hidden_parts import InputParts
from mmbert.tasks.masking.hidden_pictures import PictureParts
from mmbert.tasks.masking.hidden_sounds import FrameParts, WaveformParts
from mmbert.tasks.masking.hidden_vectors import VectorParts


class MaskedFeatures(Task):
    """Parts of a modality that were hidden, regressed from its fused tokens.

    Targets: ``hidden`` (B, L) bool and ``vectors`` (B, L, W) float32, normalised, 0 elsewhere, or (B, L, G) and
    (B, L, G, W) of encoders whose tokens stand for G frames; outputs: ``guesses`` (B, L, W) or (B, L, G, W).

    Metrics: ``r2``, the share of the hidden numbers' variance that is explained, over all of them at once.

    Args:
        in_dim: width H of the fused tokens.
        dims: width by modality.
        modality: the encoder whose input is hidden: ready features, a picture, or a sound.
        share: of a sample's vectors, patches or frames; None = 0.15, 0.6 and 0.15.
        span: so many neighbouring ones are hidden together, of patches so many in either direction; spans of vectors
            and frames may overlap. None = 1 vector, 7 frames, and patches of a seventh of the picture's side.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        hidden_dim: width of a hidden layer in the head; 0 = none.
        dropout: on the head's input.

    Raises:
        ConfigError: there is no such encoder, its input cannot be hidden, or it is not trained.
    """

    kind = "masked_features"
    target_score_name = "error of the hidden parts that is spared beside a guess of their mean"
    quotes_samples = False
    reads_tokens = True
    higher_is_better = False

    def __init__(
        self,
        in_dim: int,
        dims: Mapping[str, int],
        modality: str = "image",
        share: Annotated[float | None, Range(above=0, below=1)] = None,
        span: Annotated[int | None, Range(1)] = None,
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
        self.parts: InputParts | None = None

    def connect(self, encoders: Mapping[str, Encoder]) -> None:
        """Learns how the input is cut into parts, and makes a head that tells those of a token.

        Raises:
            ConfigError: the encoder's input cannot be hidden, or the encoder is not trained.
        """
        super().connect(encoders)
        self.parts = parts_of_input(self.modality, encoders[self.modality])
        self.head = Head(self.in_dim, self.parts.per_token * self.parts.width, self.hidden_dim, self.dropout)

    def change_inputs(
        self, inputs: Mapping[str, Inputs], draws: Sequence[int], targets: Tensors
    ) -> tuple[dict[str, Inputs], Tensors]:
        """Hides parts of the input; a sample's choice follows from its draw alone."""
        assert self.parts is not None, "connect says what the parts are"
        counted = targets["counted"].tolist()
        randoms = [
            sample_random(draw, "tasks.masked_features") if counts else None
            for draw, counts in zip(draws, counted, strict=True)
        ]
        share, span = self.share or self.parts.share, self.span or self.parts.span
        made = self.parts.hide(inputs[self.modality], randoms, share, span)
        return {self.modality: made.inputs}, {"hidden": made.hidden, "vectors": made.vectors}

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool: the samples of which parts may be hidden; of a short sequence it is sometimes none."""
        return targets["counted"] if "hidden" in targets else torch.zeros_like(targets["counted"])

    def count(self, targets: Tensors) -> Tensor:
        """() hidden parts; 0 where no inputs were changed, as in evaluation beside other tasks."""
        return targets["hidden"].sum() if "hidden" in targets else targets["counted"].sum() * 0

    def decode(self, targets: Tensors) -> list[Any]:
        """The numbers of the hidden parts, in their order, None where there is none."""
        if "hidden" not in targets:
            return super().decode(targets)
        return [row.flatten().nonzero().flatten().tolist() or None for row in targets["hidden"]]

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """tokens (B, L, H) -> ``guesses`` (B, L, W) or (B, L, G, W)."""
        assert self.head is not None and self.parts is not None, "connect makes the head"
        guesses = self.head(state.fused.tokens[self.modality][:, self.parts.before :])
        per_token = self.parts.per_token
        return {"guesses": guesses if per_token == 1 else guesses.unflatten(2, (per_token, self.parts.width))}

    def _hidden(self, outputs: Tensors, targets: Tensors) -> tuple[Tensor, Tensor]:
        """Guesses and vectors (N, W) float32 of all hidden parts."""
        hidden = targets["hidden"]
        guesses = outputs["guesses"][:, : hidden.shape[1]]
        return guesses[hidden].float(), targets["vectors"][hidden]

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """Mean error of a part's numbers, squared or absolute, over hidden parts."""
        assert self.parts is not None
        if "hidden" not in targets:
            nothing = torch.zeros_like(outputs["guesses"][..., 0], dtype=torch.bool)
            return Loss(blank(outputs["guesses"].float(), nothing).sum(), self.count(targets))
        guesses, vectors = self._hidden(outputs, targets)
        errors = (guesses - vectors).square() if self.parts.squared else (guesses - vectors).abs()
        return Loss(errors.mean(1).sum(), self.count(targets))

    @property
    def answers_in(self) -> tuple[str, ...]:
        """See ``Task``."""
        return (self.modality,)

    def target_score(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,): mean error of the hidden parts of a guess of 0, their mean as they are normalised, less the model's."""
        assert self.parts is not None, "connect says what the parts are"
        if "hidden" not in targets:
            return torch.zeros(len(targets["counted"]), device=targets["counted"].device)
        hidden, vectors = targets["hidden"], targets["vectors"].float()
        guesses = outputs["guesses"][:, : hidden.shape[1]].float()
        error = torch.square if self.parts.squared else torch.abs
        spared = blank((error(vectors) - error(guesses - vectors)).mean(-1), hidden).flatten(1)  # (B, parts)
        return spared.sum(1) / hidden.flatten(1).sum(1).clamp(min=1)

    def make_metrics(self) -> MetricCollection:
        """``r2``."""
        return MetricCollection({"r2": ExplainedShare()})

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the hidden parts of a batch."""
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


def parts_of_input(name: str, encoder: Encoder) -> InputParts:
    """How what an encoder reads is cut into parts.

    Raises:
        ConfigError: it is no input of which parts can be hidden, or the encoder is not trained.
    """
    processor = encoder.processor
    if isinstance(encoder, FeatureEncoder):
        return VectorParts(encoder.processor.width)
    if not isinstance(encoder, ImageEncoder) and not isinstance(processor, AudioProcessor):
        raise ConfigError(
            f"tasks: masked features need an encoder of pictures, of sounds or of ready features "
            f"(features@encoders.{name}=sequence); '{name}' is a {type(encoder).__name__}. Of texts it is task=mlm."
        )
    if not any(parameter.requires_grad for parameter in encoder.parameters()):
        raise ConfigError(
            f"tasks: masked features train the encoder, but encoders.{name}.frozen is true: set "
            f"encoders.{name}.frozen=false. Of a frozen one, hide the features that it gives: mmbert-store export."
        )
    if isinstance(encoder, ImageEncoder):
        return PictureParts.of(encoder)
    assert isinstance(processor, AudioProcessor)
    return FrameParts(processor) if isinstance(processor, LogMelProcessor) else WaveformParts(processor)
