"""``mmbert-check-fusion``: does a strategy keep the contract, what does it cost, and does every modality learn?

mmbert-check-fusion my_fusion.MyFusion --set hidden=64
mmbert-check-fusion my_fusion
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmbert.cli.app import run_plain
from mmbert.cli.contract_check import PartKind, check_parser, class_of_kind, print_report, target_and_options
from mmbert.core.errors import ConfigError, nearest

if TYPE_CHECKING:
    from mmbert.testing.fusion_costs import Cost
    from mmbert.testing.report import Report

FUSION = PartKind(
    "strategy",
    ("fusion",),
    base="mmbert.fusion.base.Fusion",
    filled_in=("dims", "out_dim"),
    hint="A module that takes a list of vectors: mmbert-check-fusion adapter --set module._target_={target}",
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = check_parser(
        "fusion",
        "Holds a fusion strategy to the contract, law by law, with a counter-example where one is broken. Then: the "
        "scale of the result with each modality alone, the gradient that reaches each, and what the strategy costs "
        "beside the built-in ones.",
        "module.Class, or the name of a file such as concat or fusion/my_fusion.yaml's",
    )
    made.add_argument("--dims", metavar="text=6,image=5", help="widths by modality; default: 3, 1, 2 and 5 modalities")
    made.add_argument("--no-tracing", action="store_true", help="leave out torch.compile and torch.export")
    made.add_argument("--no-costs", action="store_true", help="leave out costs, scales and gradients")
    made.add_argument("--beside", metavar="NAMES", help="built-in strategies to compare costs with; default: all")
    return made


def main() -> None:
    """Entry point of the console script."""
    run_plain(answer, "mmbert-check-fusion")


def answer(words: list[str]) -> None:
    """Checks and prints.

    Raises:
        ConfigError: there is no such strategy, or an option is misspelt.
    """
    args = parser().parse_args(words)
    target, options = target_and_options(args.fusion, args.set, FUSION)
    dims = parse_dims(args.dims) if args.dims else None
    beside = chosen_names(args.beside)

    report = report_on(target, options, dims, args.only, not args.no_tracing)
    with print_report(report):
        if report.broken != ["can be built"] and not args.no_costs:
            measured(target, options, dims, beside)


def parse_dims(text: str) -> dict[str, int]:
    """``text=6,image=5`` -> widths by modality.

    Raises:
        ConfigError: it is not of this form.
    """
    dims = {}
    for part in text.split(","):
        name, _, width = part.partition("=")
        if not name.isidentifier() or not width.isdigit() or int(width) < 1:
            raise ConfigError(f"--dims {text}: widths by modality are wanted, such as --dims text=6,image=5.")
        dims[name] = int(width)
    return dims


def chosen_names(text: str | None) -> list[str]:
    """The built-in strategies to compare with.

    Raises:
        ConfigError: there is none of a name.
    """
    from mmbert.cli.options.catalogue import entries

    known = [entry.name for entry in entries("fusion") if not entry.own]
    names = known if text is None else [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            raise ConfigError(f"--beside {text}: there is no built-in strategy '{name}'. {nearest(name, known)}")
    return names


def report_on(
    target: str, options: dict[str, Any], dims: dict[str, int] | None, only: list[str] | None, tracing: bool
) -> Report:
    """The report of all laws; compiling and exporting are tried with two modalities, for they take long."""
    from mmbert.testing.fusion_contract import TRACING, check_fusion

    own = class_of_kind(target, FUSION)
    report = check_fusion(own, dims, raise_on_failure=False, only=only, **options)
    traced = [law for law in TRACING if only is None]
    if tracing and traced and report.broken != ["can be built"]:
        few = dims or {"text": 4, "image": 3}
        report.verdicts += check_fusion(own, few, raise_on_failure=False, only=traced, **options).verdicts[1:]
    return report


def measured(target: str, options: dict[str, Any], dims: dict[str, int] | None, beside: list[str]) -> None:
    """Prints scales, gradients and costs."""
    from mmbert.core.init_args import find_class
    from mmbert.testing.fusion_costs import COST_BATCH, COST_OUT_DIM, cost_of
    from mmbert.testing.fusion_gradient_flow import FLOW_BATCH, flow_of

    kind: Any = find_class(target)
    print(f"\nScale of pooled and gradient by modality, freshly built, standard normal inputs, {FLOW_BATCH} samples:")
    try:
        print(flow_of(kind, dims, **options), flush=True)
        own = cost_of(kind, **options)
    except Exception as error:  # a strategy for other modalities than these, or one that has failed a law already
        print(f"  not measured: {type(error).__name__}: {error}")
        return
    print(
        f"\nCost with text 32 × 384, image 49 × 512 and audio 50 × 256 "
        f"fused to {COST_OUT_DIM}, batches of {COST_BATCH}:"
    )
    rows: dict[str, Cost | None] = {target.rpartition(".")[2]: own}
    rows |= {name: cost_of_named(name) for name in beside}
    for line in cost_table(rows):
        print(line)


def cost_of_named(name: str) -> Cost | None:
    """The cost of a built-in strategy as its file has it; None if it is not for three modalities."""
    from mmbert.core.init_args import find_class
    from mmbert.testing.fusion_costs import cost_of

    target, options = target_and_options(name, [], FUSION)
    kind: Any = find_class(target)
    try:
        return cost_of(kind, steps=3, **options)
    except Exception:
        return None


def cost_table(rows: Mapping[str, Cost | None]) -> list[str]:
    """The table's lines; the first row is the strategy that is checked."""
    width = max(map(len, rows)) + 2
    lines = [f"  {'':<{width}} {'parameters':>12} {'MFLOP a sample':>15} {'ms a step':>10}"]
    for place, (name, cost) in enumerate(rows.items()):
        if cost is None:
            lines.append(f"  {name:<{width}} not for three modalities")
        else:
            mark = "> " if place == 0 else ""
            numbers = f"{cost.parameters:>12,} {cost.flops / 1e6:>15,.2f} {cost.milliseconds:>10.1f}"
            lines.append(f"  {mark + name:<{width}} {numbers}")
    return lines


if __name__ == "__main__":
    main()
