"""Bad input, 4 of 4: folders and machines. What was computed stays, and the message says how to go on."""

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from omegaconf import OmegaConf

COVERS = ("train",)

#: A fusion that fails at the third step, which is the first of the second epoch.
FAILING = """
import numpy as np
import torch
from mmbert.fusion.mean import MeanFusion


class FailingFusion(MeanFusion):
    def __init__(self, dims, out_dim, how, normalize=True, dropout=0.0):
        super().__init__(dims, out_dim, normalize, dropout)
        self.how, self.steps = how, 0

    def fuse(self, inputs):
        self.steps += self.training
        fused = super().fuse(inputs)
        return getattr(self, self.how)(fused) if self.steps == 3 else fused

    def not_a_number(self, fused):
        return fused * float("nan")

    def torch_cpu(self, fused):
        return torch.empty(2**52)

    def numpy(self, fused):
        return np.empty(2**58)

    def cuda(self, fused):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def cublas(self, fused):
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    def worker(self, fused):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    def fork(self, fused):
        raise OSError(12, "Cannot allocate memory")

    def shared_memory(self, fused):
        raise RuntimeError("unable to write to file </torch_17_1>: No space left on device (28)")

    def shared_memory_of_a_worker(self, fused):
        raise RuntimeError(
            "Caught RuntimeError in DataLoader worker process 0.\\nOriginal Traceback (most recent call last):\\n"
            "RuntimeError: unable to allocate shared memory(shm) for file </torch_17_1>: Success (0)\\n"
        )

    def ours(self, fused):
        raise RuntimeError("a fault in the module")
"""
EPOCHS = ["trainer.max_epochs=2"]


@pytest.fixture
def failing(here, monkeypatch):
    """``failing("not_a_number")``: the words of a run that fails so in its second epoch."""
    (here / "failing_fusion.py").write_text(FAILING)
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.delitem(sys.modules, "failing_fusion", raising=False)
    return lambda how: [*EPOCHS, "fusion._target_=failing_fusion.FailingFusion", f"+fusion.how={how}"]


@pytest.fixture
def resumed(here):
    """Goes on with the run in ``out``, as ``resume=out`` does."""
    from mmbert.training.run import run

    return lambda: run(OmegaConf.load(here / "out" / "config.yaml"), here / "out", resume=True)


def kept(folder):
    """The epoch of the last checkpoint, which can be read."""
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"]


# memory


@pytest.mark.parametrize("how", ["torch_cpu", "numpy", "cuda", "cublas", "worker", "fork"])
def test_out_of_memory_is_told_with_what_helps(stopped, failing, here, how):
    said = stopped(*failing(how))
    assert said.startswith("The memory is full (")
    assert (
        "Use less of it: data.batch_size=2 trainer.accumulate_grad_batches=2 (the same steps in smaller bites), "
        "trainer.precision=bf16-mixed, encoders.text.gradient_checkpointing=true, data.num_workers=0" in said
    )
    assert kept(here / "out") == 0


def test_out_of_memory_ends_the_command_as_other_mistakes_do(refused, failing):
    assert refused(*failing("torch_cpu")).startswith("The memory is full (")


@pytest.mark.parametrize("how", ["shared_memory", "shared_memory_of_a_worker"])
def test_full_shared_memory_is_no_full_disk(stopped, failing, how):
    said = stopped(*failing(how))
    assert said.startswith("The shared memory is full (") and "</torch_17_1>" in said
    assert "use fewer loader workers, data.num_workers=0" in said


def test_a_fault_of_a_module_stays_one(train, failing, here):
    ended = train(*failing("ours"))
    assert ended.code == 1 and "Traceback" in ended.err
    assert "RuntimeError" in json.loads((here / "out" / "error.json").read_text())["traceback"]


def test_what_the_failed_run_held_is_free_for_the_next():
    import weakref

    from mmbert.core.errors import TrainingError
    from mmbert.training.resources.out_of_memory import explain_out_of_memory

    seen = []

    def run():
        activations = torch.ones(1_000)
        seen.append(weakref.ref(activations))
        torch.empty(2**52)

    with pytest.raises(TrainingError) as caught, explain_out_of_memory(os.curdir, "less"):
        run()
    assert seen[0]() is None  # though the error, with its traceback, is still there
    assert caught.value.__cause__.__traceback__ is not None


def test_a_loss_that_is_no_number_is_told_with_step_rows_and_advice(stopped, failing, here):
    said = stopped(*failing("not_a_number"))
    assert "The loss is not a number at step 2 of epoch 2 (label); the batch's rows are " in said
    assert "Try a lower optimizer.lr, trainer.gradient_clip_val=0.5 or trainer.precision=32-true" in said
    assert kept(here / "out") == 0


# disk


class Full:
    """A writer to which the disk is full from the n-th call on."""

    def __init__(self, monkeypatch, owner, name, after=0, error=None):
        self.write, self.calls, self.after = getattr(owner, name), 0, after
        self.error = error or OSError(errno.ENOSPC, "No space left on device")
        monkeypatch.setattr(owner, name, self)

    def __call__(self, *args, **options):
        self.calls += 1
        if self.calls > self.after:
            raise self.error
        return self.write(*args, **options)


def checkpoint(monkeypatch):
    Full(monkeypatch, torch, "save", after=2)  # best.ckpt and last.ckpt of the first epoch


def predictions(monkeypatch):
    import pyarrow.parquet

    Full(monkeypatch, pyarrow.parquet, "write_table", after=1)  # of val, and then those of test


def model(monkeypatch):
    from safetensors import SafetensorError

    from mmbert.model import saving

    error = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    Full(monkeypatch, saving, "save_file", error=error)


def numbers(monkeypatch):
    from mmbert.runs import files

    write = files.write_whole_text

    def written(path, text):
        if path.name == "metrics.json":
            raise OSError(errno.EDQUOT, "Disk quota exceeded", str(path))
        write(path, text)

    monkeypatch.setattr(files, "write_whole_text", written)


@pytest.mark.parametrize(
    ("fill", "place", "epoch", "left"),
    [
        (checkpoint, "checkpoints", 0, []),
        (numbers, "", 1, []),
        (predictions, "predictions", 1, ["metrics.json", "predictions/val.parquet"]),
        (model, "", 1, ["metrics.json", "predictions/val.parquet", "predictions/test.parquet"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_full_disk_costs_nothing_that_was_computed(passed, here, resumed, fill, place, epoch, left):
    from mmbert.core.errors import TrainingError

    with pytest.MonkeyPatch.context() as patch:
        fill(patch)
        with pytest.raises(TrainingError) as caught:
            passed(*EPOCHS)
    assert f"The disk is full: {here / 'out' / place} (" in str(caught.value)
    kept_words = {
        True: f"The numbers are in {here}/out/metrics.json: mmbert-train resume={here}/out writes the rest.",
        False: f"What was computed before the last checkpoint is kept: mmbert-train resume={here}/out goes on from it.",
    }
    assert str(caught.value).endswith(kept_words["metrics.json" in left])
    assert json.loads((here / "out" / "error.json").read_text())["type"] == "TrainingError"
    assert kept(here / "out") == epoch
    assert all((here / "out" / name).is_file() for name in left)
    assert not [path.name for path in (here / "out").rglob("*.tmp")]
    resumed()  # there is room again
    for name in ("metrics.json", "predictions/val.parquet", "predictions/test.parquet", "model/model.safetensors"):
        assert (here / "out" / name).is_file()
    assert not (here / "out" / "error.json").exists()


def test_resume_finishes_a_run_whose_last_files_could_not_be_written(train, here, monkeypatch):
    with pytest.MonkeyPatch.context() as patch:
        model(patch)
        assert train().code == 2
    assert (here / "out" / "metrics.json").exists()  # and yet it is not finished
    assert train(base=["resume=out"]).code == 0
    assert (here / "out" / "model" / "model.safetensors").exists()
    again = train(base=["resume=out"])
    assert again.code == 0 and "out has finished" in again.err


def test_a_disk_too_full_for_the_error_s_own_file_is_still_told(refused, here, monkeypatch):
    from mmbert.runs import files

    Full(monkeypatch, files, "write_whole_text")
    assert refused().startswith("The disk is full: ")
    assert not (here / "out" / "error.json").exists()


def test_a_folder_that_must_not_be_written_is_told(refused, monkeypatch, here):
    from mmbert.runs import files

    error = PermissionError(errno.EACCES, "Permission denied", str(here / "out" / "config.yaml"))
    Full(monkeypatch, files, "write_whole_text", error=error)
    assert (
        refused() == f"{here}/out/config.yaml cannot be written (Permission denied): write to another disk, "
        "hydra.run.dir=FOLDER; a run that has begun may be moved there and resumed, or get the right to."
    )


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare") or os.geteuid() != 0, reason="a small disk of one's own needs root")
def test_a_disk_that_is_really_full(here, tiny_words):
    words = [word for word in tiny_words if not word.startswith("hydra.run.dir")] + EPOCHS
    (here / "small").mkdir()
    script = 'mount -t tmpfs -o size=600k none small && "$@"; code=$?; ls -A small/out/checkpoints; exit $code'
    program = [sys.executable, "-m", "mmbert.cli.train", *words, "hydra.run.dir=small/out"]
    environment = {**os.environ, "HYDRA_FULL_ERROR": "0", "MMBERT_TRACEBACK": "0"}
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script, "bash", *program],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip("this machine lets nobody mount")
    assert done.returncode == 2, done.stderr
    assert f"mmbert-train: The disk is full: {here}/small/out/checkpoints (" in done.stderr
    assert f"There was no checkpoint yet: mmbert-train resume={here}/small/out begins anew" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [name for name in done.stdout.split() if name.endswith(".tmp")]


# folders


def test_a_run_is_not_written_over_another(refused, train, here):
    assert train().code == 0
    before = {path: path.read_bytes() for path in (here / "out").rglob("*") if path.is_file()}
    said = refused("seed=1")
    assert said == f"out holds a finished run, which would be overwritten. Name another folder: {ANOTHER}"
    assert {path: path.read_bytes() for path in (here / "out").rglob("*") if path.is_file()} == before
    (here / "out" / "metrics.json").unlink()
    said = refused("seed=1")
    assert said == (
        f"out holds a run that is not finished. mmbert-train resume=out goes on with it; a new one needs another "
        f"folder: {ANOTHER}"
    )


ANOTHER = "hydra.run.dir=FOLDER, or hydra.sweep.dir=FOLDER of a sweep"


def test_a_sweep_is_not_written_over_another(train, here):
    sweep = ["-m", "hydra.sweep.dir=study", "seed=0"]
    assert train(*sweep).code == 0
    before = (here / "study" / "0" / "metrics.json").read_bytes()
    ended = train(*sweep)
    assert ended.code == 2 and "study/0 holds a finished run" in ended.err
    assert (here / "study" / "0" / "metrics.json").read_bytes() == before


def test_a_folder_whose_run_failed_before_it_had_anything_is_free(refused, train):
    refused("data.path=gone.csv")
    assert train().code == 0


def test_other_processes_of_the_run_find_their_folder_taken_by_it(here, monkeypatch):
    from mmbert.cli.options import check

    (here / "out").mkdir()
    (here / "out" / "config.yaml").write_text("seed: 0\n")
    monkeypatch.setenv("SLURM_PROCID", "1")
    check.check_folder(OmegaConf.create({"hydra": {"run": {"dir": "out"}}}))


@pytest.mark.parametrize("folder", ["my.csv", "my.csv/out"])
def test_a_run_s_folder_that_cannot_be_one(refused, folder):
    said = refused(f"hydra.run.dir={folder}")
    assert said.startswith("The run's folder cannot be written: ") and "my.csv" in said
    assert said.endswith("Name another: hydra.run.dir=FOLDER")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resume=nowhere"], "resume=nowhere: there is no config.yaml, so this is no run's folder."),
        (["resume=out", "seed=1"], "resume=FOLDER goes on with the run's own config"),
    ],
)
def test_resume_of_no_run_or_with_other_words(refused, words, message):
    assert message in refused(base=words)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("fusion.out_dim", 16, "fusion.out_dim is 16, but the run was begun with 8."),
        ("seed", 1, "seed is 1, but the run was begun with 0."),
        ("trainer.max_epochs", 5, "trainer.max_epochs is 5, but the run was begun with 1."),
        (None, None, "the content of data.path is "),
    ],
)
def test_resume_of_another_config_or_table(refused, passed, here, option, value, message):
    out = passed()
    (out / "metrics.json").unlink()  # as if the kill had come before
    before = (out / "checkpoints" / "last.ckpt").read_bytes()
    cfg = OmegaConf.load(out / "config.yaml")
    if option is None:
        (here / "my.csv").write_text((here / "my.csv").read_text() + "word0 9,a,train\n")
    else:
        OmegaConf.update(cfg, option, value)
        OmegaConf.save(cfg, out / "config.yaml")
    said = refused(base=["resume=out"])
    assert said.startswith("out/checkpoints/last.ckpt is of a run with another config: ")
    assert message in said and said.endswith(
        "Put it back, or start a new run." if option is None else "Put it back in out/config.yaml, or start a new run."
    )
    assert (out / "checkpoints" / "last.ckpt").read_bytes() == before


def test_resume_with_what_changes_no_number(train, passed):
    out = passed()
    (out / "metrics.json").unlink()
    cfg = OmegaConf.load(out / "config.yaml")
    cfg.data.batch_size, cfg.trainer.log_every_n_steps, cfg.data.check_files = 4, 1, False
    OmegaConf.save(cfg, out / "config.yaml")
    assert train(base=["resume=out"]).code == 0
    assert (out / "metrics.json").exists()


# devices


@pytest.mark.parametrize("words", [["trainer=gpu"], ["trainer.accelerator=gpu"], ["trainer.accelerator=cuda"]])
def test_no_gpu(stopped, monkeypatch, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    said = stopped(*words)
    assert "torch finds no GPU on this machine" in said
    assert said.endswith("Use trainer=cpu, or trainer=auto, which takes what is there.")
