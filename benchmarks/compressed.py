"""What int8 and structured pruning give: the default run on talking_digits, compressed and measured in one run.

Aims, on two cores: int8 at least 1.8 × as fast at batch 1 as float32 in PyTorch with at most 0.5 points lost; 25 %
structured pruning and int8 together at least 2.5 ×.

Run: python benchmarks/compressed.py --model outputs/DATE/TIME
     python benchmarks/compressed.py             trains the default run first
Try: python benchmarks/compressed.py --model outputs/DATE/TIME --epochs 0 --rounds 2 --bootstraps 50
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
METHODS = "[onnx,int8_onnx,structured,structured+int8_onnx,without]"
#: By variant the least speed-up at batch 1, and the most points that may be lost.
AIMS = {"int8_onnx": (1.8, 0.5), "structured+int8_onnx": (2.5, None)}


def command(name: str, *words: str) -> None:
    """A command of mmbert."""
    subprocess.run([sys.executable, "-m", f"mmbert.cli.{name}", *words], check=True)


def told(row: dict[str, Any], task: str) -> dict[str, Any]:
    """The numbers of a variant that matter here."""
    quality = row["quality"][task]
    return {
        "variant": row["name"],
        "points": 100 * quality["value"],
        "points_lost": -100 * quality["difference"]["value"],
        "mib": row["bytes"] / 2**20,
        **{f"p50_ms/{size}": found["p50_ms"] for size, found in row["latency"].items()},
        **{f"speedup/{size}": found["speedup"] for size, found in row["latency"].items()},
        "peak_mib": row["memory"]["peak_mib"],
    }


def main() -> None:
    """Prints whether the aims are met, and writes all numbers beside the machine's description."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a finished run; without it the default run is trained")
    parser.add_argument("--task", default="answer")
    parser.add_argument("--epochs", type=int, default=1, help="of training what was pruned")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--bootstraps", type=int, default=500)
    parser.add_argument("--work", type=Path, default=Path("multirun/compressed"))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "compressed.json")
    args = parser.parse_args()
    model = args.model or args.work / "run"
    if args.model is None and not (model / "metrics.json").is_file():
        command("train", "logger=none", "plots=false", f"hydra.run.dir={model}")
    folder = args.work / "variants"
    shutil.rmtree(folder, ignore_errors=True)
    words = [f"model={model}", f"methods={METHODS}", f"task={args.task}", f"out={folder}", "threads=2", "amount=0.25"]
    command("compress", *words, *(f"{key}={getattr(args, key)}" for key in ("epochs", "rounds", "bootstraps")))
    content = json.loads((folder / "compression.json").read_text())
    rows = [told(row, args.task) for row in content["variants"]]
    for row in rows:
        speed, loss = AIMS.get(row["variant"], (None, None))
        if speed is not None:
            met = row["speedup/1"] >= speed and (loss is None or row["points_lost"] <= loss)
            aim = "" if loss is None else f" (aim {loss})"
            print(f"{row['variant']}: {row['speedup/1']:.2f} x at batch 1 (aim {speed}), ", end="")
            print(f"{row['points_lost']:+.2f} points lost{aim}: {'met' if met else 'missed'}")
    result = {"what": "the default model compressed, against float32 in PyTorch", "task": args.task, "rows": rows}
    kept = ("split", "threads", "rounds", "epochs", "amount", "calibration", "bootstraps", "seed", "environment")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({**result, **{key: content[key] for key in kept}}, indent=2) + "\n")


if __name__ == "__main__":
    main()
