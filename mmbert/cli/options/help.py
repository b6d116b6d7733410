"""What ``--help`` prints, without importing Hydra: how to write options, and which choices there are."""

from __future__ import annotations

from pathlib import Path

import mmbert.conf

TRAIN_USAGE = """\
usage: {command} [group=choice ...] [option=value ...] [-m]

Trains a multimodal model, chooses its checkpoint on the validation split and measures it on the test split.
Without arguments: a text+image+audio model on the bundled demo data.

  {command} fusion=concat trainer.max_epochs=10
  {command} data=manifest data.path=my.csv text=bert_base image=vit_base audio=none
  {command} data=manifest data.path=my.csv +task@tasks.mood=classification tasks.mood.column=mood
  {command} -m fusion=concat,mean,product,cross_attention seed=0,1,2

Groups and their choices:
"""

TRAIN_FLAGS = """
Flags:
  --cfg job        print the config and stop; with -p fusion only that part of it
  -m, --multirun   a sweep: every combination of the values that commas separate
  --config-dir D   look for groups and choices in D too, as in ./conf and in ./fusion, ./text, ... of this folder
  --traceback      show where an error comes from
  --hydra-help     what Hydra itself can do
"""


def print_help(command: str) -> None:
    """Prints the usage and every group with its choices, those in the working folder too."""
    print(TRAIN_USAGE.format(command=command))
    groups = group_choices()
    width = max(map(len, groups))
    for group in sorted(groups):
        print(f"  {group:<{width}}  {', '.join(groups[group])}")
    print(TRAIN_FLAGS, end="")


def group_choices() -> dict[str, list[str]]:
    """The names of the YAML files by group."""
    package, here = Path(mmbert.conf.__path__[0]), Path.cwd()
    groups = subfolders(package)
    own = subfolders(here / "conf")
    found: dict[str, set[str]] = {}
    for folder, names in ((package, groups), (here / "conf", own), (here, groups)):
        for group in names - {"hydra"}:
            files = {file.stem for file in (folder / group).glob("*.yaml")}
            if files:
                found.setdefault(group, set()).update(files)
    studies = {file.stem for file in (here / "experiments").glob("*.yaml")}
    if studies:
        found.setdefault("experiment", set()).update(studies)
    return {group: sorted(names) for group, names in found.items()}


def subfolders(folder: Path) -> set[str]:
    """The names of the folders in a folder."""
    if not folder.is_dir():
        return set()
    return {item.name for item in folder.iterdir() if item.is_dir() and not item.name.startswith(("_", "."))}
