"""What the commands that check a contract share: options, the class to check, the report and the exit code."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmbert.core.errors import ConfigError, InputError, nearest

if TYPE_CHECKING:
    from mmbert.cli.options.catalogue import Entry
    from mmbert.testing.report import Report


@dataclass(frozen=True)
class PartKind:
    """A kind of part that can be checked.

    Attributes:
        noun: for messages, such as ``strategy``.
        groups: configuration groups that hold its files.
        base: path of the base class.
        filled_in: arguments that the check gives by itself.
        learns_options: whether arguments without a default may be learnt by the check itself.
        hint: what to do if a class does not derive from the base; ``{target}`` is its path.
    """

    noun: str
    groups: tuple[str, ...]
    base: str
    filled_in: tuple[str, ...] = ()
    learns_options: bool = False
    hint: str = ""


def check_parser(part: str, description: str, choice: str) -> argparse.ArgumentParser:
    """The options that all of these commands have.

    Args:
        part: the command is ``mmbert-check-PART``.
        description: what it does.
        choice: what its argument is.
    """
    made = argparse.ArgumentParser(
        prog=f"mmbert-check-{part}",
        description=f"{description} Exit code 1 if a law is broken, 2 if it cannot be checked.",
    )
    made.add_argument(part, help=choice)
    made.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the class")
    made.add_argument("--only", action="append", metavar="LAW", help="this law alone; may be given several times")
    made.add_argument("--traceback", action="store_true", help="show where an error comes from")
    return made


def target_and_options(word: str, given: list[str], part: PartKind) -> tuple[str, dict[str, Any]]:
    """The path of the class that is to be checked and its options, from its path or from the name of a file.

    Raises:
        ConfigError: there is none, or an option is not one of its own.
    """
    from mmbert.cli.options.signatures import signature_of

    file = file_named(word, part)
    options: dict[str, Any] = {}
    target = word
    if file is not None:
        target = file.target or ""
        if not target:
            raise ConfigError(f"{file.path} names no class: it has no line _target_.")
        options = {key: value for key, value in file.options.items() if key not in part.filled_in}
    signature = signature_of(target)
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: an option and its value are wanted, such as --set hidden=64.")
        if signature is not None and not signature.open and name.partition(".")[0] not in signature.names:
            known = [name for name in signature.names if name not in part.filled_in]
            raise ConfigError(f"--set {text}: {target} takes no {name}. {nearest(name, known)}")
        set_option(options, name, value)
    lacking = [n for n in signature.required if n not in {*options, *part.filled_in}] if signature is not None else []
    if lacking and not part.learns_options and signature is not None and signature.is_class:
        raise ConfigError(f"{target} needs {lacking[0]}, which has no default: --set {lacking[0]}=VALUE")
    return target, options


def file_named(word: str, part: PartKind) -> Entry | None:
    """The YAML file of a name, which may be written ``group/name``; None for the path of a class.

    Raises:
        ConfigError: there is none, or several groups have one.
    """
    from mmbert.cli.options.catalogue import entries

    every = [entry for group in part.groups for entry in entries(group)]
    found = [entry for entry in every if word in (entry.name, f"{entry.group}/{entry.name}")]
    if not found and "." not in word:
        known = sorted({entry.name for entry in every})
        raise ConfigError(f"There is no {part.noun} '{word}': write module.Class, or a name. {nearest(word, known)}")
    if len(found) > 1:
        raise ConfigError(
            f"Which '{word}'? Write one of {', '.join(f'{entry.group}/{entry.name}' for entry in found)}."
        )
    return found[0] if found else None


def set_option(options: dict[str, Any], name: str, value: str) -> None:
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


def class_of_kind(target: str, part: PartKind) -> Callable[..., Any]:
    """The class, or the function that builds one.

    Raises:
        InputError: it is a class of another kind, or neither class nor function.
    """
    from mmbert.core.init_args import find_class

    found: Any = find_class(target)
    if isinstance(found, type) and not issubclass(found, find_class(part.base)):
        name = part.base.rpartition(".")[2]
        hint = f" {part.hint.format(target=target)}" if part.hint else ""
        raise InputError(f"{target} is no {name}: derive it from {part.base}.{hint}")
    if not hasattr(found, "__qualname__"):
        raise InputError(f"{target} is no class and no function.")
    return found  # type: ignore[no-any-return]


@contextmanager
def print_report(report: Report) -> Iterator[None]:
    """Prints it, lets more be printed, and leaves with exit code 1 if a law is broken."""
    print(report, flush=True)
    yield
    if not report.passed:
        raise SystemExit(1)
