"""Two processes of which one has no labelled sample measure what one process with all samples measures."""

import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mmbert.core.types import UNLABELLED
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.regression import Regression


def cases():
    torch.manual_seed(0)
    truth = torch.randint(0, 2, (6, 3)).float()
    numbers = torch.randn(6)
    return [
        (Classification(2, "c", ["a", "b", "c"]), torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 1]), UNLABELLED),
        (Multilabel(2, "m", ["a", "b", "c"]), torch.randn(6, 3), truth, torch.nan),
        (Regression(2, "r"), torch.randn(6), numbers, torch.nan),
    ]


def measure(rank):
    """Rank 0 has all labels, rank 1 the same samples without any."""
    results = []
    for task, output, target, nobody in cases():
        metrics = task.make_metrics()
        truth = target if rank == 0 else torch.full_like(target, nobody)
        task.update(metrics, {"logits": output, "value": output}, {"label": truth})
        results.append({key: float(value) for key, value in metrics.compute().items()})
    return results


def worker(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save(measure(rank), os.path.join(folder, f"{rank}.pt"))
    dist.destroy_process_group()


@pytest.mark.slow
def test_a_process_without_labels_neither_hangs_nor_changes_a_metric(tmp_path):
    mp.spawn(worker, args=(str(tmp_path),), nprocs=2)
    expected = measure(0)
    for rank in (0, 1):
        for got, alone in zip(torch.load(tmp_path / f"{rank}.pt", weights_only=True), expected, strict=True):
            assert got == pytest.approx(alone, abs=1e-6)
