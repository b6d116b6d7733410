"""What the machine refuses becomes a message with a remedy; any other error stays what it is."""

import errno
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError, TrainingError
from mmbert.core.whole_files import naming, whole_folder
from mmbert.training.resources.out_of_memory import (
    explain_out_of_memory,
    explanation,
    less_memory,
    writing_places,
)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "The memory is full (MemoryError). Use less of it: smaller batches."),
        (RuntimeError("CUDA out of memory.\nlong dump"), "The memory is full (CUDA out of memory.). Use less of it"),
        (OSError(errno.ENOMEM, "no room"), "The memory is full ([Errno 12] no room)"),
        (
            RuntimeError("unable to write to file </torch_1_2>: No space left on device (28)"),
            "The shared memory is full (unable to write to file </torch_1_2>: No space left on device (28); ",
        ),
        (OSError(errno.ENOSPC, "No space left", "/a/b.csv"), "The disk is full: /a ([Errno 28] No space left: '/a/b"),
        (
            RuntimeError("disk quota exceeded"),
            "The disk is full: /runs/x (disk quota exceeded). Free some room. Go",
        ),
        (
            OSError(errno.EDQUOT, "Quota exceeded", "/runs/x/a"),
            "The disk is full: /runs/x ([Errno 122] Quota exc",
        ),
        (
            OSError(errno.ENOSPC, "No space left", "/store/tokens/1.long"),
            "The disk is full: /store/tokens ([Errno 28] No space left: '/store/tokens/1.long'; ",
        ),
        (
            OSError(errno.EACCES, "Permission denied", "/runs/x/a"),
            "/runs/x/a cannot be written (Permission denied): name another folder, or get the right to.",
        ),
        (
            OSError(errno.EACCES, "Permission denied", "/store/tokens/1.long"),
            "/store/tokens/1.long cannot be written (Permission denied): keep less, or get the right to.",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "/elsewhere"),
            "/elsewhere cannot be written (Read-only file system): name another folder, or get the right to.",
        ),
        (OSError(errno.EACCES, "Permission denied", "/elsewhere"), None),
        (ValueError("a fault of the code"), None),
    ],
)
def test_messages(error, message):
    words = explanation(error, Path("/runs/x"), "smaller batches", "Go on.", {Path("/store"): "keep less"})
    assert words is None if message is None else words.startswith(message)


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("{run}/checkpoints/last.ckpt", "hydra.run.dir=FOLDER"),
        ("{store}/tokens/0f/1.long", "store.max_gib"),
        ("{temp}/pymp-1/x", "TMPDIR=FOLDER"),
        ("{home}/files/x.npy", "MMBERT_HOME=FOLDER"),
        ("{wandb}/run.wandb", "WANDB_DIR=FOLDER"),
    ],
)
def test_the_disk_of_the_file_that_failed_is_named_with_what_helps_there(written, remedy, tmp_path, monkeypatch):
    folders = {name: tmp_path / name for name in ("run", "store", "temp", "home", "wandb")}
    for variable, name in (("MMBERT_HOME", "home"), ("WANDB_DIR", "wandb")):
        monkeypatch.setenv(variable, str(folders[name]))
    monkeypatch.setattr("tempfile.tempdir", str(folders["temp"]))
    places = writing_places(folders["run"], {"enabled": True, "dir": str(folders["store"])})
    path = Path(written.format(**folders))
    usage = shutil.disk_usage(tmp_path)
    told = explain_out_of_memory(folders["run"], "x", lambda: "Kept.", places)
    with pytest.raises(TrainingError) as caught, told, naming(path):
        raise OSError(errno.ENOSPC, "No space left on device")  # as file.write raises it: without a name
    message = str(caught.value)
    assert message.startswith(f"The disk is full: {path.parent} ([Errno 28] No space left on device: '{path}'; ")
    assert f" of {usage.total / 2**30:.1f} GiB are free there)" in message
    assert remedy in message and message.endswith("Kept.")


def test_a_library_s_own_error_is_of_the_file_that_was_written(tmp_path):
    full = pytest.raises(TrainingError, match=f"The disk is full: {tmp_path}/a ")
    with full, explain_out_of_memory(tmp_path, "x"), whole_folder(tmp_path / "a" / "b"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")


def test_what_is_kept_is_asked_for_when_it_is_known(tmp_path):
    def kept():
        return f"{len(list(tmp_path.iterdir()))} checkpoints are kept."

    with pytest.raises(TrainingError, match="1 checkpoints are kept"), explain_out_of_memory(tmp_path, "x", kept):
        (tmp_path / "last").touch()
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_cause_counts_as_the_error_and_ours_passes(tmp_path):
    with pytest.raises(TrainingError, match="The memory is full"), explain_out_of_memory(tmp_path, "x"):
        raise ValueError("outer") from MemoryError()
    with pytest.raises(ConfigError, match="out of memory"), explain_out_of_memory(tmp_path, "x"):
        raise ConfigError("out of memory")
    with pytest.raises(KeyError), explain_out_of_memory(tmp_path, "x"):
        raise KeyError("k")


def test_options_that_need_less_memory():
    cfg = OmegaConf.create(
        {
            "data": {"batch_size": 32},
            "trainer": {"accumulate_grad_batches": 2, "precision": "32-true"},
            "encoders": {
                "text": {"gradient_checkpointing": False, "frozen": False},
                "image": {"gradient_checkpointing": False, "frozen": True},
                "audio": None,
            },
        }
    )
    words = less_memory(cfg)
    assert words.startswith("data.batch_size=16 trainer.accumulate_grad_batches=4")
    assert "trainer.precision=bf16-mixed, encoders.text.gradient_checkpointing=true, data.num_workers=0" in words
    assert "image" not in words
    cfg.data.batch_size, cfg.trainer.precision, cfg.encoders.text = 1, "bf16-mixed", None
    assert less_memory(cfg).startswith("data.num_workers=0")
