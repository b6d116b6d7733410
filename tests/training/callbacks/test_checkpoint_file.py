"""Checkpoint files are read whole or not at all, and a damaged one is named."""

import pytest
import torch

from mmbert.core.errors import DataError
from mmbert.training.callbacks.checkpoint_file import WholeCheckpoints, read_checkpoint, restoring_errors

CONTENT = {"state_dict": {"weight": torch.arange(1000.0)}, "epoch": 1, "global_step": 7}


@pytest.fixture
def path(tmp_path):
    WholeCheckpoints().save_checkpoint(CONTENT, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


@pytest.mark.parametrize("mmap", [False, True])
def test_what_was_written_is_read(path, mmap):
    found = read_checkpoint(path, mmap)
    assert torch.equal(found["state_dict"]["weight"], torch.arange(1000.0)) and found["global_step"] == 7
    assert WholeCheckpoints().load_checkpoint(path)["epoch"] == 1


def test_a_changed_bit_of_a_tensor_is_seen_though_torch_does_not_look(path):
    content = bytearray(path.read_bytes())
    place = content.index(torch.arange(500.0, 510.0).numpy().tobytes())
    content[place + 1] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path)["state_dict"]["weight"], torch.arange(1000.0))  # torch's own reader
    with pytest.raises(DataError, match=rf"{path} is damaged: .*data/0 in it has other bytes than were saved"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 1000])
def test_what_is_no_checkpoint_is_named_with_what_helps(path, content):
    (path.parent / "best.ckpt").write_bytes(path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path} is damaged: .*Or go on from another: cp .*best.ckpt {path}"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["state_dict", "epoch", "global_step"])
def test_what_every_checkpoint_has_must_be_there(path, name):
    torch.save({**CONTENT, name: None}, path)
    with pytest.raises(DataError, match=rf"it has no '{name}'"):
        read_checkpoint(path)


def test_one_that_is_gone_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone.ckpt is damaged: FileNotFoundError"):
        read_checkpoint(tmp_path / "gone.ckpt")


def test_errors_count_as_the_files_only_while_it_is_put_back(path):
    io = WholeCheckpoints()
    with pytest.raises(KeyError), restoring_errors(io):
        raise KeyError("x")
    io.restoring = path
    message = rf"{path} is damaged: it does not fit the run \(KeyError: 'x'\)"
    with pytest.raises(DataError, match=message), restoring_errors(io):
        raise KeyError("x")
