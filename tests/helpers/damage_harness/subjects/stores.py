"""Stores: an array store beside another is damaged; lists, checks, reads and runs go on."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from damage_harness.mutate_bytes import damage_file_bytes
from damage_harness.mutate_trees import damage_json
from damage_harness.subject import Lost, Subject, all_files

LAYOUT = ("float32", "float32", 3)
IDENTITY = {"encoder": "my.Net", "options": {"name": "x"}, "dtype": "float32"}
ENTRIES = 40


class Stores(Subject):
    """Two array stores of the same entries; the first is damaged."""

    name = "stores"
    inputs = 800
    quick = 15
    imports = ("mmbert.store.inventory", "mmbert.store.source", "mmbert.cli.store", "rich.table")

    def make(self, folder: Path) -> None:
        """Two segments and some uses each."""
        from mmbert.store.array_store import ArrayStore, SegmentWriter
        from mmbert.store.description import record_use, write_about

        for name in ("damaged", "whole"):
            place = folder / "tokens" / name
            write_about(place, "tokens", IDENTITY, LAYOUT)
            for begin in (0, ENTRIES // 2):
                with SegmentWriter(ArrayStore(place, *LAYOUT)) as writer:
                    numbers = range(begin, begin + ENTRIES // 2)
                    writer.put(keys(numbers), [tokens(n) for n in numbers], [tokens(n)[:3] for n in numbers])
            for number in range(3):
                record_use(place, {"data": f"{number}.csv", "reused": number})

    def damage(self, draw: Random, folder: Path) -> str:
        """Damages one file of the first."""
        path = draw.choice(all_files(folder / "tokens" / "damaged"))
        if draw.random() < 0.05:
            path.unlink()
            return f"{path.suffix} missing"
        return damage_json(draw, path) if path.suffix == ".json" else damage_file_bytes(draw, path)

    def use(self, folder: Path) -> Any:
        """Lists, reads every entry, checks, compacts, describes anew and reads again."""
        import numpy as np

        from mmbert.cli.store import run_subcommand
        from mmbert.store.array_store import ArrayStore
        from mmbert.store.description import write_about
        from mmbert.store.source import ArrayStoreSource

        words = [f"dir={folder}"]
        run_subcommand(["list", *words])
        found = {}
        for name in ("damaged", "whole"):
            write_about(folder / "tokens" / name, "tokens", IDENTITY, LAYOUT)  # as a run does
            array_store = ArrayStore(folder / "tokens" / name, *LAYOUT)
            places = array_store.find(keys(range(ENTRIES)))
            source = ArrayStoreSource(array_store, places, None, True)
            rows = [source.row(number) for number in range(ENTRIES)]
            found[name] = sum(row is not None for row in rows)
            for number, row in enumerate(rows):
                if row is not None and not np.array_equal(row.tokens.reshape(-1), tokens(number)):
                    raise Lost(f"entry {number} of the {name} one is another: {row.tokens.reshape(-1)[:5]}")
        try:
            run_subcommand(["verify", *words])
        except SystemExit as ended:
            if ended.code != 1:
                raise
        run_subcommand(["prune", "older_than_days=10000", *words])  # compacts
        for name in ("damaged", "whole"):
            if not (folder / "tokens" / name).is_dir():
                raise Lost(f"{name} was deleted")
            array_store = ArrayStore(folder / "tokens" / name, *LAYOUT)
            found[f"{name} after"] = int((array_store.find(keys(range(ENTRIES))) != -1).sum())
        return found

    def wrong(self, found: Any, whole: Any, what: str) -> str:
        """The other array store keeps all; the damaged one what was readable."""
        if found["whole"] != ENTRIES or found["whole after"] != ENTRIES:
            return f"the whole one has {found}"
        return f"entries were lost: {found}" if found["damaged after"] < found["damaged"] else ""


def keys(numbers: Any) -> Any:
    """The keys of entries."""
    import numpy as np

    return np.array([[number + 1, 7 * number + 1] for number in numbers], np.uint64)


def tokens(number: int) -> Any:
    """The array of an entry: some tokens of width 3."""
    import numpy as np

    return np.arange(3 * (1 + number % 4), dtype=np.float32) + number
