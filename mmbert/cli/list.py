"""``mmbert-list``: what there is to choose from, with a line each, the paper, and what it needs."""

from __future__ import annotations

import shutil
import textwrap

from mmbert.cli.app import run_with_usage
from mmbert.core.errors import ConfigError, nearest
from mmbert.core.shown_text import printable

LIST_USAGE = """\
usage: mmbert-list [GROUP ...]

  mmbert-list                every group, and how many choices it has
  mmbert-list fusion         the strategies: what each is, its paper, and what it needs
  mmbert-list encoders       those of every kind of input; tasks: both kinds and ready sets

What lies in ./fusion, ./text, ... or ./conf of the folder you stand in is listed too, marked with *.
"""
#: Words for several groups.
GROUP_ALIASES = {
    "encoders": ("text", "image", "audio", "video", "series", "tabular", "features"),
    "tasks": ("task", "tasks"),
    "studies": ("experiment",),
    "launchers": ("hydra/launcher", "hydra/sweeper"),
}


def main() -> None:
    """Entry point of the console script."""
    run_with_usage(print_groups, "mmbert-list", LIST_USAGE, needs_words=False)


def print_groups(words: list[str]) -> None:
    """Prints the groups asked for; without any, which there are.

    Raises:
        ConfigError: there is no such group.
    """
    from mmbert.cli.options.catalogue import entries, group_names

    known = group_names()
    if not words:
        for group in known:
            names = [entry.name for entry in entries(group)]
            shown = f"{', '.join(names[:6])}{', …' if names[6:] else ''}"
            print(printable(f"  {group:<12} {len(names):>3}  {shown}"))
        print("\nmmbert-list GROUP says what each is; encoders stands for those of every kind of input.")
        return
    chosen: list[str] = []
    for word in words:
        if word not in known and word not in GROUP_ALIASES:
            raise ConfigError(f"There is no group '{word}'. {nearest(word, [*known, *GROUP_ALIASES])}")
        chosen += GROUP_ALIASES.get(word, (word,))
    for number, group in enumerate(dict.fromkeys(chosen)):
        print(("\n" if number else "") + printable("\n".join(group_lines(group))))


def group_lines(group: str) -> list[str]:
    """The lines of one group."""
    from mmbert.cli.options.catalogue import entries

    found = entries(group)
    width = max([len(entry.name) for entry in found], default=0) + 1
    room = max(40, shutil.get_terminal_size((120, 24)).columns - width - 4)
    lines = [f"{group}={found[0].name if len(found) == 1 else '…'}  ({len(found)})"]
    for entry in found:
        mark = "*" if entry.own else " "
        parts = [entry.summary or "(its file begins without a comment)"]
        parts += [entry.paper] if entry.paper else []
        parts += [f"needs {entry.needs}"] if entry.needs else []
        for place, part in enumerate(parts):
            for step, line in enumerate(textwrap.wrap(part, room)):
                name = f"{entry.name}{mark}" if place == step == 0 else ""
                lines.append(f"  {name:<{width}}  {line}")
    return lines


if __name__ == "__main__":
    main()
