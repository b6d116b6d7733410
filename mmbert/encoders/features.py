"""``FeatureEncoder``: vectors that were extracted elsewhere (OpenFace, COVAREP, Whisper, video features) as tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import nn

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Inputs
from mmbert.data.modalities.features import as_sequence
from mmbert.data.modalities.length_limit import LengthLimit
from mmbert.encoders.base import Encoder
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.processors.lengths import vectors_limit


class FeatureProcessor:
    """Checks sequences (L, D) and pads them to the longest of a batch.

    Args:
        width: D.
        max_tokens: longer sequences are cut.
        key: the array's name in .npz and .safetensors files; None = the only one.
    """

    kind: str = "features"

    def __init__(self, width: int, max_tokens: int, key: str | None = None) -> None:
        self.width = width
        self.max_tokens = max_tokens
        self.key = key

    @property
    def length_limit(self) -> LengthLimit:
        """See ``Cutting``."""
        return vectors_limit(self.max_tokens, self.key)

    def prepare(self, raw: Any) -> torch.Tensor:
        """An array (L, D) or (D,), a list, or arrays by name -> (L, D) float32.

        Raises:
            DataError: width or values cannot be used.
        """
        sequence = as_sequence(raw, self.key)
        if sequence.shape[1] != self.width:
            raise DataError(
                f"its vectors have {sequence.shape[1]} numbers where {self.width} are needed: all rows of a column "
                "must have the same width, and a model keeps the one it was trained with"
            )
        return torch.from_numpy(sequence[: self.max_tokens].copy())

    def collate(self, prepared: list[torch.Tensor | None]) -> Inputs:
        """Sequences (None = missing) -> features (B, L, D) float, mask (B, L) bool."""
        longest = max([1, *(len(sequence) for sequence in prepared if sequence is not None)])
        features = torch.zeros(len(prepared), longest, self.width)
        mask = torch.zeros(len(prepared), longest, dtype=torch.bool)
        for row, sequence in enumerate(prepared):
            if sequence is not None:
                features[row, : len(sequence)] = sequence
                mask[row, : len(sequence)] = True
        return {"features": features, "mask": mask}


class FeatureEncoder(Encoder):
    """A layer norm over ready features, whose scales are unknown; optionally a linear layer and dropout.

    Args:
        width: D, numbers in a vector; None = that of the table's first row, which the training program fills in.
        max_tokens: longer sequences are cut.
        out_dim: width of a token after a linear layer; None = tokens stay as wide as they come.
        norm: normalise each vector to mean 0 and variance 1, with learnt scale and shift.
        dropout: on the tokens.
        key: the array's name in .npz and .safetensors files; None = the only one.
        frozen: no gradients, always in evaluation mode.
        lr_scale: factor on the learning rate.

    Raises:
        ConfigError: the width is not known.
    """

    kind: ClassVar[str] = "features"
    processor: FeatureProcessor

    def __init__(
        self,
        width: int | None = None,
        max_tokens: Annotated[int, Range(1)] = 512,
        out_dim: Annotated[int | None, Range(1)] = None,
        norm: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.0,
        key: str | None = None,
        frozen: bool = False,
        lr_scale: float = 1.0,
    ) -> None:
        super().__init__(frozen, lr_scale)
        if width is None:
            raise ConfigError("The width of the features is not known: give FeatureEncoder its width.")
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.project = nn.Identity() if out_dim is None else nn.Linear(width, out_dim)
        self.dropout = nn.Dropout(dropout)
        self.out_dim = out_dim or width
        self.processor = FeatureProcessor(width, max_tokens, key)
        self.freeze()

    @classmethod
    def length_limit(cls, options: Mapping[str, Any]) -> LengthLimit:
        """See ``Encoder``."""
        return vectors_limit(int(options.get("max_tokens", 512)), options.get("key"))

    def continuous(self, inputs: Inputs) -> Continuous:
        """The normed features, and as the neutral value what the norm makes of a vector whose numbers are all alike."""
        with torch.no_grad():
            normed = self.norm(blank(inputs["features"], inputs["mask"]))
            nothing = self.norm(torch.zeros_like(inputs["features"]))
        return Continuous.of({**inputs, "normed": normed}, "normed", nothing, "a vector whose numbers are all alike")

    def encode(self, inputs: Inputs) -> Encoded:
        """features (B, L, width), mask (B, L) -> tokens (B, L, D), mask (B, L); or ``normed`` ones, where given."""
        features = blank(inputs["features"], inputs["mask"])  # what padding holds reaches no gradient
        normed = blank(inputs["normed"], inputs["mask"]) if "normed" in inputs else self.norm(features)
        tokens = self.dropout(self.project(normed))
        return Encoded.from_tokens(tokens, inputs["mask"])
