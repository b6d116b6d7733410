"""How soon ``mmbert-train`` answers, beside ``python -c "import torch"`` on the same machine.

The commands take turns, so that whatever else the machine does hits all of them; the first round only warms the disk.

Run: python benchmarks/startup.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
LIMIT = 1 / 3  # of the time of "import torch"
TRAIN = [sys.executable, "-m", "mmbert.cli.train"]
COMMANDS = {
    'python -c "import torch"': [sys.executable, "-c", "import torch"],
    "python -c pass": [sys.executable, "-c", "pass"],
    "mmbert-train --help": [*TRAIN, "--help"],
    "mmbert-train --cfg job": [*TRAIN, "--cfg", "job"],
    "mmbert-train fuson=concat (misspelt)": [*TRAIN, "fuson=concat"],
}
HELD_TO_LIMIT = ["mmbert-train --help", "mmbert-train --cfg job", "mmbert-train fuson=concat (misspelt)"]


def seconds(command: list[str], folder: str) -> float:
    """Wall time of a command, from its start to its end."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, capture_output=True, check=False)
    return time.perf_counter() - started


def measure(rounds: int) -> dict[str, list[float]]:
    """Seconds of every command, one value a round."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for round_number in range(rounds + 1):
            for name, command in COMMANDS.items():
                taken = seconds(command, folder)
                if round_number:
                    times[name].append(taken)
    return times


def machine() -> dict[str, str | int | None]:
    """What was measured on."""
    model = platform.processor() or platform.machine()
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "hydra-core", "omegaconf")},
    }


def as_markdown(medians: dict[str, float], rounds: int, about: dict[str, str | int | None]) -> str:
    """The table that benchmarks/README.md links to."""
    reference = medians['python -c "import torch"']
    rows = [f"| `{name}` | {taken:.2f} | {taken / reference:.2f} |" for name, taken in medians.items()]
    where = ", ".join(f"{key} {value}" for key, value in about.items())
    head = f"Start-up, median of {rounds} rounds; {where}.\n\n| command | seconds | share of `import torch` |"
    return "\n".join([head, "|---|---:|---:|", *rows]) + "\n"


def main() -> None:
    """Measures, prints the table, writes it, and fails if an answer takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    times, about = measure(rounds), machine()
    medians = {name: statistics.median(values) for name, values in times.items()}
    table = as_markdown(medians, rounds, about)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "startup.md").write_text(table, "utf-8")
    (RESULTS / "startup.json").write_text(json.dumps({"machine": about, "seconds": times}, indent=2) + "\n", "utf-8")
    print(table)
    slow = [name for name in HELD_TO_LIMIT if medians[name] > LIMIT * medians['python -c "import torch"']]
    if slow:
        raise SystemExit(f"Slower than a third of importing torch: {', '.join(slow)}")


if __name__ == "__main__":
    main()
