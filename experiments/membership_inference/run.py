"""What an attacker learns of who was in the training data, and what differential privacy takes from them and costs.

    python experiments/membership_inference/run.py

Trains a run without and two with ``privacy=dp`` below ``multirun/membership_inference`` on ``data=stamps``, attacks
each with 64 shadow models, and writes ``results.csv`` beside this file. What is finished there is not done again.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path("multirun/membership_inference")
#: By name the words that a setting adds.
SETTINGS: dict[str, tuple[str, ...]] = {
    "none": (),
    "epsilon8": ("privacy=dp", "privacy.epsilon=8"),
    "epsilon2": ("privacy=dp", "privacy.epsilon=2"),
}
TASKS = ("topic", "kind")
WORDS = ("data=stamps", "modalities=text_image", "fusion=concat", "logger=none", "plots=false", "trainer=cpu")
WORDS += ("trainer.enable_progress_bar=false", "seed=0")
MEASURES = ("tpr_at_fpr_0.001", "tpr_at_fpr_0.01", "auc", "balanced_accuracy")


def run(command: str, *words: str) -> None:
    """A command of mmbert."""
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # steps of so small models only wait for more threads
    subprocess.run([sys.executable, "-m", f"mmbert.cli.{command}", *words], check=True, env=one_thread)


def read(path: Path) -> dict[str, Any]:
    """A file of JSON."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def measured(setting: str) -> list[dict[str, object]]:
    """A line a task of one setting."""
    folder = FOLDER / setting
    if not (folder / "metrics.json").exists():
        run("train", *WORDS, *SETTINGS[setting], f"hydra.run.dir={folder}")
    if not (folder / "membership.json").exists():
        run("attack", f"model={folder}", "shadows=64")
    metrics, found = read(folder / "metrics.json"), read(folder / "membership.json")
    git = found["environment"]["git"]
    source = git.get("package") or git["folder"]
    lines = []
    for task in TASKS:
        attacked = found["tasks"][task]
        line: dict[str, object] = {"setting": setting, "task": task}
        line |= {"commit": source["commit"], "dirty": source["dirty"]}
        line |= {"epsilon": metrics.get("privacy", {}).get("epsilon")}
        line |= {"test_accuracy": metrics[f"test/{task}/accuracy"]}
        line |= {f"accuracy_{who}": value for who, value in attacked["accuracy"].items()}
        line |= {"samples": attacked["samples"], "non_member_pairs": attacked["non_member_pairs"]}
        for name, attack in attacked["attacks"].items():
            for measure in MEASURES:
                value = attack[measure]
                line |= {f"{name}/{measure}": value["value"]}
                line |= {f"{name}/{measure}/{end}": value[end] for end in ("low", "high")}
        lines.append(line)
    return lines


def main() -> None:
    """See the top of the file."""
    lines = [line for setting in SETTINGS for line in measured(setting)]
    with Path(__file__).with_name("results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, lines[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
