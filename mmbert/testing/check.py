"""``check_fusion``: does a strategy keep the contract?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from mmbert.fusion.base import Fusion
from mmbert.testing import craft, laws
from mmbert.testing.inputs import DIMS
from mmbert.testing.outcome import Broken, ContractError, Report, Verdict

LAWS: dict[str, Callable[[laws.Maker], None]] = {
    "shapes": craft.shapes_are_right,
    "padding does not speak": laws.padding_does_not_speak,
    "absence does not speak": laws.absence_does_not_speak,
    "samples do not speak to each other": laws.samples_do_not_speak,
    "presence speaks": laws.presence_speaks,
    "everything learns": laws.everything_learns,
    "deterministic in evaluation": craft.evaluation_is_deterministic,
    "inputs are left alone": craft.inputs_are_left_alone,
    "a batch of one works": craft.a_batch_of_one_works,
    "number formats are kept": craft.number_formats_are_kept,
    "state is complete": craft.state_is_complete,
    "tokens can be dropped": craft.tokens_can_be_dropped,
}
TRACING: dict[str, Callable[[laws.Maker], None]] = {"compiles": craft.compiles, "exports": craft.exports}


def check_fusion(
    fusion: type[Fusion] | Callable[..., Fusion],
    dims: Mapping[str, int] | None = None,
    out_dim: int = 8,
    tracing: bool = False,
    raise_on_failure: bool = True,
    **options: Any,
) -> Report:
    """Holds a fusion to every law, with two and with three modalities unless ``dims`` says which.

    Args:
        fusion: the class, or a function with its arguments.
        dims: width by modality; None = a set of one, of two, of three and of five modalities in turn.
        out_dim: width H.
        tracing: torch.compile and torch.export too; some seconds more.
        raise_on_failure: raise rather than only report.
        **options: further arguments of the fusion.

    Returns:
        Which laws are kept; for those that are not, a counter-example and a likely cause.

    Raises:
        ContractError: a law is broken.
    """
    every = list(DIMS.items())
    settings = [dict(dims)] if dims is not None else [dict(every[:count]) for count in (3, 1, 2, 5)]
    report = Report(getattr(fusion, "__name__", str(fusion)))
    for law, check in {**LAWS, **(TRACING if tracing else {})}.items():
        report.verdicts.append(first_broken(law, check, fusion, settings, out_dim, options))
    if raise_on_failure and not report.passed:
        raise ContractError(str(report))
    return report


def first_broken(
    law: str,
    check: Callable[[laws.Maker], None],
    fusion: Callable[..., Fusion],
    settings: list[dict[str, int]],
    out_dim: int,
    options: Mapping[str, Any],
) -> Verdict:
    """The law's verdict over all sets of modalities; the first that breaks it is told."""
    for dims in settings:

        def make(seed: int, dims: dict[str, int] = dims) -> Fusion:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return fusion(dims=dict(dims), out_dim=out_dim, **options)

        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                check(make)
        except Broken as broken:
            return Verdict(law, False, f"with {list(dims)}: {broken.seen}", broken.cause)
        except Exception as error:
            return Verdict(law, False, f"with {list(dims)}: {type(error).__name__}: {error}", "the fusion itself fails")
    return Verdict(law, True)
