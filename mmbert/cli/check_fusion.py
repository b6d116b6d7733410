"""``mmbert-check-fusion``: does a strategy keep the contract, what does it cost, and does every modality learn?

mmbert-check-fusion my_fusion.MyFusion --set hidden=64
mmbert-check-fusion my_fusion
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mmbert.cli.app import run_plain
from mmbert.core.errors import ConfigError, InputError, nearest

if TYPE_CHECKING:
    from mmbert.testing.costs import Cost
    from mmbert.testing.report import Report

#: What the checks themselves give.
PASSED = ("dims", "out_dim")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="mmbert-check-fusion",
        description="Holds a fusion strategy to the contract, law by law, with a counter-example where one is broken. "
        "Then: how loud each modality is and how much gradient reaches it, and what the strategy costs beside the "
        "built-in ones. Exit code 1 if a law is broken, 2 if it cannot be checked.",
    )
    made.add_argument("fusion", help="module.Class, or the name of a file such as concat or fusion/my_fusion.yaml's")
    made.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the class")
    made.add_argument("--dims", metavar="text=6,image=5", help="widths by modality; default: 3, 1, 2 and 5 modalities")
    made.add_argument("--only", action="append", metavar="LAW", help="this law alone; may be given several times")
    made.add_argument("--no-tracing", action="store_true", help="leave out torch.compile and torch.export")
    made.add_argument("--no-costs", action="store_true", help="leave out costs, scales and gradients")
    made.add_argument("--beside", metavar="NAMES", help="built-in strategies to compare costs with; default: all")
    made.add_argument("--traceback", action="store_true", help="show where an error comes from")
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
    target, options = chosen(args.fusion, args.set)
    dims = parse_dims(args.dims) if args.dims else None
    beside = chosen_names(args.beside)

    report = contract(target, options, dims, args.only, not args.no_tracing)
    print(report, flush=True)
    if report.broken != ["can be built"] and not args.no_costs:
        measured(target, options, dims, beside)
    if not report.passed:
        raise SystemExit(1)


def chosen(word: str, given: list[str]) -> tuple[str, dict[str, Any]]:
    """The class that is to be checked and its options, from its path or from the name of a file.

    Raises:
        ConfigError: there is none, or an option is not one of its own.
    """
    from mmbert.cli.options.catalogue import entries
    from mmbert.cli.options.signatures import signature_of

    files = {entry.name: entry for entry in entries("fusion")}
    if "." not in word and word not in files:
        raise ConfigError(f"There is no strategy '{word}': write module.Class, or a name. {nearest(word, files)}")
    options: dict[str, Any] = {}
    target = word
    if word in files:
        target = files[word].target or ""
        options = {key: value for key, value in files[word].options.items() if key not in PASSED}
    signature = signature_of(target)
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: an option and its value are wanted, such as --set hidden=64.")
        if signature is not None and not signature.open and name.partition(".")[0] not in signature.names:
            raise ConfigError(
                f"--set {text}: {target} takes no {name}. "
                f"{nearest(name, [known for known in signature.names if known not in PASSED])}"
            )
        put(options, name, value)
    lacking = [n for n in signature.required if n not in {*options, *PASSED}] if signature is not None else []
    if lacking and signature is not None and signature.is_class:
        raise ConfigError(f"{target} needs {lacking[0]}, which has no default: --set {lacking[0]}=VALUE")
    return target, options


def put(options: dict[str, Any], name: str, value: str) -> None:
    """Sets an option; ``module.rank`` is the entry ``rank`` of the option ``module``.

    Raises:
        ConfigError: the value is no YAML, or the option has no entries.
    """
    import yaml

    *path, last = name.split(".")
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {name}={value}: the value cannot be read.") from error
    for part in path:
        options = options.setdefault(part, {})
        if not isinstance(options, dict):
            raise ConfigError(f"--set {name}={value}: {part} has no entries.")
    options[last] = read


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


def contract(
    target: str, options: dict[str, Any], dims: dict[str, int] | None, only: list[str] | None, tracing: bool
) -> Report:
    """The report of all laws; compiling and exporting are tried with two modalities, for they take long."""
    from mmbert.core.init_args import find_class
    from mmbert.fusion.base import Fusion
    from mmbert.testing.fusion_contract import TRACING, check_fusion

    kind: Any = find_class(target)
    if isinstance(kind, type) and not issubclass(kind, Fusion):
        hint = " A module that takes a list of vectors: mmbert-check-fusion adapter --set module._target_=" + target
        raise InputError(f"{target} is no Fusion: derive it from mmbert.fusion.base.Fusion.{hint}")
    own = named(kind, target)
    report = check_fusion(own, dims, raise_on_failure=False, only=only, **options)
    traced = [law for law in TRACING if only is None]
    if tracing and traced and report.broken != ["can be built"]:
        few = dims or {"text": 4, "image": 3}
        report.verdicts += check_fusion(own, few, raise_on_failure=False, only=traced, **options).verdicts[1:]
    return report


def named(kind: Any, target: str) -> Callable[..., Any]:
    """The class itself; a function under the name that was typed."""
    if not hasattr(kind, "__qualname__"):
        raise InputError(f"{target} is no class and no function.")
    found: Callable[..., Any] = kind
    return found


def measured(target: str, options: dict[str, Any], dims: dict[str, int] | None, beside: list[str]) -> None:
    """Prints scales, gradients and costs."""
    from mmbert.core.init_args import find_class
    from mmbert.testing.costs import BATCH, OUT_DIM, cost_of
    from mmbert.testing.gradient_flow import BATCH as SAMPLES
    from mmbert.testing.gradient_flow import flow_of

    kind: Any = find_class(target)
    print(f"\nScale of pooled and gradient by modality, freshly built, standard normal inputs, {SAMPLES} samples:")
    try:
        print(flow_of(kind, dims, **options), flush=True)
        own = cost_of(kind, **options)
    except Exception as error:  # a strategy for other modalities than these, or one that has failed a law already
        print(f"  not measured: {type(error).__name__}: {error}")
        return
    print(f"\nCost with text 32 × 384, image 49 × 512 and audio 50 × 256 fused to {OUT_DIM}, batches of {BATCH}:")
    rows: dict[str, Cost | None] = {target.rpartition(".")[2]: own}
    rows |= {name: cost_of_named(name) for name in beside}
    for line in cost_table(rows):
        print(line)


def cost_of_named(name: str) -> Cost | None:
    """The cost of a built-in strategy as its file has it; None if it is not for three modalities."""
    from mmbert.core.init_args import find_class
    from mmbert.testing.costs import cost_of

    target, options = chosen(name, [])
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
