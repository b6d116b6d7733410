"""Rows of all processes put together, with one process and with two (test_contrastive.py starts two real ones)."""

import torch
import torch.distributed as dist

from mmbert.fusion.layers import all_gather


def test_one_process_is_given_back_its_own_rows():
    rows = torch.randn(3, 2)
    gathered, begin = all_gather.gather_rows(rows)
    assert gathered is rows and begin == 0 and all_gather.world_size() == 1


def test_rows_stand_in_the_order_of_the_processes_without_what_filled_them_up(monkeypatch):
    """The second process sees 1 row of its own after 3 of the first."""
    first, mine = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[7.0]], requires_grad=True)
    for name, value in {"is_initialized": True, "get_world_size": 2, "get_rank": 1}.items():
        monkeypatch.setattr(dist, name, lambda value=value: value)

    def counts(into, own):
        assert own.tolist() == [1]
        into[0].fill_(3)
        into[1].copy_(own)

    def parts(filled):
        assert filled.shape == (3, 1)  # as many as the largest process has
        return first, filled

    monkeypatch.setattr(dist, "all_gather", counts)
    monkeypatch.setattr(all_gather, "all_gather", parts)
    gathered, begin = all_gather.gather_rows(mine)
    assert gathered.tolist() == [[1.0], [2.0], [3.0], [7.0]] and begin == 3
    (gathered * torch.tensor([[1.0], [1.0], [1.0], [5.0]])).sum().backward()
    assert mine.grad.tolist() == [[5.0]]
