"""Real processes, really killed: the run that is resumed ends as if nobody had touched it, to the bit."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mmbert.runs.files import write_config

OPTIONS = (
    "trainer.max_epochs=4",
    "data.batch_size=8",
    "data.num_workers=1",
    "checkpoint.every_minutes=0.0000001",
    "trainer.log_every_n_steps=1",
    "fusion.dropout=0.3",
    "callbacks.early_stopping.patience=9",
)
TWO = ("trainer.devices=2", "trainer.strategy=ddp_find_unused_parameters_true")
FROZEN = tuple(f"encoders.{name}.frozen=true" for name in ("text", "image", "audio"))
CASES = {
    "one process": (),
    "with augmentation": ("augment=standard", "augment.modality_dropout=0.2", "augment.text.mask=0.1"),
    "two processes": TWO,
    "with ogm_ge": ("fusion=mean", "fusion.dropout=0.3", "balance_modalities=ogm_ge"),
    "with differential privacy": (
        *("privacy=dp", "privacy.accountant=rdp", "privacy.epsilon=20", *FROZEN),
        *("tasks.answer.class_weights=null", "fusion=mean", "fusion.dropout=0.3"),
    ),
    "with gradient blending": ("fusion=mean", "fusion.dropout=0.3", "balance_modalities=gradient_blending"),
}

pytestmark = pytest.mark.slow


def started(folder):
    """The command, in a session of its own: the other processes of a distributed run must fall with it."""
    command = [sys.executable, "-m", "mmbert.cli.train", f"resume={folder}"]
    with (folder / "log.txt").open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finished(folder):
    process = started(folder)
    assert process.wait(timeout=300) == 0, (folder / "log.txt").read_text()


def prepared(folder, cfg):
    folder.mkdir()
    write_config(folder / "config.yaml", cfg)
    return folder


def wait_for_saves(process, checkpoint, count):
    """Returns once ``last.ckpt`` has been written so many times, or the process has ended."""
    seen, last = 0, None
    while process.poll() is None and seen < count:
        written = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
        seen, last = seen + (written is not None and written != last), written
        time.sleep(0.001)


@pytest.mark.parametrize("case", CASES)
def test_kill_9_at_random_moments(compose_tiny, what_is_left, tmp_path, case):
    cfg = compose_tiny(*OPTIONS, *CASES[case])
    finished(prepared(tmp_path / "whole", cfg))
    folder = prepared(tmp_path / "killed", cfg)
    draw = np.random.default_rng(len(case))
    checkpoint, in_training = folder / "checkpoints" / "last.ckpt", 0
    for _ in range(4):
        process = started(folder)
        wait_for_saves(process, checkpoint, int(draw.integers(0, 8)))
        time.sleep(float(draw.uniform(0, 0.2)))
        in_training += process.poll() is None and checkpoint.is_file()
        if process.poll() is None:
            kill(process)
    finished(folder)
    assert in_training, "no kill came between the first checkpoint and the end"
    expected, got = what_is_left(tmp_path / "whole"), what_is_left(folder)
    for part in expected:
        assert got[part] == expected[part], part
    spent = [json.loads((place / "metrics.json").read_text()).get("privacy") for place in (tmp_path / "whole", folder)]
    assert spent[0] == spent[1]
    assert (spent[0] is not None) is (case == "with differential privacy")


@pytest.mark.parametrize("case", ["one process", "two processes"])
def test_sigterm_saves_and_exits(compose_tiny, what_is_left, tmp_path, case):
    never = "checkpoint.every_minutes=60"
    cfg = compose_tiny(*OPTIONS, *CASES[case], never)
    finished(prepared(tmp_path / "whole", cfg))
    folder = prepared(tmp_path / "run", cfg)
    process = started(folder)
    while process.poll() is None and not (folder / "history.csv").is_file():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=120) == 143, (folder / "log.txt").read_text()
    assert (folder / "checkpoints" / "last.ckpt").is_file() and not (folder / "metrics.json").exists()
    finished(folder)
    expected, got = what_is_left(tmp_path / "whole"), what_is_left(folder)
    for part in expected:
        assert got[part] == expected[part], part


def test_sigterm_to_the_workers_too_ends_the_run_without_a_traceback(compose_tiny, what_is_left, tmp_path):
    """As schedulers and ``timeout`` send it: to every process of the job."""
    cfg = compose_tiny(*OPTIONS)
    finished(prepared(tmp_path / "whole", cfg))
    folder = prepared(tmp_path / "run", cfg)
    process = started(folder)
    wait_for_saves(process, folder / "checkpoints" / "last.ckpt", 2)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=120) == 143, (folder / "log.txt").read_text()
    log = (folder / "log.txt").read_text()
    assert "Traceback" not in log and "memory is full" not in log
    assert "asked to end" in json.loads((folder / "error.json").read_text())["message"]
    finished(folder)
    expected, got = what_is_left(tmp_path / "whole"), what_is_left(folder)
    for part in expected:
        assert got[part] == expected[part], part
