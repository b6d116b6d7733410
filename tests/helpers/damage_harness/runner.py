"""Runs the reader of damaged files in forked processes with limits, and says how each case ended."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import pkgutil
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from damage_harness import subjects
from damage_harness.subject import Lost, Subject

#: How a case may end: the first two are right, all others are faults.
GOOD = ("success", "error")
FAULTS = ("traceback", "hang", "nonsense", "memory", "lost")
#: Memory that a case may take beyond what its process had before.
MEMORY_LIMIT = 2 * 2**30
#: Address space beyond that: what is asked for above it is refused at once.
ADDRESS_LIMIT = 6 * 2**30
LONGEST_MESSAGE = 4000


@dataclass(frozen=True)
class Outcome:
    """How one damaged input ended.

    Attributes:
        subject: name of the kind of file.
        seed: that the damage was drawn from.
        what: was done.
        kind: one of GOOD or FAULTS.
        detail: the message, the traceback, or why the result is nonsense.
    """

    subject: str
    seed: int
    what: str
    kind: str
    detail: str

    @property
    def is_fault(self) -> bool:
        """Whether it ended otherwise than it should."""
        return self.kind in FAULTS

    def __str__(self) -> str:
        return f"{self.subject}, seed {self.seed} ({self.what}): {self.kind}\n{self.detail}"


def all_subjects() -> list[Subject]:
    """One subject of each class in ``subjects/``, by name."""
    found = []
    for info in pkgutil.iter_modules(subjects.__path__):
        module = importlib.import_module(f"damage_harness.subjects.{info.name}")
        classes = [value for value in vars(module).values() if isinstance(value, type)]
        found += [
            one() for one in classes if issubclass(one, Subject) and one.__module__ == module.__name__ and one.name
        ]
    return sorted(found, key=lambda subject: subject.name)


def run_cases(subject: Subject, seeds: Sequence[int]) -> list[Outcome]:
    """Damages the subject's files once for each seed and runs its reader.

    Raises:
        AssertionError: the reader does not succeed with the whole files.
    """
    for module in subject.imports:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory(prefix="mmbert-damage-") as scratch:
        worker = Worker(subject, Path(scratch))
        try:
            whole = worker.begin()
            assert whole.kind == "success", whole
            return [worker.case(seed) for seed in seeds]
        finally:
            worker.end()


class Worker:
    """A forked process that runs cases one after the other; one that hangs or dies is replaced.

    Args:
        subject: what it runs.
        scratch: a folder of its own.
    """

    def __init__(self, subject: Subject, scratch: Path) -> None:
        self.subject, self.scratch = subject, scratch
        self.process: Any = None
        self.pipe: Any = None

    def begin(self) -> Outcome:
        """Makes the whole files and reads them."""
        return self._ask(None, 20 * self.subject.seconds)

    def case(self, seed: int) -> Outcome:
        """How the case of a seed ends."""
        return self._ask(seed, self.subject.seconds)

    def end(self) -> None:
        """Ends the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None

    def _ask(self, seed: int | None, seconds: float) -> Outcome:
        if self.process is None:
            context = multiprocessing.get_context("fork")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=serve, args=(self.subject, self.scratch, theirs), daemon=True)
            self.process.start()
            theirs.close()
        self.pipe.send(seed)
        name = self.subject.name
        if not self.pipe.poll(seconds):
            self.end()
            return Outcome(name, seed or 0, self._noted(), "hang", f"no answer within {seconds:g} seconds")
        try:
            outcome: Outcome = self.pipe.recv()
            return outcome
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            self.process = None
            return Outcome(name, seed or 0, self._noted(), "traceback", f"the process ended with exit code {code}")

    def _noted(self) -> str:
        with contextlib.suppress(OSError):
            return (self.scratch / "what").read_text(encoding="utf-8")
        return ""


def serve(subject: Subject, scratch: Path, pipe: Any) -> None:
    """The worker's process: None makes and reads the whole files, a number is the seed of a case."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # it ends with its parent, but may have loader workers, as a command that is typed has
    multiprocessing.current_process()._config["daemon"] = False
    output = os.open(scratch / "output", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    whole, kept = scratch / "whole", scratch / "whole.pickle"
    address = memory("VmSize") + ADDRESS_LIMIT
    while True:
        seed = pipe.recv()
        if seed is None:
            whole.mkdir()
            try:
                subject.make(whole)
            except BaseException:
                pipe.send(Outcome(subject.name, 0, "made", "traceback", traceback.format_exc()))
                return
        resource.setrlimit(resource.RLIMIT_AS, (address, resource.RLIM_INFINITY))
        try:
            pipe.send(run_case(subject, scratch, seed, whole, kept, output))
        except Exception:
            pipe.send(Outcome(subject.name, seed or 0, "in the harness itself", "traceback", traceback.format_exc()))
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def run_case(subject: Subject, scratch: Path, seed: int | None, whole: Path, kept: Path, output: int) -> Outcome:
    """Damages a copy of the whole files, reads it, and judges what came of it."""
    import pickle

    folder = scratch / "case"
    shutil.rmtree(folder, ignore_errors=True)
    subject.copy(whole, folder)
    what = "nothing" if seed is None else subject.damage(random.Random(f"{subject.name} {seed}"), folder)
    (scratch / "what").write_text(what, encoding="utf-8", errors="replace")
    seed_everything()
    os.ftruncate(output, 0)
    before = reset_peak()
    kind, detail, found = judged(subject, folder)
    if seed is None and kind == "success":
        kept.write_bytes(pickle.dumps(found))
    elif kind == "success":
        detail = subject.wrong(found, pickle.loads(kept.read_bytes()), what)
        kind = "nonsense" if detail else "success"
    printed = os.pread(output, 10_000, 0).decode("utf-8", "replace")
    if kind in GOOD and "Traceback (most recent call last)" in printed:
        kind, detail = "traceback", printed
    peak = memory("VmHWM") - before
    if kind in GOOD and peak > MEMORY_LIMIT:
        kind, detail = "memory", f"{peak / 2**30:.1f} GiB"
    return Outcome(subject.name, seed or 0, what, kind, detail)


def judged(subject: Subject, folder: Path) -> tuple[str, str, Any]:
    """How the reader ended, what it said, and what it found."""
    from mmbert.core.errors import MmbertError

    try:
        return "success", "", subject.use(folder)
    except MmbertError as error:
        message = str(error)
        if subject.names_files and str(folder) not in message:
            return "nonsense", f"an error that names no file: {message}", None
        if len(message) > LONGEST_MESSAGE or not message.strip() or "Traceback" in message:
            return "nonsense", f"a message of {len(message)} characters: {message[:2000]}", None
        return "error", message, None
    except Lost as lost:
        return "lost", str(lost), None
    except MemoryError:
        return "memory", traceback.format_exc(), None
    except BaseException:
        return "traceback", traceback.format_exc(), None


def seed_everything() -> None:
    """The same random numbers in every case."""
    random.seed(0)
    if "numpy" in sys.modules:  # one that is not imported is not used
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def memory(which: str) -> int:
    """Bytes of this process: VmSize, VmRSS, or the peak VmHWM."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(f"{which}:"))


def reset_peak() -> int:
    """Begins a new peak of memory; returns what the process has now."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as refs:
        refs.write("5")
    return memory("VmHWM")


def counts(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """Number of inputs and of each kind of outcome, by subject."""
    table: dict[str, dict[str, int]] = {}
    for outcome in outcomes:
        line = table.setdefault(outcome.subject, {"inputs": 0, **dict.fromkeys((*GOOD, *FAULTS), 0)})
        line["inputs"] += 1
        line[outcome.kind] += 1
    return table


def markdown(table: dict[str, dict[str, int]]) -> str:
    """The counts as a Markdown table, with a last line of sums."""
    heads = ("inputs", *GOOD, *FAULTS)
    sums = Counter[str]()
    lines = ["| damaged | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for name, line in sorted(table.items()):
        sums.update(line)
        lines.append(f"| {name} | " + " | ".join(f"{line[head]:,}" for head in heads) + " |")
    lines.append("| **all** | " + " | ".join(f"{sums[head]:,}" for head in heads) + " |")
    return "\n".join(lines) + "\n"


def faults(outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
    """Those that ended otherwise than they should."""
    return (outcome for outcome in outcomes if outcome.is_fault)
