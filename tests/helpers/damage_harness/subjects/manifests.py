"""Tables: CSV, TSV, JSONL and Parquet, as mmbert-check-data and training read them."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from damage_harness.mutate_tables import damage_table
from damage_harness.subject import Subject, all_files

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
WORDS = ("text=tiny", "image=none", "audio=none", "data=manifest", "data.num_workers=0")
TASKS = ("+task@tasks.label=classification", "tasks.label.column=label", "+task@tasks.size=regression")


class Manifests(Subject):
    """A table of texts, labels, numbers and splits."""

    name = "tables"
    inputs = 1200
    quick = 8
    seconds = 30.0
    imports = ("mmbert.cli.check_data", "mmbert.data.datamodule", "mmbert.encoders.text", "mmbert.data.quality.check")

    def make(self, folder: Path) -> None:
        """The same table in four formats."""
        import pandas as pd

        rows = range(24)
        table = pd.DataFrame(
            {
                "text": [f"words {row}" for row in rows],
                "label": ["ab"[row % 2] for row in rows],
                "size": [row / 4 for row in rows],
                "split": ["train"] * 14 + ["val"] * 5 + ["test"] * 5,
            }
        )
        table.to_csv(folder / "table.csv", index=False)
        table.to_csv(folder / "table.tsv", index=False, sep="\t")
        table.to_json(folder / "table.jsonl", orient="records", lines=True)
        table.to_parquet(folder / "table.parquet", index=False)

    def damage(self, draw: Random, folder: Path) -> str:
        """Damages one of them; the others are taken away."""
        chosen = draw.choice(all_files(folder))
        for path in all_files(folder):
            if path != chosen:
                path.unlink()
        return damage_table(draw, chosen)

    def use(self, folder: Path) -> Any:
        """Checks the table; then reads every row of it as training does."""
        from mmbert.cli.check_data import check_data_table, compose_train_config, data_to_check

        found = []
        for path in all_files(folder):
            words = [*WORDS, *TASKS, "tasks.size.column=size", f"data.path={path}"]
            try:
                check_data_table(words)
            except SystemExit as ended:
                if ended.code not in (0, 1, None):
                    raise
            data, *_ = data_to_check(compose_train_config(words))
            cells = [data.table.column(name) for name in ("text", "label", "size")]
            found.append(sorted(str(row) for row in zip(*cells, strict=True)))
        return found
