"""The contract of a fusion strategy, and the part of the work that is the same for all of them."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mmbert.core.errors import InputError
from mmbert.core.init_args import SavesInitArgs
from mmbert.core.injection import LayerInjection
from mmbert.core.masks import blank
from mmbert.core.types import Encoded, Fused, OutputSpec
from mmbert.fusion.decision_level import Decision


class Fusion(SavesInitArgs, nn.Module):
    """Base of all strategies. A subclass implements ``fuse``; the base checks, blanks and wraps.

    Args:
        dims: width D_m of each modality, by name; the order is the strategy's order.
        out_dim: width H of the fused vector.

    Attributes:
        reads_tokens: whether ``fuse`` looks at ``tokens``; a subclass that says False is given each modality's vector
            as its only token where tokens would have to be read from disk.
        views: names of the vectors that tasks shall judge one by one, the judgements being joined afterwards by what
            ``decision`` builds; empty, as it is for most, if tasks judge ``pooled``. Set it in ``__init__``.
        injects_into: the encoder whose hidden states the strategy changes (see ``injection``); None = no encoder.
        zeros_mean_absent: whether a layer of an absent modality may be run on its zeros and be heard, because that is
            how the strategy says "absent" (as the factor [0; 1] of tensor fusion does). Elsewhere it is a forgotten mask,
            and ``mmbert.testing`` says so.

    A subclass whose ``fuse`` takes a keyword ``diagnostics`` is told whether gates and attention weights are wanted:
    True, or ``"shares"`` where those of shape (B, M) or (B, M, H), a number or a vector for each modality in the order
    of ``dims``, are enough. Every run averages these over its samples (docs/runs.md); what stands for an absent
    modality is not read, and a row of zeros says that there is nothing to tell of a sample.
    """

    reads_tokens: ClassVar[bool] = True
    injects_into: str | None = None
    zeros_mean_absent: ClassVar[bool] = False

    def __init__(self, dims: dict[str, int], out_dim: int) -> None:
        super().__init__()
        if not dims:
            raise InputError(f"{type(self).__name__} needs at least one modality, but dims is empty.")
        self.dims = dict(dims)
        self.out_dim = out_dim
        self.views: tuple[str, ...] = ()
        self._tells_diagnostics = "diagnostics" in inspect.signature(self.fuse).parameters
        self._emits_tokens = True
        # used only by strategies that return a plain vector: heads that read tokens then still have some
        self.token_projection = nn.ModuleDict({m: nn.Linear(d, out_dim) for m, d in dims.items()})

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor | Fused:
        """The strategy itself.

        Args:
            inputs: every modality of ``dims``, in that order. Where a mask is False tokens are zero, and where a
                modality is absent its ``pooled`` is zero too.

        Returns:
            (B, H), or a ``Fused`` when there is more to give: enriched token sequences, auxiliary losses,
            diagnostics. A ``Fused`` without tokens is given the plain ones, as a vector is. One that has ``views``
            must have all of them, in the same order.
        """
        raise NotImplementedError

    def decision(self, spec: OutputSpec) -> Decision:
        """Joins one task's judgements of the ``views``; a strategy that has views implements it.

        Raises:
            ConfigError: the strategy cannot join outputs of this kind.
        """
        raise NotImplementedError

    def injection(self, others: dict[str, Encoded]) -> LayerInjection:
        """What a strategy with ``injects_into`` does to that encoder's hidden states.

        The model encodes the other modalities first, asks here, and runs the encoder with the answer; its output comes
        to ``fuse`` marked as ``injected``. ``fuse`` must also take one that is not: without its encoder a strategy is
        held to the same laws.

        Args:
            others: every modality but ``injects_into``, as its encoder gave it.
        """
        raise NotImplementedError

    def forward(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """Checks keys and widths, blanks what is absent, fuses, and adds tokens where ``fuse`` gave none.

        Raises:
            InputError: keys, widths or batch sizes do not fit ``dims``.
        """
        clean = self._checked(inputs)
        result = self.fuse(clean, diagnostics=diagnostics) if self._tells_diagnostics else self.fuse(clean)  # type: ignore[call-arg]
        fused = result if isinstance(result, Fused) else Fused(result)
        if not self._emits_tokens:
            return replace(fused, tokens={}, masks={})
        if fused.tokens:
            return fused
        plain = self._with_tokens(fused.pooled, clean)
        return replace(fused, tokens=plain.tokens, masks=plain.masks)

    @property
    def tells_diagnostics(self) -> bool:
        """Whether there are any to ask for."""
        return self._tells_diagnostics

    def drop_tokens(self) -> None:
        """Called once when no task reads tokens: their projection is removed and never computed."""
        self._emits_tokens = False
        self.token_projection = nn.ModuleDict()

    def _with_tokens(self, pooled: Tensor, inputs: dict[str, Encoded]) -> Fused:
        """pooled (B, H) -> Fused whose tokens are each modality's own, projected to H, with the vector added."""
        if not self._emits_tokens:  # so that a strategy may call this itself
            return Fused(pooled)
        tokens = {m: blank(self.token_projection[m](x.tokens) + pooled.unsqueeze(1), x.mask) for m, x in inputs.items()}
        return Fused(pooled, tokens, {m: x.mask for m, x in inputs.items()})

    def _checked(self, inputs: dict[str, Encoded]) -> dict[str, Encoded]:
        if set(inputs) != set(self.dims):
            raise InputError(
                f"{type(self).__name__} was built for {list(self.dims)} but was given {list(inputs)}. "
                "An absent modality keeps its key: pass an Encoded whose mask is all False."
            )
        # shapes, not len(): len() would tie an exported or compiled model to the batch size it was traced with
        size = inputs[next(iter(self.dims))].mask.shape[0]
        if any(x.mask.shape[0] != size or x.pooled.shape[0] != size for x in inputs.values()):
            sizes = {m: len(x.mask) for m, x in inputs.items()}
            vectors = {m: len(x.pooled) for m, x in inputs.items()}
            raise InputError(f"The modalities have different batch sizes: masks {sizes}, pooled {vectors}.")
        clean = {}
        for name, dim in self.dims.items():
            x = inputs[name]
            if x.tokens.shape[-1] != dim or x.pooled.shape[-1] != dim:
                raise InputError(
                    f"{type(self).__name__} expects width {dim} for '{name}', but tokens are "
                    f"{tuple(x.tokens.shape)} and pooled is {tuple(x.pooled.shape)}."
                )
            if x.tokens.shape[:2] != x.mask.shape or x.mask.dtype != torch.bool:
                raise InputError(
                    f"The mask of '{name}' must be bool of shape {tuple(x.tokens.shape[:2])}, "
                    f"but is {x.mask.dtype} of shape {tuple(x.mask.shape)}."
                )
            clean[name] = Encoded(blank(x.tokens, x.mask), x.mask, blank(x.pooled, x.present), x.injected)
        return clean
