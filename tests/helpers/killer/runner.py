"""Starts a scenario's command in processes that are killed at moments drawn by a seed, and counts how it ends."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from killer.scenario import Scenario

#: What the processes have imported when they begin, so that a kill meets work and not imports.
PRELOADED = (
    *("mmbert.cli.train", "mmbert.cli.resume", "mmbert.cli.report", "mmbert.cli.check_data", "mmbert.cli.store"),
    *("mmbert.training.run", "mmbert.training.evaluate", "mmbert.reporting.outputs.write", "mmbert.data.quality.page"),
    *("hydra", "pandas", "pyarrow.parquet", "safetensors.torch", "matplotlib.figure", "plotly.graph_objects"),
    *("transformers.models.bert", "datasets", "scipy.stats", "rich.console", "optuna"),
)
LONGEST = 600


@dataclass
class KillCount:
    """What came of the kills of one scenario.

    Attributes:
        kills: that met the command at work; others came after its end and are not counted.
        rounds: that were killed and then ran to their end, and were compared.
        stages: kills by the part of the work that they met.
        torn: files that a kill left neither old nor new.
        differences: what a round left otherwise than an undisturbed one, or why it did not end.
    """

    kills: int = 0
    rounds: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    torn: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """Everything that must not be."""
        return [*(f"torn: {name}" for name in self.torn), *self.differences]


def run_kills(scenario: Scenario, kills: int, seed: int = 0) -> KillCount:
    """Kills the scenario's command so many times, a few times in each round.

    Raises:
        AssertionError: an undisturbed command fails, or two of them differ.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(PRELOADED) if scenario.heavy else [])
    draw, count = random.Random(f"{scenario.name} {seed}"), KillCount()
    with tempfile.TemporaryDirectory(prefix="mmbert-kills-") as scratch:
        shared = Path(scratch) / "shared"
        shared.mkdir()
        called(scenario, "prepare", shared)
        whole, seconds = undisturbed(scenario, shared, Path(scratch) / "whole")
        again, _ = undisturbed(scenario, shared, Path(scratch) / "again")
        assert not different(whole, again), f"{scenario.name} gives other results every time: {different(whole, again)}"
        number = 0
        while count.kills < kills and number < 3 * kills:
            folder = Path(scratch) / f"round-{number}"
            one_round(scenario, shared, folder, draw, seconds, whole, count)
            if not count.faults:
                shutil.rmtree(folder)
            number += 1
    return count


def one_round(
    scenario: Scenario,
    shared: Path,
    folder: Path,
    draw: random.Random,
    seconds: tuple[float, float],
    whole: dict[str, Any],
    count: KillCount,
) -> None:
    """Kills the command up to ``most`` times in a folder, lets it end, and compares."""
    folder.mkdir()
    killed = 0
    for _ in range(draw.randint(1, scenario.most)):
        how = signal.SIGTERM if draw.random() < scenario.terms else signal.SIGKILL
        process = started(scenario, shared, folder)
        # most kills come while the command does its work, some while it starts
        before, work = seconds
        if draw.random() < 0.75:
            wait_until_begun(scenario, process, folder)
            process.join(draw.uniform(0, work))
        else:
            process.join(draw.uniform(0, before + work))
        if process.exitcode is None:
            killed += 1
            count.stages[scenario.stage(folder)] += 1
            os.kill(process.pid, how)
        process.join(LONGEST)
        if how == signal.SIGKILL:
            count.torn += called(scenario, "torn", shared, folder)
        if process.exitcode == 0:
            break
    count.kills += killed
    process = started(scenario, shared, folder)
    process.join(LONGEST)
    if process.exitcode != 0:
        count.differences.append(f"after {killed} kills it ends with {process.exitcode}:\n{output_of(folder)[-3000:]}")
        process.kill()
        return
    if killed:
        count.rounds += 1
        left = called(scenario, "left", shared, folder)
        count.differences += [f"after {killed} kills: {name}" for name in different(whole, left)]


def undisturbed(scenario: Scenario, shared: Path, folder: Path) -> tuple[dict[str, Any], tuple[float, float]]:
    """What the command leaves when nobody kills it, and the seconds until its work begins, and of its work."""
    folder.mkdir()
    began = time.monotonic()
    process = started(scenario, shared, folder)
    wait_until_begun(scenario, process, folder)
    at_work = time.monotonic()
    process.join(LONGEST)
    seconds = (at_work - began, time.monotonic() - at_work)
    assert process.exitcode == 0, output_of(folder)
    found: dict[str, Any] = called(scenario, "left", shared, folder)
    return found, seconds


def wait_until_begun(scenario: Scenario, process: Any, folder: Path) -> None:
    """Returns when the command is at its work, or has ended."""
    while not scenario.begun(folder) and process.exitcode is None:
        time.sleep(0.005)


def different(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Names of what is not the same, to the bit."""
    return [name for name in {**first, **second} if first.get(name) != second.get(name)]


def started(scenario: Scenario, shared: Path, folder: Path) -> Any:
    """The command in a process of its own, forked from one that has imported everything and computed nothing."""
    context = multiprocessing.get_context("forkserver")
    environment = {**os.environ, "MMBERT_HOME": str(folder / "home"), "HYDRA_FULL_ERROR": "0", "MMBERT_TRACEBACK": "0"}
    process = context.Process(target=perform, args=(scenario, shared, folder, environment))
    process.start()
    return process


def perform(scenario: Scenario, shared: Path, folder: Path, environment: dict[str, str]) -> None:
    """The command, its output in a file, in a folder of its own."""
    os.environ.update(environment)
    multiprocessing.set_start_method("fork", force=True)  # as it is in a command; a forkserver's children ask it
    log = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.chdir(folder)
    try:
        scenario.work(shared, folder)
    except SystemExit as leaving:
        sys.stdout.flush()
        os._exit(int(leaving.code or 0))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)


def output_of(folder: Path) -> str:
    """What the commands of a round have printed."""
    with contextlib.suppress(OSError):
        return folder.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
    return ""


def called(scenario: Scenario, method: str, *folders: Path) -> Any:
    """A method's result, computed in a process of its own, for the caller must not compute with torch."""
    context = multiprocessing.get_context("forkserver")
    answer = folders[-1].with_suffix(".answer")
    process = context.Process(target=answered_into, args=(scenario, method, folders, answer))
    process.start()
    process.join()
    assert process.exitcode == 0, f"{scenario.name}: {method} failed"
    return pickle.loads(answer.read_bytes())


def answered_into(scenario: Scenario, method: str, folders: Sequence[Path], answer: Path) -> None:
    """Leaves a method's result in a file."""
    answer.write_bytes(pickle.dumps(getattr(scenario, method)(*folders)))


def table_of_kills(counts: dict[str, KillCount]) -> str:
    """The counts as a Markdown table, with a last line of sums."""
    lines = ["| killed | kills | where | rounds compared | torn files | differences |", "|---|---:|---|---:|---:|---:|"]
    for name, one in counts.items():
        where = ", ".join(f"{number} {stage}" for stage, number in sorted(one.stages.items()))
        lines.append(f"| {name} | {one.kills} | {where} | {one.rounds} | {len(one.torn)} | {len(one.differences)} |")
    every = counts.values()
    torn, differences = sum(len(one.torn) for one in every), sum(len(one.differences) for one in every)
    kills, rounds = sum(one.kills for one in every), sum(one.rounds for one in every)
    lines.append(f"| **all** | {kills} | | {rounds} | {torn} | {differences} |")
    return "\n".join(lines) + "\n"
