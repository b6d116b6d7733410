"""A run of two processes that is killed in mid-epoch goes on with one, or with four, and ends with the same numbers.

Steps have the same samples and losses count each labelled sample once, so that weights differ by rounding alone, which
training makes larger with every step: the tolerance is for a dozen steps. Nothing random is in the network.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pyarrow.parquet as pq
import pytest
import yaml

from killed_runs import killed_in_mid_epoch, started
from mmbert.runs.files import write_config

pytestmark = pytest.mark.slow

OPTIONS = (
    *("trainer.max_epochs=2", "data.batch_size=8", "data.num_workers=0", "checkpoint.every_minutes=0.0000001"),
    *("fusion=mean", "fusion.dropout=0", "callbacks.early_stopping.patience=9", "logger=csv", "optimizer.lr=1e-3"),
    *("trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp_find_unused_parameters_true"),
    *(f"encoders.{name}.frozen=true" for name in ("text", "image", "audio")),
    *(f"tasks.{name}.dropout=0" for name in ("answer", "seen", "heard", "operation", "properties", "value")),
)


def numbers(folder):
    found = json.loads((folder / "metrics.json").read_text())
    return {name: value for name, value in found.items() if "/" in name and isinstance(value, float)}


@pytest.fixture(scope="module")
def whole(compose_tiny, tmp_path_factory):
    """The run of two processes that nobody kills."""
    folder = tmp_path_factory.mktemp("whole")
    write_config(folder / "config.yaml", compose_tiny(*OPTIONS))
    process = started(folder)
    assert process.wait(timeout=300) == 0, (folder / "log.txt").read_text()
    return folder


@pytest.mark.parametrize("count", [1, 4])
def test_it_goes_on_with_another_number(compose_tiny, whole, tmp_path, count):
    write_config(tmp_path / "config.yaml", compose_tiny(*OPTIONS))
    seen, epoch = killed_in_mid_epoch(tmp_path)
    process = started(tmp_path, f"trainer.devices={count}")
    assert process.wait(timeout=300) == 0, (tmp_path / "log.txt").read_text()
    expected, got = numbers(whole), numbers(tmp_path)
    assert expected.keys() == got.keys() and len(got) > 8
    for name in (name for name in expected if name.endswith("/loss")):
        assert got[name] == pytest.approx(expected[name], rel=1e-4), (name, seen, epoch)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert (config["trainer"]["devices"], config["data"]["batch_size"]) == (2, 8)  # what its steps are made of
    one, other = (pq.read_table(folder / "predictions" / "test.parquet") for folder in (whole, tmp_path))
    assert one["row"] == other["row"]


def test_a_number_that_cannot_share_a_step_is_refused(compose_tiny, tmp_path):
    write_config(tmp_path / "config.yaml", compose_tiny(*OPTIONS))
    killed_in_mid_epoch(tmp_path)
    process = started(tmp_path, "trainer.devices=3")
    assert process.wait(timeout=300) == 2
    message = (tmp_path / "log.txt").read_text()
    assert "had 2 processes with batches of 8: 3 cannot share 16 samples a step" in message
    assert "1, 2, 4, 8, 16" in message and "Traceback" not in message


def pids_of_rank(rank, folder):
    """The processes of a rank of the run in a folder, with which its loader's would end."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        with contextlib.suppress(psutil.Error, OSError):
            if any(str(folder) in word for word in process.info["cmdline"] or ()):
                environment = process.environ()
                if environment.get("RANK", environment.get("LOCAL_RANK", "0")) == str(rank):
                    found.append(process)
    return [process for process in found if "torch.distributed.run" not in " ".join(process.info["cmdline"])]


LAUNCHERS = {
    "Lightning": ["-m", "mmbert.cli.train"],
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "mmbert.cli.train"],
}


@pytest.mark.parametrize("dies", [0, 1])
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_when_a_process_dies_the_others_say_so_and_how_to_go_on(compose_tiny, tmp_path, launcher, dies):
    write_config(tmp_path / "config.yaml", compose_tiny(*OPTIONS, "trainer.max_epochs=1000"))
    command = [sys.executable, *LAUNCHERS[launcher], f"resume={tmp_path}"]
    with (tmp_path / "log.txt").open("a") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment)
    try:
        while process.poll() is None and not (tmp_path / "checkpoints" / "last.ckpt").is_file():
            time.sleep(0.05)
        other = pids_of_rank(1 - dies, tmp_path)
        for victim in pids_of_rank(dies, tmp_path):
            with contextlib.suppress(psutil.Error):
                victim.kill()
        assert process.wait(timeout=90) != 0
        psutil.wait_procs(other, timeout=60)
        assert not any(each.is_running() for each in other)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    log = (tmp_path / "log.txt").read_text()
    assert "of this run has" in log and f"Go on with: mmbert-train resume={tmp_path}" in log, log
    assert "memory is full" not in log and "fault in the program" not in log
