"""``Scenario``: a command that is killed, and what is compared of what it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Scenario:
    """Methods run in forked processes; a folder holds everything of one round, the caches too.

    Attributes:
        name: as the published table has it.
        kills: of a full count.
        most: kills in one round; the command then runs to its end.
        heavy: whether the command's imports are made before its processes are forked.
        terms: the share of kills that are a SIGTERM, which lets a command save.
    """

    name = ""
    kills = 12
    most = 3
    terms = 0.0
    heavy = True

    def prepare(self, shared: Path) -> None:
        """Makes what all rounds read, in an empty folder."""

    def work(self, shared: Path, folder: Path) -> None:
        """The command as a user types it: the first time, and again after a kill."""
        raise NotImplementedError

    def left(self, shared: Path, folder: Path) -> dict[str, Any]:
        """What must be as if nobody had touched it, by name; picklable."""
        raise NotImplementedError

    def torn(self, shared: Path, folder: Path) -> list[str]:
        """Files that a kill has left neither old nor new: those that cannot be read."""
        return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and not readable(path)]

    def begun(self, folder: Path) -> bool:
        """Whether the command has come to the part of its work that writes."""
        return True

    def stage(self, folder: Path) -> str:
        """In which part of its work the command was killed, a word for the table."""
        return "work"


def readable(path: Path) -> bool:
    """Whether a file is whole, as far as its format tells; temporary files and those that grow count as whole."""
    if path.name.startswith("."):
        return True
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".yaml":
            import yaml

            yaml.safe_load(path.read_text(encoding="utf-8"))
        elif path.suffix == ".parquet":
            import pyarrow.parquet as pq

            pq.read_table(path)
        elif path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            load_file(path)
        elif path.suffix == ".ckpt":
            import torch

            torch.load(path, map_location="cpu", weights_only=True)
        elif path.suffix == ".html":
            return path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    except Exception:
        return False
    return True
