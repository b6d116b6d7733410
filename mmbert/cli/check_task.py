"""``mmbert-check-task``: does a task keep the contract?

mmbert-check-task my_task
mmbert-check-task my_task.MyTask --cells "[low, high, middle, high]" --set dropout=0.5
"""

from __future__ import annotations

import argparse
from typing import Any

from mmbert.cli.app import run_plain
from mmbert.cli.contract_check import PartKind, check_parser, class_of_kind, print_report, target_and_options
from mmbert.core.errors import ConfigError

TASK = PartKind(
    "task", ("task",), base="mmbert.tasks.base.Task", filled_in=("in_dim", "dims", "column"), learns_options=True
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = check_parser(
        "task",
        "Holds a task to the contract, law by law, on random fused inputs, with a counter-example where one is broken.",
        "module.Class, or the name of a file such as classification or task/my_task.yaml's",
    )
    made.add_argument(
        "--cells",
        metavar="[A, B, ...]",
        help="labels as they stand in a table, four or more, all of them valid; of a task with several columns "
        "dictionaries. Default: made-up ones for classification, multilabel and regression",
    )
    made.add_argument("--texts", metavar="[A, B, ...]", help="one text for each, where labels belong to words")
    made.add_argument("--wrong", metavar="CELL", help="a cell that is no label; default: a made-up one")
    return made


def main() -> None:
    """Entry point of the console script."""
    run_plain(answer, "mmbert-check-task")


def answer(words: list[str]) -> None:
    """Checks and prints.

    Raises:
        ConfigError: there is no such task, or an option is misspelt.
    """
    args = parser().parse_args(words)
    target, options = target_and_options(args.task, args.set, TASK)
    cells, texts = as_list("--cells", args.cells), as_list("--texts", args.texts)

    from mmbert.testing.task_contract import check_task

    given = {name: value for name, value in options.items() if value is not None}
    kind: Any = class_of_kind(target, TASK)
    with print_report(
        check_task(kind, cells, texts, wrong=args.wrong, raise_on_failure=False, only=args.only, **given)
    ):
        pass


def as_list(option: str, text: str | None) -> list[Any] | None:
    """A list as YAML writes it.

    Raises:
        ConfigError: it is none.
    """
    import yaml

    if text is None:
        return None
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{option} {text}: the list cannot be read.") from error
    if not isinstance(found, list):
        raise ConfigError(f'{option} {text}: a list is wanted, such as {option} "[low, high, high, low]".')
    return found


if __name__ == "__main__":
    main()
