"""What must not change a number: loader workers, company in a sweep, a second go, and the count of processes."""

import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow

EPOCHS = 2


@pytest.fixture(scope="module")
def words(digits):
    """A small run with every modality and something random in it, as typed."""
    numbers = "[" + ",".join(map(str, range(13))) + "]"
    return [
        *("data=manifest", f"data.path={digits}", "+task@tasks.heard=classification", "tasks.heard.column=heard"),
        *(f"tasks.heard.classes={numbers}", "text=tiny", "image=tiny", "audio=tiny", "augment=standard"),
        *(f"trainer.max_epochs={EPOCHS}", "data.batch_size=8", "fusion.dropout=0.2", "fusion.out_dim=16"),
        "+data.splits.test_missing=test_missing",
    ]


@pytest.fixture(scope="module")
def mmbert(tmp_path_factory):
    """``mmbert(command, *words)``: the output of a command, in a folder of the module's own, ``mmbert.folder``."""

    def run(command, *given):
        program = [sys.executable, "-m", f"mmbert.cli.{command}", *given]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
        done = subprocess.run(program, cwd=run.folder, env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    run.folder = tmp_path_factory.mktemp("here")
    return run


@pytest.fixture(scope="module")
def alone(mmbert, words):
    """The folder of the run that the others are compared with."""
    mmbert("train", *words, "trainer=cpu", "logger=csv", "data.num_workers=0", "hydra.run.dir=alone")
    return mmbert.folder / "alone"


@pytest.mark.parametrize("workers", [0, 4])
def test_a_second_go_and_loader_workers_change_nothing(mmbert, words, alone, what_is_left, workers):
    name = f"workers{workers}"
    mmbert("train", *words, "trainer=cpu", "logger=csv", f"data.num_workers={workers}", f"hydra.run.dir={name}")
    assert what_is_left(mmbert.folder / name) == what_is_left(alone)


def test_a_job_of_a_sweep_is_the_run_alone(mmbert, words, alone, what_is_left):
    sweep = ("seed=1,0", "hydra.sweep.dir=sweep", "data.num_workers=0")
    mmbert("train", "-m", *words, "trainer=cpu", "logger=csv", *sweep)
    assert what_is_left(mmbert.folder / "sweep" / "1") == what_is_left(alone)
    assert what_is_left(mmbert.folder / "sweep" / "0") != what_is_left(alone)


def test_two_processes_measure_what_one_measures(mmbert, alone):
    """Test splits of 17 and 12 samples in batches of 8: one process gets a batch more than the other."""
    for trainer in ("cpu", "ddp_cpu"):
        given = (f"model={alone}", "split=test,test_missing,val", f"trainer={trainer}", f"out=judged_{trainer}")
        mmbert("evaluate", *given, "data.eval_batch_size=8")
    one, two = (mmbert.folder / f"judged_{trainer}" for trainer in ("cpu", "ddp_cpu"))
    single, double = (json.loads((folder / "evaluation.json").read_text()) for folder in (one, two))
    names = [name for name in single if name.count("/") == 2]
    assert len(names) >= 12 and {name for name in double if name.count("/") == 2} == set(names)
    for name in names:
        assert double[name] == pytest.approx(single[name], abs=1e-6), name
    for split, rows in (("test", 17), ("test_missing", 12), ("val", 16)):
        tables = [pq.read_table(folder / "predictions" / f"{split}.parquet") for folder in (one, two)]
        assert [len(table) for table in tables] == [rows, rows]
        assert tables[0]["row"] == tables[1]["row"]
        assert tables[0]["heard/prediction"] == tables[1]["heard/prediction"]


def test_a_sweep_with_two_processes_leaves_each_job_once(mmbert, words):
    """Rank 1 is started by Lightning with the first one's words: it must neither sweep nor write nor track."""
    sweep = ("fusion=mean,concat", "hydra.sweep.dir=pairs", "data.num_workers=0", "logger=wandb")
    said = mmbert("train", "-m", *words, "trainer=ddp_cpu", *sweep)
    folder = mmbert.folder / "pairs"
    jobs = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert jobs == ["0", "1"]
    assert said.count("Test metrics of the checkpoint") == 2
    for job, fusion in (("0", "MeanFusion"), ("1", "ConcatFusion")):
        assert len(list((folder / job / "wandb").glob("offline-run-*"))) == 1
        metrics = json.loads((folder / job / "metrics.json").read_text())
        assert "test/heard/accuracy" in metrics
        history = (folder / job / "history.csv").read_text().splitlines()
        epochs = [
            line for line in history if line.split(",")[history[0].split(",").index("val/loss")] not in ("", "val/loss")
        ]
        assert len(epochs) == EPOCHS  # the chosen checkpoint is measured on test alone at the end
        assert fusion in json.dumps(json.loads((folder / job / "model" / "config.json").read_text()))
        assert len(pq.read_table(folder / job / "predictions" / "test.parquet")) == 17
    known = {"alone", "workers0", "workers4", "sweep", "pairs", "judged_cpu", "judged_ddp_cpu"}
    assert {path.name for path in mmbert.folder.iterdir()} <= known


@pytest.fixture(scope="module")
def pair(mmbert, words):
    """What two processes get that Lightning started itself."""
    mmbert("train", *words, *DISTRIBUTED, "hydra.run.dir=lightning")
    return numbers(mmbert.folder / "lightning")


DISTRIBUTED = ("trainer=ddp_cpu", "logger=csv", "data.num_workers=0")


def numbers(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if "/" in name}


def test_torchrun_starts_the_same_run(mmbert, words, pair):
    """As on several machines: the launcher starts every process, each with all the words."""
    program = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "mmbert.cli.train"]
    given = (*words, *DISTRIBUTED, "hydra.run.dir=torchrun")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *program, *given]
    done = subprocess.run(command, cwd=mmbert.folder, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Test metrics of the checkpoint") == 1
    assert numbers(mmbert.folder / "torchrun") == pair


def test_slurm_starts_the_same_run(mmbert, words, pair):
    """What srun leaves in the environment of its tasks, without SLURM itself."""
    job = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}
    job |= {"SLURM_NNODES": "1", "SLURM_NODELIST": "localhost", "SLURM_NODEID": "0", "MASTER_ADDR": "127.0.0.1"}
    command = [sys.executable, "-m", "mmbert.cli.train", *words, *DISTRIBUTED, "hydra.run.dir=slurm"]
    tasks = []
    for rank in ("0", "1"):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **job, "SLURM_PROCID": rank, "SLURM_LOCALID": rank}
        pipe = subprocess.PIPE
        tasks.append(subprocess.Popen(command, cwd=mmbert.folder, env=environment, stdout=pipe, stderr=pipe, text=True))
    said = [task.communicate(timeout=400) for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    assert [out.count("Test metrics of the checkpoint") for out, _ in said] == [1, 0]
    assert numbers(mmbert.folder / "slurm") == pair
