"""What the commands that write the first files of a part share: the name's check, the writing, what comes next."""

from __future__ import annotations

import argparse
import keyword
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mmbert.cli.app import run_plain
from mmbert.core.errors import ConfigError
from mmbert.core.whole_files import write_whole_text


def new_parser(part: str, description: str) -> argparse.ArgumentParser:
    """The options that all of these commands have; the command is ``mmbert-new-PART``."""
    made = argparse.ArgumentParser(
        prog=f"mmbert-new-{part}", description=f"{description} Nothing that exists is overwritten."
    )
    made.add_argument("name", help=f"such as my_{part}: small letters, digits and _")
    made.add_argument("--traceback", action="store_true", help="show where an error comes from")
    return made


def run_new(
    parser: argparse.ArgumentParser, contents: Callable[[argparse.Namespace], dict[str, str]], then: str
) -> None:
    """Writes the files and prints their paths and the commands to go on with.

    Args:
        parser: of ``new_parser``, with the command's own options.
        contents: options -> text by path, below the folder one stands in.
        then: the next commands, with ``{name}`` and other options in braces.
    """

    def job(words: list[str]) -> None:
        args = parser.parse_args(words)
        for path in write_files(contents(args), Path.cwd()):
            print(f"  {path}")
        print("\n" + then.format(**vars(args)))

    run_plain(job, parser.prog)


def names(name: str) -> dict[str, str]:
    """A part's name as module (``name``), as class (``kind``) and as words (``title``)."""
    return {
        "name": name,
        "kind": "".join(part.capitalize() for part in name.split("_")),
        "title": name.replace("_", " ").strip().capitalize(),
    }


def check_name(name: str, noun: str, groups: Sequence[str]) -> None:
    """A part's name must be a module's, and nobody else's.

    Args:
        name: what was asked for.
        noun: of the part, for messages, such as ``strategy``.
        groups: configuration groups in which the package must have no file of this name.

    Raises:
        ConfigError: says what is wrong with it.
    """
    from mmbert.cli.options.catalogue import entries
    from mmbert.cli.options.source import importable, module_file

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ConfigError(f"'{name}' cannot be the name of a {noun}: use small letters, digits and _.")
    if name in {entry.name for group in groups for entry in entries(group) if not entry.own}:
        raise ConfigError(f"The package has a {noun} '{name}', which would be taken instead. Try my_{name}.")
    here = module_file(name)
    if importable(name) and (here is None or here.parent != Path.cwd()):
        raise ConfigError(f"There is a Python module '{name}' already, which would be imported instead. Try my_{name}.")


def write_files(files: dict[str, str], folder: Path) -> list[Path]:
    """Writes all of them or none.

    Raises:
        ConfigError: one exists already.
    """
    for name in files:
        if (folder / name).exists():
            raise ConfigError(f"{name} exists already, and nothing was written. Choose another name, or remove it.")
    for name, text in files.items():
        write_whole_text(folder / name, text)
    return [Path(name) for name in files]
