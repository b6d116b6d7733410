"""What the machine refuses becomes a message with a remedy; any other error stays what it is."""

import errno
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError, TrainingError
from mmbert.training.resources.out_of_memory import explain_out_of_memory, explanation, less_memory


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "The memory is full (MemoryError). Use less of it: smaller batches."),
        (RuntimeError("CUDA out of memory.\nlong dump"), "The memory is full (CUDA out of memory.). Use less of it"),
        (OSError(errno.ENOMEM, "no room"), "The memory is full ([Errno 12] no room)"),
        (
            RuntimeError("unable to write to file </torch_1_2>: No space left on device (28)"),
            "The shared memory is full (unable to write to file </torch_1_2>: No space left on device (28)): use fewer",
        ),
        (OSError(errno.ENOSPC, "No space left", "/a/b.csv"), "The disk is full: /a ([Errno 28] No space left: '/a/b"),
        (RuntimeError("disk quota exceeded"), "The disk is full: /runs/x (disk quota exceeded). Free some room. Go on"),
        (
            OSError(errno.EACCES, "Permission denied", "/runs/x/a"),
            "/runs/x/a cannot be written (Permission denied): name another folder, or get the right to.",
        ),
        (OSError(errno.EACCES, "Permission denied", "/elsewhere"), None),
        (ValueError("a fault of the code"), None),
    ],
)
def test_messages(error, message):
    words = explanation(error, Path("/runs/x"), "smaller batches", "Go on.")
    assert words is None if message is None else words.startswith(message)


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
