"""Sweeps on a Ray cluster: two nodes on loopback, a job whose process dies goes on, and clusters that are not there."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmbert.cli.sweep.ray import RayLauncher, check_answers
from mmbert.core.errors import ConfigError
from spied_sweeps import error, finished

COVERS = ("one_job",)
NODES = [
    {"NodeManagerAddress": "10.0.0.1", "Resources": {"CPU": 8.0, "memory": 16.0 * 2**30}},
    {"NodeManagerAddress": "10.0.0.2", "Resources": {"CPU": 2.0, "GPU": 2.0, "memory": 8.0 * 2**30}},
]


def test_a_job_asks_for_what_some_node_has():
    assert RayLauncher(cpus=8, gpus=0).resources(NODES) == {"CPU": 8.0, "GPU": 0.0}
    assert RayLauncher().resources(NODES) == {"CPU": 1.0, "GPU": 1.0}  # the cluster has GPUs
    assert RayLauncher().resources(NODES[:1]) == {"CPU": 1.0, "GPU": 0.0}
    assert RayLauncher(cpus=0.5, gpus=0.25, memory_gib=4).resources(NODES)["memory"] == 4 * 2**30
    for options in ({"cpus": 9, "gpus": 0}, {"cpus": 8, "gpus": 1}, {"memory_gib": 17, "gpus": 0}, {"gpus": 3}):
        with pytest.raises(
            ConfigError, match=r"no node of the cluster has as much.*10\.0\.0\.2: 2 CPU, 2 GPU, 8\.0 GiB"
        ):
            RayLauncher(**options).resources(NODES)


def test_a_cluster_that_is_not_there_is_told_at_once():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    began = time.monotonic()
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", "nowhere"):
        with pytest.raises(
            ConfigError, match=f"hydra.launcher.address={address}: no Ray cluster answers.*ray start --head"
        ):
            check_answers(address)
    assert time.monotonic() - began < 5


def test_the_command_says_so_too(sweep, monkeypatch):
    ended, _ = sweep("hydra/launcher=ray", "hydra.launcher.address=127.0.0.1:1", "seed=0,1")
    assert ended.code == 2 and "no Ray cluster answers there" in ended.err and "Traceback" not in ended.err
    monkeypatch.setitem(sys.modules, "ray", None)
    ended, _ = sweep("hydra/launcher=ray", "seed=0,1", "hydra.sweep.dir=other")
    assert ended.code == 2 and "pip install 'mmbert[ray]'" in ended.err


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a head and a second node, of one CPU each."""
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder, place = tmp_path_factory.mktemp("ray"), str(Path(sys.executable).parent / "ray")
    common = [
        "--num-cpus=1",
        "--num-gpus=0",
        "--object-store-memory=100000000",
        "--block",
        "--disable-usage-stats",
        "--node-ip-address=127.0.0.1",
    ]
    head = [
        place,
        "start",
        "--head",
        f"--port={port}",
        "--node-ip-address=127.0.0.1",
        "--include-dashboard=false",
        *common,
    ]
    other = [place, "start", f"--address=127.0.0.1:{port}", *common]
    nodes = []
    try:
        for words in (head, other):
            log = (folder / f"{len(nodes)}.log").open("w")
            environment = {
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[3]),
                "RAY_raylet_start_wait_time_s": "120",
            }
            nodes.append(subprocess.Popen(words, stdout=log, stderr=log, env=environment, cwd=folder))
            until = time.monotonic() + 120
            while "Ray runtime started" not in (folder / f"{len(nodes) - 1}.log").read_text():
                assert time.monotonic() < until and nodes[-1].poll() is None, Path(log.name).read_text()
                time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        for node in reversed(nodes):
            node.send_signal(signal.SIGTERM)
        for node in nodes:
            try:
                node.wait(30)
            except subprocess.TimeoutExpired:
                node.kill()


@pytest.mark.slow
def test_jobs_run_on_both_nodes_and_one_that_dies_goes_on_from_its_checkpoint(sweep, here, cluster):
    (here / "die_once").write_text("2")
    (here / "fail").write_text("1")
    words = ["hydra/launcher=ray", f"hydra.launcher.address={cluster}", "trainer.max_epochs=2"]
    ended, seen = sweep(*words, "seed=0,1,2,3")
    assert ended.code == 1 and "1 job of the sweep failed" in ended.err, ended.err
    assert "4 jobs on 2 Ray nodes, 1 CPU, 0 GPU each" in ended.err
    assert "job 2: The process or the node of this job died" in ended.err and "It is started again" in ended.err
    assert finished(here) == ["0", "2", "3"] and error(here, "1")["message"] == "broken on purpose"
    assert seen["2"]["epoch"] == 1 and seen["0"]["epoch"] == 0  # from the checkpoint after the first
    assert {what["threads"] for what in seen.values()} == {1}
    assert os.getpid() not in {what["pid"] for what in seen.values()}
    assert seen["0"]["pid"] != seen["1"]["pid"]  # two at a time, on two nodes
    (here / "fail").unlink()
    again, _ = sweep(*words, "seed=0,1,2,3", "study.resume=true")
    assert again.code == 0 and "3 of 4 jobs are done; 1 to run" in again.err
    assert finished(here) == ["0", "1", "2", "3"]


@pytest.mark.slow
def test_a_job_that_dies_every_time_has_failed(sweep, here, cluster):
    (here / "die").write_text("0")
    words = ["hydra/launcher=ray", f"hydra.launcher.address={cluster}", "hydra.launcher.retries=1"]
    ended, _ = sweep(*words, "seed=0,1")
    assert ended.code == 2 and ended.err.count("It is started again") == 1
    assert finished(here) == ["1"] and "died" in error(here, "0")["message"]
