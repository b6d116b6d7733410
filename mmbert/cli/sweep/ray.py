"""A launcher that gives the jobs of a sweep to a Ray cluster, by the API that Ray has now.

Each job is a task that asks for CPUs and GPUs, also for fractions of them; Ray finds it a node and queues what does not
fit. A job whose process or node dies is started again with ``study.resume=true``, so that it goes on from its last
checkpoint, a few times at most. All nodes must see the folders that the jobs read and write.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, filter_overrides

from mmbert.cli.sweep.one_job import JobLauncher, first_line, run_here
from mmbert.core.errors import ConfigError, TrainingError

#: Variables of the environment that jobs get from whoever starts the sweep, by how their names begin.
PASSED_ON = ("MMBERT_", "WANDB_", "HF_", "TRANSFORMERS_", "MLFLOW_", "PYTHONHASHSEED")
#: Seconds within which a cluster must answer.
ANSWERS_WITHIN = 5.0


class RayLauncher(JobLauncher):
    """Hydra's ``hydra/launcher=ray``.

    Args:
        address: ``host:port`` of the cluster's head; None = RAY_ADDRESS, a cluster that runs on this machine, or this
            machine alone.
        cpus: of each job, fractions too.
        gpus: of each job, fractions too; None = 1 where the cluster has GPUs, else 0.
        memory_gib: of each job, as far as Ray counts it; None = not counted.
        retries: how often a job whose process or node died is started again.
        max_jobs: at once; None = as many as fit.
    """

    def __init__(
        self,
        address: str | None = None,
        cpus: float = 1,
        gpus: float | None = None,
        memory_gib: float | None = None,
        retries: int = 2,
        max_jobs: int | None = None,
    ) -> None:
        super().__init__()
        self.address, self.cpus, self.gpus, self.memory_gib = address, cpus, gpus, memory_gib
        self.retries, self.max_jobs = retries, max_jobs

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Runs the jobs; returns what became of each, in their order."""
        jobs = self.numbered(job_overrides, initial_job_idx)
        with connected(self.address) as ray:
            nodes = [node for node in ray.nodes() if node["Alive"]]
            wanted = self.resources(nodes)
            shown = ", ".join(f"{value:g} {name}" for name, value in wanted.items())
            print(f"{len(jobs)} jobs on {len(nodes)} Ray nodes, {shown} each", file=sys.stderr)
            done = self.run_all(ray, jobs, wanted)
        return [done[number] for number, _ in jobs]

    def resources(self, nodes: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """What each job asks for, in Ray's words.

        Raises:
            ConfigError: no node has as much.
        """
        gpus = self.gpus
        if gpus is None:
            gpus = float(any(node["Resources"].get("GPU", 0) >= 1 for node in nodes))
        wanted = {"CPU": float(self.cpus), "GPU": float(gpus)}
        if self.memory_gib is not None:
            wanted["memory"] = self.memory_gib * 2**30
        if not any(all(node["Resources"].get(key, 0) >= value for key, value in wanted.items()) for node in nodes):
            there = "; ".join(
                f"{node.get('NodeManagerAddress', '?')}: {node['Resources'].get('CPU', 0):g} CPU, "
                f"{node['Resources'].get('GPU', 0):g} GPU, {node['Resources'].get('memory', 0) / 2**30:.1f} GiB"
                for node in nodes
            )
            raise ConfigError(
                f"hydra.launcher.cpus={self.cpus:g} gpus={gpus:g} memory_gib={self.memory_gib}: no node of the cluster "
                f"has as much, and the jobs would wait for ever. Nodes: {there}."
            )
        return wanted

    def run_all(
        self, ray: Any, jobs: Sequence[tuple[int, list[str]]], wanted: Mapping[str, float]
    ) -> dict[int, JobReturn]:
        """Submits jobs until all have ended; those that died are submitted again."""
        assert self.config is not None and self.hydra_context is not None
        options = {"num_cpus": wanted["CPU"], "num_gpus": wanted["GPU"], "max_retries": 0}
        if "memory" in wanted:
            options["memory"] = int(wanted["memory"])
        task = ray.remote(run_on_node).options(**options)
        surroundings = (os.getcwd(), {key: value for key, value in os.environ.items() if key.startswith(PASSED_ON)})
        own = (self.hydra_context, self.config, self.task_function, Singleton.get_state())
        constant = ray.put((surroundings, own))
        waiting, done = [(number, words, 0) for number, words in jobs], dict[int, JobReturn]()
        running: dict[Any, tuple[int, list[str], int]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < (self.max_jobs or len(jobs)):
                    number, words, tried = waiting.pop(0)
                    print(f"job {number}: {' '.join(filter_overrides(words))}", file=sys.stderr)
                    again = ["study.resume=true"] if tried else []
                    running[task.remote(number, [*words, *again], constant)] = (number, words, tried)
                (ended,), _ = ray.wait(list(running), num_returns=1)
                number, words, tried = running.pop(ended)
                found = self.outcome(ray, ended, number, words, tried)
                if found is None:
                    waiting.insert(0, (number, words, tried + 1))
                else:
                    done[number] = found
        except BaseException:  # an interrupt ends the jobs too
            for reference in running:
                ray.cancel(reference, force=True)
            raise
        return done

    def outcome(self, ray: Any, reference: Any, number: int, words: list[str], tried: int) -> JobReturn | None:
        """What became of a job; None if it is to be started again."""
        assert self.config is not None and self.hydra_context is not None
        try:
            result: JobReturn = ray.get(reference)
            return result
        except ray.exceptions.RayTaskError as error:  # raised by what runs around the job: it would be raised again
            why = f"Ray could not run this job: {first_line(error.cause)}"
        except ray.exceptions.RayError as error:
            why = f"The process or the node of this job died: {type(error).__name__}: {first_line(error)}"
            if tried < self.retries:
                print(f"mmbert-train: job {number}: {why}. It is started again.", file=sys.stderr)
                return None
        return self.lost(number, words, why)


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected to a cluster; disconnected at the end, and a cluster that was begun here is ended.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigError("hydra/launcher=ray needs Ray: pip install 'mmbert[ray]'") from error
    named = address or os.environ.get("RAY_ADDRESS")
    if named:
        check_answers(named)
    try:
        ray.init(
            address=named, logging_level=logging.WARNING, log_to_driver=True, include_dashboard=None if named else False
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"hydra.launcher.address={named}: no Ray cluster can be joined there ({first_line(error)}). Start one with "
            "'ray start --head', or leave the address null for this machine alone."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def check_answers(address: str) -> None:
    """Refuses an address at which nobody listens, at once: Ray would try for a long time.

    Raises:
        ConfigError: names the address.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address in ("auto", "local"):
        return
    try:
        if not port.isdecimal():
            raise OSError("it is not of the form host:port")
        socket.create_connection((host.strip("[]"), int(port)), ANSWERS_WITHIN).close()
    except OSError as error:
        raise ConfigError(
            f"hydra.launcher.address={address}: no Ray cluster answers there ({error}). Start one with "
            "'ray start --head', or leave the address null for this machine alone."
        ) from error


def run_on_node(number: int, words: list[str], constant: tuple[Any, Any]) -> JobReturn:
    """One job, in a process of Ray's on some node.

    Raises:
        TrainingError: the node does not see the folder of whoever started the sweep.
    """
    (folder, environment), (context, config, task_function, state) = constant
    os.environ.update(environment)
    try:
        os.chdir(folder)
    except OSError as error:
        raise TrainingError(
            f"{socket.gethostname()} has no folder {folder}: a sweep must be started in a folder that all nodes share"
        ) from error
    if folder not in sys.path:
        sys.path.append(folder)
    return run_here(number, words, context, config, task_function, state)
