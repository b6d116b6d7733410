"""Folders of finished runs, as a report reads them: of four runs one is damaged, and the others stand as before."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from random import Random
from typing import Any

from damage_harness.mutate_bytes import damage_file_bytes
from damage_harness.mutate_tables import damage_table
from damage_harness.mutate_trees import damage_json, damage_yaml
from damage_harness.subject import Lost, Subject, all_files

CLASSES = ("calm", "glad", "sad")
METRIC = "test/mood/accuracy"
DAMAGED = "concat-0"


class RunFolders(Subject):
    """A report of two fusions and two seeds."""

    name = "run folders"
    inputs = 700
    quick = 6
    imports = ("mmbert.cli.report", "mmbert.reporting.report", "mmbert.reporting.outputs.write", "plotly.graph_objects")

    def make(self, folder: Path) -> None:
        """Writes the runs' files as a training leaves them."""
        for fusion in ("concat", "mean"):
            for seed in (0, 1):
                write_run(folder / "runs" / f"{fusion}-{seed}", fusion, seed)

    def damage(self, draw: Random, folder: Path) -> str:
        """Damages one file of the first run, or takes it away."""
        path = draw.choice(all_files(folder / "runs" / DAMAGED))
        if draw.random() < 0.05:
            path.unlink()
            return f"{path.name} missing"
        ways = {".json": damage_json, ".yaml": damage_yaml, ".csv": damage_table, ".parquet": damage_table}
        return ways.get(path.suffix, damage_file_bytes)(draw, path)

    def use(self, folder: Path) -> Any:
        """What ``mmbert-report`` writes: each run's status and score, and whether the page names the reason."""
        import pandas as pd

        from mmbert.cli.report import run_report
        from mmbert.core.errors import MmbertError

        words = {"metric": METRIC, "by": "fusion", "baseline": "concat", "latex": True, "wandb": False}
        args = argparse.Namespace(
            folders=[folder / "runs"], out=folder / "out", wandb_project=None, wandb_entity=None, **words
        )
        try:
            run_report(args)
        except MmbertError as error:
            raise Lost(f"three runs are whole, but there is no report: {error}") from error
        table = pd.read_csv(folder / "out" / "results.csv")
        page = (folder / "out" / "report.html").read_text(encoding="utf-8")
        found = {}
        for line in table.to_dict("records"):
            name = Path(str(line["run"])).name
            found[name] = (line["status"], line.get(METRIC), float(line["seed"]), line["fusion"])
            if line["status"] != "finished" and str(line["reason"])[:20] not in page:
                raise Lost(f"the page does not say why {name} does not count")
        summary = pd.read_csv(folder / "out" / "summary.csv")
        return found, {line["fusion"]: line["mean"] for line in summary.to_dict("records")}

    def wrong(self, found: Any, whole: Any, what: str) -> str:
        """The other runs are there with their numbers, and the damaged one is named; its numbers are numbers."""
        runs, means = found
        for name, line in whole[0].items():
            if name != DAMAGED and str(runs.get(name)) != str(line):
                return f"{name} is {runs.get(name)}, was {line}"
        if DAMAGED not in runs:
            return f"{DAMAGED} is not named"
        if not math.isclose(means["mean"], whole[1]["mean"]):
            return f"the mean of the other group is {means['mean']}, was {whole[1]['mean']}"
        status, value, *_ = runs[DAMAGED]
        odd = status == "finished" and isinstance(value, float) and not math.isfinite(value)
        return f"finished with {value}" if odd and "metrics.json" not in what else ""


def write_run(run: Path, fusion: str, seed: int) -> None:
    """All files of a finished run that a report reads."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(10 * seed + len(fusion))
    truth = np.arange(12) % 3
    logits = random.standard_normal((12, 3)) + 2 * np.eye(3)[truth]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    (run / "predictions").mkdir(parents=True)
    pd.DataFrame(
        {
            "row": range(12),
            "mood/target": [CLASSES[t] for t in truth],
            "mood/prediction": [CLASSES[n] for n in shares.argmax(1)],
            "mood/probabilities": [dict(zip(CLASSES, map(float, row), strict=True)) for row in shares],
        }
    ).to_parquet(run / "predictions" / "test.parquet")
    config = (
        f"fusion:\n  _target_: mmbert.fusion.{fusion}.X\n  out_dim: 8\nseed: {seed}\ntasks:\n  mood: {{column: mood}}\n"
    )
    study = "study: {name: my_study, axes: [fusion], baseline: {fusion: concat}, metric: test/mood/accuracy}\n"
    (run / "config.yaml").write_text(config + "encoders: {text: {frozen: true}}\n" + study)
    (run / ".hydra").mkdir()
    (run / ".hydra" / "hydra.yaml").write_text(f"hydra: {{runtime: {{choices: {{fusion: {fusion}, data: digits}}}}}}\n")
    (run / ".hydra" / "overrides.yaml").write_text(f"- fusion={fusion}\n- seed={seed}\n")
    lines = [f"{epoch},{9 * epoch},{0.3 + 0.1 * epoch},{2 - 0.2 * epoch}" for epoch in range(4)]
    (run / "history.csv").write_text("\n".join(["epoch,step,val/mood/accuracy,val/loss", *lines]) + "\n")
    gate = {"modalities": ["text", "image"], "mean": [0.5, None], "std": [0.1, None]}
    metrics = {"accuracy": 0.5 + 0.1 * seed}
    contents = {
        "environment": {"started": "2026-11-24", "python": "3.11", "packages": {"torch": "2"}, "cpu": {"model": "x"}},
        "job": {"hash": "0123", "overrides": [], "command": "mmbert-train"},
        "diagnostics": {"test": {"gate": gate}, "val_by_epoch": [{"epoch": e, "gate": gate} for e in range(3)]},
        "robustness": {
            "splits": {
                "test": {
                    "clean": {"metrics": metrics},
                    "subsets": [{"modalities": ["text"], "samples": 9, "metrics": {"mood/accuracy": 0.5}}],
                    "noise": [{"modalities": ["text"], "level": 0.5, "metrics": {"mood/accuracy": 0.4}}],
                    "missing": [{"mechanism": "random", "rate": 0.5, "metrics": {"mood/accuracy": 0.3}}],
                }
            }
        },
        "metrics": {
            METRIC: float((shares.argmax(1) == truth).mean()),
            "test/loss": 1.0,
            "seed": seed,
            "epochs": 4,
            "fit_seconds": 9.0 + seed,
            "wall_seconds": 60.0,
            "peak_memory_mib": 500,
            "parameters_trained": 1000,
            "splits_fingerprint": "s",
            "checkpoint": {"path": "checkpoints/best.ckpt", "monitor": "val/mood/accuracy", "value": 0.6},
            "inputs": {"table": "gone.csv", "encoders": {"text": {"column": "said", "kind": "text"}}},
        },
    }
    contents["robustness"]["splits"]["test"]["clean"] = {"metrics": {"mood/accuracy": 0.6}}
    for name, content in contents.items():
        (run / f"{name}.json").write_text(json.dumps(content))
