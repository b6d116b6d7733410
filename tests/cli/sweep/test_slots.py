"""Sweeps through other launchers: slots of this machine, joblib and submitit."""

import json
import os
from pathlib import Path

import pytest

from mmbert.cli.sweep.slots import LOKY_RESTART_WARNING, Slot, make_slots, new_process, visible_gpus
from mmbert.core.errors import ConfigError
from spied_sweeps import error, finished

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


def build_a_small_set(folder):
    from mmbert.cli.app import reset_start_method
    from mmbert.data.digits.build import TalkingDigitsOptions, build_talking_digits

    reset_start_method()
    return build_talking_digits(
        folder, TalkingDigitsOptions(train=4, val=2, test=2, test_missing=2, train_voices=1, test_voices=1)
    )


def test_a_job_in_a_slot_can_start_processes_of_its_own(tmp_path):
    # as the first job of a study does, which finds no demo set
    executor = new_process(Slot("core 0", tuple(CORES[:1]), None))
    try:
        manifest = executor.submit(build_a_small_set, tmp_path / "set").result()
    finally:
        executor.shutdown(kill_workers=True)
    assert len(manifest.read_text().splitlines()) == 11


def test_the_warning_that_is_not_shown_is_one_that_loky_has():
    from joblib.externals.loky import process_executor

    assert LOKY_RESTART_WARNING in Path(process_executor.__file__).read_text()


@pytest.mark.slow
def test_jobs_have_cores_and_threads_of_their_own_and_a_dead_or_failed_one_stops_no_other(sweep, here):
    (here / "fail").write_text("1")
    (here / "die").write_text("2")
    ended, seen = sweep("hydra/launcher=slots", "hydra.launcher.gpus=[]", "seed=0,1,2,3,4")
    assert ended.code == 1 and "2 jobs of the sweep failed" in ended.err, ended.err
    assert finished(here) == ["0", "3", "4"]
    assert error(here, "1")["message"] == "broken on purpose"
    assert "The process of this job died on core" in error(here, "2")["message"]
    assert {tuple(what["cores"]) for what in seen.values()} <= {(core,) for core in CORES}
    assert {what["threads"] for what in seen.values()} == {1}
    if len(CORES) > 1:
        assert len({what["cores"][0] for what in seen.values()}) == 2 or len(CORES) > 2
    for one in (what for what in seen.values() if "ended" in what):  # one job at a time in a slot
        for other in (what for what in seen.values() if what["cores"] == one["cores"] and what is not one):
            assert other["began"] >= one["ended"] or other["began"] <= one["began"]

    (here / "fail").unlink()
    (here / "die").unlink()
    again, seen = sweep("hydra/launcher=slots", "hydra.launcher.gpus=[]", "seed=0,1,2,3,4", "study.resume=true")
    assert again.code == 0, again.err
    assert "3 of 5 jobs are done; 2 to run" in again.err
    assert finished(here) == ["0", "1", "2", "3", "4"]


@pytest.mark.slow
def test_each_job_sees_one_gpu_and_a_process_serves_many_jobs(sweep, here):
    ended, seen = sweep("hydra/launcher=slots", "hydra.launcher.gpus=[5,7]", "hydra.launcher.cores=1", "seed=0,1,2,3")
    assert ended.code == 0, ended.err
    assert "4 jobs on GPU 5, GPU 7" in ended.err
    assert len(finished(here)) == 4
    assert {what["gpu"] for what in seen.values()} == {"5", "7"}
    for gpu in ("5", "7"):
        assert len({what["pid"] for what in seen.values() if what["gpu"] == gpu}) == 1


def test_a_machine_is_divided(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert make_slots(["0", "1"], None, None, 9) == [
        Slot("GPU 0", (0, 1, 2, 3), "0"),
        Slot("GPU 1", (4, 5, 6, 7), "1"),
    ]
    assert [slot.cores for slot in make_slots([], 3, None, 9)] == [(0, 1, 2), (3, 4, 5)]
    assert len(make_slots([], None, None, 9)) == 8 and len(make_slots([], None, None, 3)) == 3
    assert len(make_slots([], None, 2, 9)) == 2
    shared = [slot.cores for slot in make_slots(["a", "b", "c"], 4, None, 9)]
    assert shared == [(0, 1, 2, 3), (4, 5, 6, 7), (0, 1, 2, 3)]
    assert make_slots(["3"], 2, None, 1)[0].environment() == {
        "MMBERT_SLOT": "GPU 3",
        "CUDA_VISIBLE_DEVICES": "3",
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "2"),
    }
    with pytest.raises(ConfigError, match="this machine lends 8"):
        make_slots([], 9, None, 1)


def test_visible_gpus_are_those_of_the_environment(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5")
    assert visible_gpus() == ["2", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "more"),
    [
        ("joblib", ["hydra.launcher.n_jobs=2"]),
        ("submitit_local", ["hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=10"]),
    ],
)
def test_a_launcher_runs_a_study_and_a_failed_job_stops_no_other(sweep, here, launcher, more):
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.split('_')[0]}_launcher")
    (here / "fail").write_text("1")
    ended, seen = sweep(f"hydra/launcher={launcher}", *more, "seed=0,1,2")
    assert ended.code == 1, ended.err
    assert "1 job of the sweep failed" in ended.err
    assert finished(here) == ["0", "2"] and sorted(seen) == ["0", "1", "2"]
    assert error(here, "1")["message"] == "broken on purpose"
    assert os.getpid() not in {what["pid"] for what in seen.values()}
    assert json.loads((here / "sweep" / "0" / "job.json").read_text())["hash"]


@pytest.mark.slow
def test_a_job_that_submitit_puts_back_into_the_queue_goes_on_from_the_step_it_was_at(sweep, here):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    (here / "requeue").write_text("1")
    submitit = ("hydra/launcher=submitit_local", "hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=10")
    ended, seen = sweep(*submitit, "seed=0,1", "trainer.max_epochs=3")
    assert ended.code == 0, ended.err
    assert finished(here) == ["0", "1"] and not (here / "requeue").exists()
    assert (here / "sweep" / "1" / "requeued").read_text() == "3"
    assert seen["1"]["step"] == 4 and seen["0"]["step"] == 0  # the step during which the signal came is whole
    assert not (here / "sweep" / "1" / "error.json").exists()
