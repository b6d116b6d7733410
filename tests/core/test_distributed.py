"""Which process writes: rank 0 of the process group, or the one that no launcher has given another number."""

import pytest

from mmbert.core.distributed import RANK_VARIABLES, is_rank_zero


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in RANK_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_a_process_that_nobody_launched_is_the_first():
    assert is_rank_zero()


@pytest.mark.parametrize("name", RANK_VARIABLES)
def test_a_launchers_number_counts(monkeypatch, name):
    monkeypatch.setenv(name, "0")
    assert is_rank_zero()
    monkeypatch.setenv(name, "1")
    assert not is_rank_zero()


def test_the_first_process_of_the_second_machine_is_not_the_first(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("NODE_RANK", "1")
    assert not is_rank_zero()


def test_the_process_group_decides_where_there_is_one(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 8)
    assert not is_rank_zero()
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 0)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert is_rank_zero()
