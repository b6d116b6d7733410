"""A study that was killed runs again what is missing or failed alone; job.json knows the job and how to repeat it."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf, open_dict

from mmbert.runs import job
from mmbert.runs.folder import RunFolder

STUDY = """\
# @package _global_
study:
  name: mine
  axes: [fusion]
  baseline: {fusion: mean}
  metric: test/label/accuracy
hydra:
  sweep:
    dir: multirun/${study.name}
    subdir: ${hydra:runtime.choices.fusion}-seed${seed}
  sweeper:
    params:
      fusion: mean,concat
      seed: 0,1,2
"""
#: The third job ends its own process, as a kill would, when the file is there.
KILLER = """\
import os, signal
from pathlib import Path
from pytorch_lightning.callbacks import Callback


class Killer(Callback):
    def __init__(self, at):
        self.at = at

    def on_train_epoch_start(self, trainer, module):
        if Path("kill").exists() and str(Path(trainer.default_root_dir).name) == self.at and trainer.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""
JOBS = [f"{fusion}-seed{seed}" for fusion in ("mean", "concat") for seed in (0, 1, 2)]


@pytest.fixture
def study(here):
    """A folder with a study of six jobs in ``experiment/``."""
    (here / "experiment").mkdir()
    (here / "experiment" / "mine.yaml").write_text(STUDY)
    return here / "multirun" / "mine"


def written(study):
    """When each finished job wrote its numbers."""
    return {path.parent.name: path.stat().st_mtime_ns for path in study.glob("*/metrics.json")}


def words_of(base, *more):
    return [*(word for word in base if not word.startswith(("hydra.run.dir", "fusion=mean"))), *more]


@pytest.mark.slow
def test_after_a_kill_in_job_four_of_six_exactly_three_more_run(study, here, train, tiny_words):
    (here / "killing.py").write_text(KILLER)
    (here / "kill").touch()
    words = words_of(tiny_words, "trainer.max_epochs=2", "experiment=mine")
    words += ["+callbacks.killer._target_=killing.Killer", f"+callbacks.killer.at={JOBS[3]}"]
    command = [sys.executable, "-m", "mmbert.cli.train", "-m", *words]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL, done.stderr
    before = written(study)
    assert sorted(before) == sorted(JOBS[:3])
    assert (study / JOBS[3] / "checkpoints" / "last.ckpt").exists()
    (here / "kill").unlink()

    ended = train("-m", "study.resume=true", base=words)
    assert ended.code == 0, ended.err
    assert f"{study.relative_to(here)}: 3 of 6 jobs are done; 3 to run, 1 of them from a checkpoint" in ended.err
    after = written(study)
    assert sorted(after) == sorted(JOBS) and {name: after[name] for name in before} == before
    assert {path.name for path in study.iterdir() if path.is_dir()} == set(JOBS)

    # the killed one went on: its numbers are those of one that was not killed
    command = shlex.split(json.loads((study / JOBS[3] / "job.json").read_text())["command"])
    assert command[0] == "mmbert-train"
    assert train(*command[1:], "hydra.run.dir=alone", base=[]).code == 0
    numbers = [
        {key: value for key, value in json.loads((folder / "metrics.json").read_text()).items() if "/" in key}
        for folder in (study / JOBS[3], here / "alone")
    ]
    assert numbers[0] == numbers[1]
    assert job.read_job_hash(RunFolder(here / "alone")) == job.read_job_hash(RunFolder(study / JOBS[3]))

    again = train("-m", "study.resume=true", base=words)
    assert again.code == 0 and "6 of 6 jobs are done" in again.err
    assert written(study) == after


def test_a_failed_job_stops_no_other_and_is_run_again_when_resumed(study, here, train, tiny_words):
    words = words_of(tiny_words, "experiment=mine", "seed=0")
    (here / "experiment" / "mine.yaml").write_text(STUDY.replace("fusion: mean,concat", "fusion: broken,mean"))
    (here / "fusion").mkdir()
    (here / "fusion" / "broken.yaml").write_text("_target_: breaking.Broken\nout_dim: 8\n")
    head = "from mmbert.fusion.mean import MeanFusion\n\n\nclass Broken(MeanFusion):\n"
    (here / "breaking.py").write_text(
        head + "    def fuse(self, inputs):\n        return super().fuse(inputs)[:1, :3]\n"
    )
    ended = train("-m", "hydra.sweeper.max_batch_size=1", base=words)
    assert ended.code != 0 and "1 job of the sweep failed" in ended.err
    assert sorted(written(study)) == ["mean-seed0"]  # later batches ran
    assert (study / "broken-seed0" / "error.json").exists()
    before = written(study)

    sys.modules.pop("breaking")
    (here / "breaking.py").write_text(head + "    ...\n")
    os.utime(here / "breaking.py", (time.time() + 5, time.time() + 5))
    ended = train("-m", "study.resume=true", base=words)
    assert ended.code == 0, ended.err
    assert "1 of 2 jobs are done; 1 to run" in ended.err
    after = written(study)
    assert {name: after[name] for name in before} == before and len(after) == 2
    assert not (study / "broken-seed0" / "error.json").exists()
    sys.modules.pop("breaking")


@pytest.mark.slow
def test_jobs_are_known_by_their_config_wherever_they_lie(here, train, tiny_words):
    words = words_of(tiny_words, "hydra.sweep.dir=sweep", "fusion=mean")
    assert train("-m", "seed=0,1", base=words).code == 0
    before = written(here / "sweep")
    ended = train("-m", "study.resume=true", "seed=2,1,0", base=words)  # the numbers of the jobs are others now
    assert ended.code == 0 and "2 of 3 jobs are done; 1 to run" in ended.err
    after = written(here / "sweep")
    assert {name: after[name] for name in before} == before
    (new,) = set(after) - set(before)
    assert OmegaConf.load(here / "sweep" / new / "config.yaml").seed == 2


def test_two_jobs_never_share_a_folder(here, train, tiny_words):
    words = words_of(tiny_words, "hydra.sweep.dir=sweep", "hydra.sweep.subdir=seed${seed}", "fusion=mean")
    assert train("-m", "seed=0", "optimizer.lr=0.001,0.002", base=words).code == 0
    folders = sorted(path.parent for path in (here / "sweep").glob("*/metrics.json"))
    assert [folder.name.rpartition("-")[0] for folder in folders] == ["seed0", "seed0"]
    assert all(folder.name.endswith(job.read_job_hash(RunFolder(folder))[:8]) for folder in folders)


def test_the_hash_is_of_what_changes_numbers(compose_tiny):
    first = compose_tiny()
    same = ["data.num_workers=2", "logger=none", "study.name=x", "trainer.enable_progress_bar=false", "store.dir=x"]
    other = ["seed=1", "fusion=mean", "optimizer.lr=0.5", "callbacks.early_stopping.patience=9", "data.batch_size=8"]
    assert all(job.job_hash(compose_tiny(word)) == job.job_hash(first) for word in same)
    hashes = [job.job_hash(compose_tiny(word)) for word in other]
    assert len({*hashes, job.job_hash(first)}) == len(other) + 1
    resolved = OmegaConf.create(OmegaConf.to_container(first, resolve=True))
    with open_dict(resolved):
        resolved.pop("fusion")  # key order says nothing
        resolved.fusion = first.fusion
    assert job.job_hash(resolved) == job.job_hash(first)


def test_job_json_tells_the_command_without_what_belongs_to_the_sweep(tmp_path, compose_tiny):
    words = ["fusion=mean", "study.resume=true", "tasks.x.classes=[a, b]"]
    job.write_job(RunFolder(tmp_path), compose_tiny(), words, ["--config-dir", "my conf"])
    told = json.loads((tmp_path / "job.json").read_text())
    assert shlex.split(told["command"]) == ["mmbert-train", "--config-dir", "my conf", words[0], words[2]]
    assert told["overrides"] == [words[0], words[2]] and len(told["hash"]) == 16
    assert (
        job.read_job_hash(RunFolder(tmp_path)) == told["hash"] and job.read_job_hash(RunFolder(Path("nowhere"))) is None
    )
