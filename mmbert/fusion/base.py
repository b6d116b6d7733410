"""``Fusion``, the base class of all strategies: checks inputs, zeroes what is absent, and wraps the result."""

from __future__ import annotations

import copy
import inspect
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from mmbert.core.errors import InputError
from mmbert.core.init_args import SavesInitArgs
from mmbert.core.injection import LayerInjection
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.renamed import refuse_renamed
from mmbert.core.types import Encoded, Fused, OutputSpec
from mmbert.fusion.decision_level import Decision

#: Attributes by the names they had before, and by those they have now.
FUSION_RENAMES = {"reads_blanks": "zeros_mean_absent", "reaches_into": "injects_into", "reach": "injection"}


class Fusion(SavesInitArgs, nn.Module):
    """Base class of all fusion strategies. A subclass implements ``fuse``.

    Args:
        dims: width D_m of each modality, by name; the order is the strategy's order.
        out_dim: width H of the fused vector.

    Attributes:
        reads_tokens: whether ``fuse`` reads ``tokens``. Where it is False and tokens would have to be read from disk,
            each modality's vector is passed as its only token.
        views: names of the vectors for each of which every task has a head of its own (decision-level fusion); what
            ``decision`` builds combines the heads' outputs. Empty, as for most strategies, if tasks read ``pooled``.
            Set it in ``__init__``.
        injects_into: the encoder whose hidden states the strategy changes (see ``injection``); None = no encoder.
        zeros_mean_absent: whether the zeros of an absent modality may pass through a layer and change the output,
            because the strategy represents "absent" in this way (as the factor [0; 1] of tensor fusion does). In other
            strategies ``mmbert.testing`` reports this as a forgotten mask.

    If ``fuse`` has the keyword ``diagnostics``, it is passed on: True asks for all gates and attention weights,
    ``"shares"`` only for those of shape (B, M) or (B, M, H), a number or a vector for each modality in the order of
    ``dims``. Every run averages the shares over its samples (docs/runs.md); entries of absent modalities are ignored,
    and so is a row of zeros.

    Raises:
        InputError: ``dims`` is empty.
        ConfigError: a subclass sets an attribute by a name that was changed (raised where the class is defined).
    """

    reads_tokens: ClassVar[bool] = True
    injects_into: str | None = None
    zeros_mean_absent: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_renamed(cls, FUSION_RENAMES)

    def __init__(self, dims: dict[str, int], out_dim: Annotated[int, Range(1)]) -> None:
        super().__init__()
        if not dims:
            raise InputError(f"{type(self).__name__} needs at least one modality, but dims is empty.")
        self.dims = dict(dims)
        self.out_dim = out_dim
        self.views: tuple[str, ...] = ()
        self._has_diagnostics = "diagnostics" in inspect.signature(self.fuse).parameters
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
        """Builds what combines one task's outputs for the ``views``; a strategy that has views implements it.

        Raises:
            ConfigError: the strategy cannot join outputs of this kind.
        """
        raise NotImplementedError

    def injection(self, others: dict[str, Encoded]) -> LayerInjection:
        """What a strategy with ``injects_into`` does to that encoder's hidden states.

        The model encodes the other modalities first, calls this method, and runs the encoder with the result. The
        encoder's output is passed to ``fuse`` with ``injected`` set. ``fuse`` must also accept an output without it:
        the checks of ``mmbert.testing`` run a strategy without encoders.

        Args:
            others: every modality but ``injects_into``, as its encoder returned it; anything may stand where a mask is
                False.
        """
        raise NotImplementedError

    def forward(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """Checks keys and widths, zeroes what is absent, fuses, and adds tokens where ``fuse`` returned none.

        Args:
            inputs: every modality of ``dims``: ``tokens`` (B, L_m, D_m), ``mask`` (B, L_m) bool, ``pooled`` (B, D_m).
            diagnostics: passed to a ``fuse`` that takes it.

        Raises:
            InputError: keys, widths or batch sizes do not fit ``dims``.
        """
        clean = self._checked(inputs)
        result = self.fuse(clean, diagnostics=diagnostics) if self._has_diagnostics else self.fuse(clean)  # type: ignore[call-arg]
        fused = result if isinstance(result, Fused) else Fused(result)
        if not self._emits_tokens:
            return replace(fused, tokens={}, masks={})
        if fused.tokens:
            return fused
        plain = self._with_tokens(fused.pooled, clean)
        return replace(fused, tokens=plain.tokens, masks=plain.masks)

    @property
    def has_diagnostics(self) -> bool:
        """Whether ``fuse`` takes the keyword ``diagnostics``."""
        return self._has_diagnostics

    def without_tokens(self) -> Self:
        """A copy for models in which no task reads tokens: what serves tokens alone is removed and never computed."""
        if not self._emits_tokens:
            return self
        brief = copy.deepcopy(self)
        brief.drop_tokens()
        return brief

    def drop_tokens(self) -> None:
        """Removes, in place, what serves tokens alone; ``without_tokens`` calls it on the copy."""
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
