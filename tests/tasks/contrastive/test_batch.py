"""The samples of a step over two processes: loss and gradients are those of one process with the whole batch."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import tensor

from mmbert.core.types import UNLABELLED
from mmbert.tasks.contrastive.batch import NO_CELL, same_cells, shared_batch
from mmbert.tasks.contrastive_classification import ContrastiveClassification
from mmbert.tasks.retrieval import Retrieval

DIMS = {"text": 6, "image": 5, "audio": 4}
#: What each process has: shares of different size; and all pairs in the first, a copy that fills up in the second.
SHARES = {"different": (slice(0, 4), slice(4, 7)), "one has pairs": (slice(0, 6), slice(6, 7))}


def test_an_empty_cell_is_shared_by_none():
    cells = tensor([[1, NO_CELL], [2, 5], [1, 5]])
    assert same_cells(cells, cells).tolist() == [[True, False, True], [False, True, True], [True, True, True]]
    assert not same_cells(tensor([[NO_CELL]]), tensor([[NO_CELL]])).any()


def test_one_process_has_its_own_samples():
    x = torch.randn(3, 2, 4)
    batch = shared_batch(x, torch.ones(3, 2).bool(), torch.zeros(3, 1).long(), torch.ones(3).bool(), gather=True)
    assert batch.vectors is x and batch.own == slice(0, 3) and torch.equal(batch.same(), torch.eye(3).bool())


def samples():
    """Vectors, who has what, which are counted, and cells beyond what a float could tell apart."""
    generator = torch.Generator().manual_seed(0)
    pooled = {name: torch.randn(7, dim, generator=generator, dtype=torch.float64) for name, dim in DIMS.items()}
    present = torch.ones(7, 3).bool()
    present[1, 0] = present[3, 1:] = present[5, 2] = False
    cells = torch.zeros(7, 4).long()
    cells[:, 0] = 2**61 + tensor([0, 1, 2, 3, 0, 4, 1])
    return pooled, present, tensor([True] * 6 + [False]), cells


def part(task, rows, world):
    """What a process adds to the loss: as training weighs it, with gradients averaged over processes."""
    pooled, present, counted, cells = samples()
    project = [task.project[name](x[rows].float()) for name, x in pooled.items()]
    vectors = torch.nn.functional.normalize(torch.stack(project, 1), dim=-1)
    targets = {"counted": counted[rows], "cells": cells[rows]}
    loss = task.loss({"vectors": vectors, "present": present[rows]}, targets)
    weighed = loss.mean * world * task.count(targets) / counted.sum()
    (weighed / world).backward()
    return weighed.detach() / world


def made(loss):
    torch.manual_seed(0)
    return Retrieval(8, DIMS, loss=loss, embed_dim=3).train()


def pairs_of_classes(rows, world):
    """The same of contrastive classification: what a process adds to the loss, and the gradient of its vectors."""
    task = ContrastiveClassification(4, "label", ["a", "b", "c"]).train()
    vectors = torch.randn(7, 4, generator=torch.Generator().manual_seed(3))[rows].requires_grad_()
    label = tensor([0, 1, 0, UNLABELLED, 2, 1, 0])
    targets = {"label": label[rows]}
    loss = task.loss({"vectors": vectors, "logits": torch.zeros(len(vectors), 3)}, targets)
    weighed = loss.mean * world * task.count(targets) / (label != UNLABELLED).sum()
    (weighed / world).backward()
    return weighed.detach() / world, vectors.grad


def worker(rank, folder, shares):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    told = {}
    for name in ("infonce", "siglip"):
        task = made(name)
        told[f"{name} loss"] = part(task, SHARES[shares][rank], 2)
        told |= {f"{name} {key}": p.grad for key, p in task.named_parameters()}
    told["classes loss"], told["classes vectors"] = pairs_of_classes(SHARES[shares][rank], 2)
    torch.save(told, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("shares", SHARES)
def test_two_processes_have_the_loss_and_the_gradients_of_one(tmp_path, shares):
    mp.spawn(worker, args=(str(tmp_path), shares), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for name in ("infonce", "siglip"):
        task = made(name)
        whole = {f"{name} loss": part(task, slice(0, 7), 1)}
        whole |= {f"{name} {key}": p.grad for key, p in task.named_parameters()}
        for key, value in whole.items():
            torch.testing.assert_close(first[key] + second[key], value, msg=lambda m, key=key: f"{key}: {m}")
    loss, gradient = pairs_of_classes(slice(0, 7), 1)
    torch.testing.assert_close(first["classes loss"] + second["classes loss"], loss)
    torch.testing.assert_close(torch.cat([first["classes vectors"], second["classes vectors"]]), gradient)
