"""``Encoder``, the base class of all encoders: a batch of one modality's inputs becomes ``Encoded``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import nn

from mmbert.core.errors import InputError
from mmbert.core.init_args import SavesInitArgs
from mmbert.core.injection import LayerInjection
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.renamed import refuse_renamed
from mmbert.core.types import Encoded, Inputs
from mmbert.data.loading.cached import FRESH, PART, POOLED, TOKENS, insert_rows, stored_batch
from mmbert.data.modalities.base import Modality
from mmbert.data.modalities.length_limit import LengthLimit
from mmbert.data.modalities.processor import Processor
from mmbert.data.modalities.registry import modality_of
from mmbert.data.tables.train_cells import TrainCells
from mmbert.data.tables.vector_width import first_vector_width
from mmbert.encoders.continuous import Continuous, only_numbers
from mmbert.encoders.processors.lengths import seconds_limit
from mmbert.encoders.pruned_shapes import PrunedShapes

#: Attributes by the names they had before, and by those they have now.
ENCODER_RENAMES = {
    "ASIDE": "NOT_IN_FINGERPRINT",
    "reachable_layers": "injectable_layers",
    "encode_reached": "encode_injected",
}


class Encoder(SavesInitArgs, nn.Module):
    """A network and the preprocessing that belongs to it.

    A subclass sets ``kind`` (or ``modality``, for a kind of input of its own), ``out_dim`` and ``processor``, and
    implements ``encode``; if its construction reads files (a tokenizer, a config), it also implements ``save_assets``
    and ``rebuild_args``.

    Args:
        frozen: keep the network in evaluation mode, without gradients.
        lr_scale: factor on the learning rate of this encoder's parameters.

    Raises:
        ConfigError: a subclass sets an attribute by a name that was changed (raised where the class is defined).
    """

    #: Options that do not change a frozen encoder's outputs, or only by its weights, which have their own fingerprint.
    NOT_IN_FINGERPRINT: ClassVar[frozenset[str]] = frozenset(
        {"frozen", "lr_scale", "pretrained", "checkpoint", "assets", "remember_mib", "layer_decay", "lora"}
        | {"trainable_last_n", "gradient_checkpointing", "frozen_features"}
    )

    kind: ClassVar[str]
    out_dim: int
    processor: Processor
    #: What was cut out of the network since it was built (``mmbert.encoders.pruned_shapes``); None = nothing.
    pruned_shapes: PrunedShapes | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_renamed(cls, ENCODER_RENAMES)

    def __init__(self, frozen: bool = False, lr_scale: Annotated[float, Range(0)] = 1.0) -> None:
        super().__init__()
        self.frozen = frozen
        self.lr_scale = lr_scale

    @property
    def constant(self) -> bool:
        """Whether no parameter is trained, so that a sample's tokens never change."""
        return self.frozen and not any(parameter.requires_grad for parameter in self.parameters())

    def identity(self) -> dict[str, Any]:
        """The options that outputs depend on, besides weights and processor settings: a part of the store's key."""
        return {name: value for name, value in self.init_args.items() if name not in self.NOT_IN_FINGERPRINT}

    @classmethod
    def length_limit(cls, options: Mapping[str, Any]) -> LengthLimit | None:
        """Where an encoder with these options cuts long inputs, without building it; None = nowhere, or unknown.

        By itself, of a constructor that has ``max_seconds``.

        Raises:
            WeightsError: what counts the length, such as a tokenizer, cannot be had.
        """
        known = inspect.signature(cls).parameters.get("max_seconds")
        most = options.get("max_seconds", getattr(known, "default", None))
        return seconds_limit(float(most)) if known is not None and isinstance(most, (int, float)) else None

    @classmethod
    def modality_with(cls, options: Mapping[str, Any]) -> Modality:
        """What an encoder with these options reads, without building it; by itself, what the class reads."""
        return modality_of(cls)

    @classmethod
    def learned(cls, options: Mapping[str, Any], cells: TrainCells) -> dict[str, Any]:
        """Arguments that are found in the rows of train before the encoder is built, and saved with it.

        By itself, of options with ``width`` that is null: the width of the first vector.

        Args:
            options: its config.
            cells: of the column that it reads, train's alone.

        Raises:
            DataError: nothing can be learnt of the cells; names the row.
        """
        if "width" not in options or options["width"] is not None:
            return {}
        given = (cells.table, cells.column, cells.modality, options, cells.skip, cells.trusted)
        width = first_vector_width(*given)
        return {} if width is None else {"width": width}

    def encode(self, inputs: Inputs) -> Encoded:
        """The network itself, which a subclass implements.

        Args:
            inputs: what ``processor.collate`` returned; ``mask`` is (B, ...) bool.

        Returns:
            ``tokens`` (B, L, D), ``mask`` (B, L) and ``pooled`` (B, D), with D = ``out_dim``. ``forward`` zeroes what
            stands where the mask is False.
        """
        raise NotImplementedError

    def continuous(self, inputs: Inputs) -> Continuous:
        """What the network reads as numbers that have gradients, and what stands for nothing: for explanations.

        By itself, of inputs with one tensor of floats: that tensor, and zeros.

        Args:
            inputs: what ``processor.collate`` returned.

        Raises:
            ConfigError: which numbers are meant is not clear.
        """
        return only_numbers(inputs, type(self).__name__)

    @property
    def injectable_layers(self) -> int:
        """Layers between which a fusion can change hidden states (layer injection); 0 = this encoder has none."""
        return 0

    def encode_injected(self, inputs: Inputs, injection: LayerInjection) -> Encoded:
        """``encode`` with ``injection`` applied to the states that enter its layer, for ``injectable_layers`` > 0."""
        raise NotImplementedError

    def forward(self, inputs: Inputs, injection: LayerInjection | None = None) -> Encoded:
        """``encode`` with what all encoders share: no graph when frozen, zeros where nothing is real.

        Rows that were encoded before (see ``mmbert.data.loading.cached``) are taken as they are. With ``injection``
        hidden states are changed between two layers, with a graph even when frozen: what changes them is trained.

        Args:
            inputs: what ``processor.collate`` returned, or stored tokens.
            injection: what the fusion does to the hidden states; None = nothing.

        Returns:
            ``tokens`` (B, L, D), ``mask`` (B, L), ``pooled`` (B, D).

        Raises:
            InputError: an injection into stored tokens, whose hidden states are not there any more.
        """
        if POOLED in inputs:
            if injection is not None:
                raise InputError(
                    "Layer injection needs the encoder to run, but these tokens are from the store: "
                    "switch it off with store.enabled=false."
                )
            return self._completed(inputs)
        if injection is not None:
            given = self._encode_present(inputs, injection)
            return Encoded(blank(given.tokens, given.mask), given.mask, blank(given.pooled, given.present), True)
        if self.frozen:
            with torch.no_grad():
                given = self._encode_present(inputs)
        else:
            given = self._encode_present(inputs)
        return Encoded(blank(given.tokens, given.mask), given.mask, blank(given.pooled, given.present))

    def _completed(self, inputs: Inputs) -> Encoded:
        """Tokens from the store; those of rows that it lacks are computed."""
        stored = stored_batch(inputs)
        if FRESH not in inputs:
            return stored
        fresh = self({name.removeprefix(PART): tensor for name, tensor in inputs.items() if name.startswith(PART)})
        if TOKENS not in inputs:  # only the vectors are read
            fresh = Encoded(fresh.pooled.unsqueeze(1), fresh.present.unsqueeze(1), fresh.pooled)
        return insert_rows(stored, inputs[FRESH], fresh)

    def _encode_present(self, inputs: Inputs, injection: LayerInjection | None = None) -> Encoded:
        """The network runs over the samples that have the modality, and over one blank where none has."""
        present = inputs["mask"].any(1)
        if torch.compiler.is_exporting() or bool(present.all()):
            return self.encode(inputs) if injection is None else self.encode_injected(inputs, injection)
        rows = present.nonzero().squeeze(1)
        if not len(rows):  # one keeps the graph whole, which distributed training needs
            rows = rows.new_zeros(1)
        chosen = {name: tensor[rows] for name, tensor in inputs.items()}
        some = self.encode(chosen) if injection is None else self.encode_injected(chosen, injection.rows(rows))
        size = len(present)
        tokens, mask, pooled = (
            part.new_zeros(size, *part.shape[1:]).index_copy(0, rows, part)
            for part in (some.tokens, some.mask, some.pooled)
        )
        return Encoded(tokens, mask, pooled)

    def lr_factors(self) -> dict[nn.Parameter, float]:
        """Factors on the learning rate by parameter, in addition to ``lr_scale``; none in this class."""
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
        """Arguments that rebuild the architecture without any download.

        Args:
            args: the saved ``init_args``.
            folder: what ``save_assets`` wrote.
        """
        return {**args, "pretrained": False} if "pretrained" in args else args
