"""``check_fusion``: does a strategy keep the contract?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch

from mmbert.fusion.base import Fusion
from mmbert.testing import fusion_conventions as conventions
from mmbert.testing import fusion_gradients as gradients
from mmbert.testing import fusion_masking as masking
from mmbert.testing import fusion_tracing as tracing
from mmbert.testing.fusion_decisions import decisions_are_sound, with_decisions
from mmbert.testing.fusion_inputs import SMALL_DIMS
from mmbert.testing.fusion_masking import Maker
from mmbert.testing.laws import BUILT, Law, check_laws, chosen_laws
from mmbert.testing.report import Report

LAWS: dict[str, Law[Maker]] = {
    BUILT: conventions.can_be_built,
    "shapes": conventions.shapes_are_right,
    "decisions are sound": decisions_are_sound,
    "padding changes nothing": masking.padding_changes_nothing,
    "absence changes nothing": masking.absence_changes_nothing,
    "layers of absent modalities change nothing": masking.absent_layers_change_nothing,
    "samples are independent": masking.samples_are_independent,
    "every present modality is used": gradients.present_modalities_are_used,
    "everything learns": gradients.everything_learns,
    "deterministic in evaluation": conventions.evaluation_is_deterministic,
    "inputs are left alone": conventions.inputs_are_left_alone,
    "a batch of one works": conventions.a_batch_of_one_works,
    "number formats are kept": conventions.number_formats_are_kept,
    "devices are kept": conventions.devices_are_kept,
    "the order of keys changes nothing": conventions.key_order_changes_nothing,
    "state is complete": conventions.state_is_complete,
    "tokens can be dropped": conventions.tokens_can_be_dropped,
}
TRACING: dict[str, Law[Maker]] = {"compiles": tracing.compiles, "exports": tracing.exports}


def check_fusion(
    fusion: Fusion | type[Fusion] | Callable[..., Fusion],
    dims: Mapping[str, int] | None = None,
    out_dim: int | None = None,
    tracing: bool = False,
    raise_on_failure: bool = True,
    only: Collection[str] | None = None,
    **options: Any,
) -> Report:
    """Holds a fusion to every law, with one, two, three and five modalities unless ``dims`` says which.

    Of a decision-level strategy its decisions are held to the laws too, with heads, for each kind of output it joins.

    Args:
        fusion: the class, a function with its arguments, or a built fusion, which is built anew as it was built.
        dims: width by modality; None = sets of three, one, two and five modalities in turn, or those of a built fusion.
        out_dim: width H; None = 8, or that of a built fusion.
        tracing: torch.compile and torch.export too; some seconds more.
        raise_on_failure: raise rather than only report.
        only: names of the laws to check, after ``can be built``; None = all.
        **options: further arguments of the fusion.

    Returns:
        Which laws are kept; for those that are not, a counter-example and a likely cause. Of a fusion that cannot be
        built, this alone.

    Raises:
        ContractError: a law is broken.
        InputError: ``only`` names a law that there is not.
    """
    if isinstance(fusion, Fusion):
        options = {**fusion.init_args, **options}
        built_with = {"dims": options.pop("dims", fusion.dims), "out_dim": options.pop("out_dim", fusion.out_dim)}
        dims, out_dim = dims or built_with["dims"], out_dim or built_with["out_dim"]
        fusion = type(fusion)
    every = list(SMALL_DIMS.items())
    settings = [dict(dims)] if dims is not None else [dict(every[:count]) for count in (3, 1, 2, 5)]
    build, width = fusion, out_dim or 8

    def cases(law: str) -> Iterator[tuple[str, Maker]]:
        for some in settings:

            def make(seed: int, some: dict[str, int] = some) -> Fusion:
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(seed)
                    return build(dims=dict(some), out_dim=width, **options)

            for joining, maker in with_decisions(law, make).items():
                yield f"with {list(some)}{joining}", maker

    laws = chosen_laws(LAWS, only, TRACING, tracing)
    return check_laws(getattr(fusion, "__qualname__", repr(fusion)), laws, cases, raise_on_failure)
