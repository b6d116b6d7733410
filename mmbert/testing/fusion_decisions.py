"""Laws of decision-level strategies: the strategy with heads and its decisions is checked like any other strategy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.types import UNLABELLED, Encoded, Fused, OutputSpec
from mmbert.fusion.base import Fusion
from mmbert.fusion.decision_level import DecisionOutput, Truth
from mmbert.testing.fusion_masking import Maker, batch_of, some_missing
from mmbert.testing.report import ContractViolation
from mmbert.testing.tensors import difference

Kind = Literal["classification", "multilabel", "regression"]
#: Laws on a strategy's own output alone.
LAWS_WITHOUT_DECISIONS = frozenset(
    {"can be built", "shapes", "decisions are sound", "inputs are left alone", "tokens can be dropped"}
)
#: Laws that one kind of output must not keep on behalf of another.
LAWS_FOR_EACH_KIND = frozenset({"every present modality is used"})


class FusionWithDecisions(Fusion):
    """A strategy with views, linear heads for each, and its decisions: ``pooled`` is the joined outputs.

    Args:
        inner: the strategy.
        kinds: what the heads' outputs are; a set of heads and a decision for each.
        own: the strategy's own ``pooled`` stands before them. No gradient flows into it: as long as no task reads
            tokens nobody reads it, and a parameter that serves it alone would never learn.
    """

    def __init__(self, inner: Fusion, kinds: Sequence[Kind], own: bool) -> None:
        sizes = {kind: 1 if kind == "regression" else inner.out_dim for kind in kinds}
        super().__init__(inner.dims, sum(sizes.values()) + (inner.out_dim if own else 0))
        self.own = own
        self.drop_tokens()
        inner.drop_tokens()
        self.inner = inner
        self.heads = nn.ModuleDict(
            {
                kind: nn.ModuleDict({view: nn.Linear(inner.out_dim, size) for view in inner.views})
                for kind, size in sizes.items()
            }
        )
        specs = {kind: OutputSpec(kind, size, column="label") for kind, size in sizes.items()}
        self.decisions = nn.ModuleDict({kind: inner.decision(spec) for kind, spec in specs.items()})
        self._has_diagnostics = True

    def forward(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """Inputs as of any fusion -> Fused whose ``pooled`` is the joined outputs, one kind beside the other."""
        fused = self.inner(inputs, diagnostics)
        present = torch.stack(list(fused.view_masks.values()), 1)
        joined, shown = [fused.pooled.detach()] if self.own else [], dict(fused.diagnostics)
        for kind, decision in self.decisions.items():
            heads: nn.ModuleDict = self.heads[kind]  # type: ignore[assignment]
            outputs = torch.stack([heads[view](x) for view, x in fused.views.items()], 1)
            joined.append(decision(outputs, present))
            if diagnostics and decision.has_shares:
                shown[f"share/{kind}"] = decision.shares(outputs, present)  # type: ignore[operator]
        return replace(fused, pooled=torch.cat(joined, 1), diagnostics=shown)


def with_decisions(law: str, make: Maker) -> dict[str, Maker]:
    """What a law has to be checked on, by words for a message: the strategy, or it with decisions on its views."""
    kinds = [] if law in LAWS_WITHOUT_DECISIONS else kinds_of(make)
    if not kinds:
        return {"": make}
    if law in LAWS_FOR_EACH_KIND:
        return {"": make, **{f", joining {kind}": deciding(make, [kind], own=False) for kind in kinds}}
    return {f", joining {' and '.join(kinds)}": deciding(make, kinds, own=True)}


def kinds_of(make: Maker) -> list[Kind]:
    """The kinds of output that the strategy joins; none if it has no views."""
    fusion = make(0)
    if not fusion.views:
        return []
    kinds: list[Kind] = []
    for kind in get_args(Kind):
        try:
            fusion.decision(OutputSpec(kind, 1 if kind == "regression" else 3, column="label"))
        except ConfigError:
            continue
        kinds.append(kind)
    return kinds


def deciding(make: Maker, kinds: Sequence[Kind], own: bool) -> Maker:
    """Builds the strategy together with heads and decisions."""

    def made(seed: int) -> Fusion:
        fusion = make(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1000 + seed)
            return FusionWithDecisions(fusion, kinds, own)

    return made


def decisions_are_sound(make: Maker) -> None:
    """Views are what the strategy says they are, some outputs can be joined, and what training adds is in order."""
    fusion = make(0).eval()
    fused = fusion(batch_of(fusion))
    if tuple(fused.views) != fusion.views or tuple(fused.view_masks) != fusion.views:
        seen = f"it names the views {list(fusion.views)}, gives {list(fused.views)} with masks {list(fused.view_masks)}"
        raise ContractViolation(seen, "set self.views in __init__ to the names that fuse gives, in the same order")
    if not fusion.views:
        return
    size = fused.pooled.shape[0]
    for name, view in fused.views.items():
        mask = fused.view_masks[name]
        if view.shape != (size, fusion.out_dim) or mask.shape != (size,) or mask.dtype != torch.bool:
            seen = f"the view {name} has the shape {tuple(view.shape)}, its mask {tuple(mask.shape)} of {mask.dtype}"
            raise ContractViolation(seen, f"a view is {(size, fusion.out_dim)}, its mask {(size,)} of bool")
    if not bool(torch.stack(list(fused.view_masks.values()), 1).any(1).all()):
        raise ContractViolation("a sample has no view at all", "every sample has a modality: so it must have a view")
    kinds = kinds_of(make)
    if not kinds:
        raise ContractViolation("its decision joins no kind of output", "implement decision(spec) for classes at least")
    for kind in kinds:
        losses_are_sound(fusion, kind)


def losses_are_sound(fusion: Fusion, kind: Kind) -> None:
    """A decision's losses are finite scalars, 0 without labels, and blind to absent views and unlabelled samples."""
    spec = OutputSpec(kind, 1 if kind == "regression" else 3, column="label")
    views, here = len(fusion.views), some_missing(len(fusion.views))
    outputs = torch.randn(len(here), views, spec.size)
    target = {
        "classification": lambda: torch.arange(len(here)) % spec.size,
        "multilabel": lambda: torch.randint(0, 2, (len(here), spec.size)).float(),
        "regression": lambda: torch.randn(len(here)),
    }[kind]()
    unlabelled = torch.zeros(len(here), dtype=torch.bool)
    unlabelled[1] = True

    def losses(outputs: Tensor, hidden: Tensor, rows: Tensor) -> dict[str, Tensor]:
        decision = fusion.decision(spec).train()
        wanted = outputs.clone().requires_grad_()
        output = DecisionOutput(wanted, here, decision(wanted, here))
        given = target.clone()
        given[hidden] = UNLABELLED if kind == "classification" else torch.nan
        truth = Truth(given, ~hidden, loss_of(kind), 1, rows)
        first = decision.losses(output, truth)
        found = decision.losses(output, truth) | {f"first {name}": value for name, value in first.items()}
        if found:
            torch.stack(list(found.values())).sum().backward()
            found["gradient"] = wanted.grad if wanted.grad is not None else torch.zeros(())
        return found

    rows = torch.arange(len(here))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a decision may draw its weights
        clean = losses(outputs, unlabelled, rows)
    for name, value in clean.items():
        if (name != "gradient" and value.ndim) or not bool(torch.isfinite(value).all()):
            raise ContractViolation(f"of {kind}, the loss '{name}' is {value.tolist()}", "a loss is a finite scalar")
    dirty = outputs.masked_fill(~here.unsqueeze(-1), 7.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decision = fusion.decision(spec).eval()
    seen = difference({"joined": decision(outputs, here)}, {"joined": decision(dirty, here)})
    if seen:
        raise ContractViolation(
            f"of {kind}, when an absent view has other outputs, {seen}", "a mean or sum without present"
        )
    dirty[1] = 7.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        seen = difference(clean, losses(dirty, unlabelled, rows))
    if seen:
        who = f"of {kind}, when an absent view or an unlabelled sample has other outputs"
        raise ContractViolation(f"{who}, {seen}", "leave out what present or labelled excludes")
    nobody = losses(outputs, torch.ones_like(unlabelled), torch.full_like(rows, -1))
    for name, value in nobody.items():
        if bool((value != 0).any()):
            raise ContractViolation(
                f"of {kind}, with nobody labelled, '{name}' is not 0", "divide by the count, clamped to 1"
            )


def loss_of(kind: Kind) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss such as tasks have: the mean over labelled samples, 0 without any."""

    def loss(output: Tensor, target: Tensor) -> Tensor:
        labelled = target != UNLABELLED if kind == "classification" else ~target.reshape(len(target), -1).isnan().any(1)
        kept, truth = output[labelled], target[labelled]
        if kind == "classification":
            total = F.cross_entropy(kept, truth, reduction="sum")
        elif kind == "multilabel":
            total = F.binary_cross_entropy_with_logits(kept, truth, reduction="none").mean(1).sum()
        else:
            total = (kept.squeeze(-1) - truth).square().sum()
        return total / labelled.sum().clamp(min=1)

    return loss
