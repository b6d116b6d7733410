"""What mmbert-explain says of models whose right answer is known: three settings of synthetic modalities, three seeds.

    python experiments/modality_shares/run.py

Trains below ``multirun/modality_shares``, explains each run on its test split, and writes ``results.csv`` beside this
file.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

FOLDER = Path("multirun/modality_shares")
SETTINGS = ("synergy", "uniqueness", "redundancy")
SEEDS = (0, 1, 2)
WORDS = ("data=synthetic", "modalities=synthetic", "fusion=product", "trainer.max_epochs=6", "logger=none")
WORDS += ("augment.modality_dropout=0.3", "plots=false", "trainer=cpu", "trainer.enable_progress_bar=false")


def run(command: str, *words: str) -> None:
    """A command of mmbert."""
    subprocess.run([sys.executable, "-m", f"mmbert.cli.{command}", *words], check=True)


def measured(setting: str, seed: int) -> dict[str, object]:
    """One run's line of the table."""
    folder = FOLDER / f"{setting}-seed{seed}"
    run("train", *WORDS, f"data.setting={setting}", f"seed={seed}", f"hydra.run.dir={folder}")
    run("explain", f"model={folder}")
    git = json.loads((folder / "environment.json").read_text())["git"]
    source = git.get("package") or git["folder"]
    found = json.loads((folder / "explanation.json").read_text())["tasks"]["label"]
    line: dict[str, object] = {"setting": setting, "seed": seed, "commit": source["commit"], "dirty": source["dirty"]}
    for part in ("output", "metric"):
        for name in ("a", "b"):
            values = found[part]["modalities"][name]
            line |= {f"{part}/{name}": values["value"]["value"], f"{part}/{name}/share": values["share"]["value"]}
        line[f"{part}/a_b"] = found[part]["interactions"][0]["value"]["value"]
    return line


def main() -> None:
    """See the top of the file."""
    lines = [measured(setting, seed) for setting in SETTINGS for seed in SEEDS]
    with Path(__file__).with_name("results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, lines[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
