"""The contract of an encoder: raw inputs of one modality become ``Encoded``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from mmbert.core.masks import blank
from mmbert.core.spec import Recorded
from mmbert.core.types import Encoded, Inputs
from mmbert.data.processor import Kind, Processor


class Encoder(Recorded, nn.Module):
    """Owns a network and the preprocessing that belongs to it.

    A subclass sets ``kind``, ``out_dim`` and ``processor``, and implements ``encode``; if its construction reads
    files (a tokenizer, a config), it also implements ``save_assets`` and ``rebuild_args``.

    Args:
        frozen: keep the network in evaluation mode, without gradients.
        lr_scale: factor on the learning rate of this encoder's parameters.
    """

    kind: ClassVar[Kind]
    out_dim: int
    processor: Processor

    def __init__(self, frozen: bool = False, lr_scale: float = 1.0) -> None:
        super().__init__()
        self.frozen = frozen
        self.lr_scale = lr_scale

    def encode(self, inputs: Inputs) -> Encoded:
        """The network itself. inputs: what ``processor.collate`` returned -> tokens (B, L, D), D = ``out_dim``."""
        raise NotImplementedError

    def forward(self, inputs: Inputs) -> Encoded:
        """``encode`` with what all encoders share: no graph when frozen, zeros where nothing is real."""
        if self.frozen:
            with torch.no_grad():
                encoded = self._encode_present(inputs)
        else:
            encoded = self._encode_present(inputs)
        tokens = blank(encoded.tokens, encoded.mask)
        return Encoded(tokens, encoded.mask, blank(encoded.pooled, encoded.present))

    def _encode_present(self, inputs: Inputs) -> Encoded:
        """The network runs over the samples that have the modality, and over one blank where none has."""
        present = inputs["mask"].any(1)
        if torch.compiler.is_exporting() or bool(present.all()):
            return self.encode(inputs)
        rows = present.nonzero().squeeze(1)
        if not len(rows):  # one keeps the graph whole, which distributed training needs
            rows = rows.new_zeros(1)
        some = self.encode({name: tensor[rows] for name, tensor in inputs.items()})
        size = len(present)
        tokens, mask, pooled = (
            part.new_zeros(size, *part.shape[1:]).index_copy(0, rows, part)
            for part in (some.tokens, some.mask, some.pooled)
        )
        return Encoded(tokens, mask, pooled)

    def lr_factors(self) -> dict[nn.Parameter, float]:
        """The factor on the learning rate of each parameter that is slowed down, beside ``lr_scale``; none here."""
        return {}

    def freeze(self) -> None:
        """Called by a subclass at the end of ``__init__``: applies ``frozen`` to the parameters."""
        if self.frozen:
            self.requires_grad_(False)
            super().train(False)

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``, but a frozen encoder stays in evaluation mode (dropout off, batch norm fixed)."""
        return super().train(mode and not self.frozen)

    def save_assets(self, folder: Path) -> None:
        """Writes the files, other than weights, from which ``rebuild_args`` builds the same encoder offline."""

    @classmethod
    def rebuild_args(cls, args: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Arguments that rebuild the architecture without any download: recorded ``args``, assets in ``folder``."""
        return {**args, "pretrained": False} if "pretrained" in args else args
