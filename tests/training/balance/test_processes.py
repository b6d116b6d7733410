"""Two processes with half of the samples each weigh the tasks, and learn, as one that has all of them."""

import pytest
import torch
import torch.multiprocessing as mp
from torch.testing import assert_close

from mmbert.training.balance import aggregation, scalarization, stateful_aggregation
from mmbert.training.balance.base import means_of_processes
from mmbert.training.balance.famo import FAMOBalance
from mmbert.training.balance.fixed import FixedBalance
from mmbert.training.balance.gradnorm import GradNormBalance
from mmbert.training.balance.uncertainty import UncertaintyBalance
from three_tasks_model import gradients, module_of, part, samples

pytestmark = pytest.mark.slow

BALANCES = {
    **{
        cls.__name__: cls
        for cls in (
            *(FixedBalance, UncertaintyBalance, FAMOBalance, GradNormBalance),
            *(scalarization.STCHBalance, scalarization.GeometricMeanBalance, scalarization.RandomBalance),
            *(scalarization.PBIBalance, scalarization.COSMOSBalance, scalarization.IMTLLBalance),
            *(aggregation.SumBalance, aggregation.MeanBalance, aggregation.UPGradBalance, aggregation.DualProjBalance),
            *(stateful_aggregation.PCGradBalance, stateful_aggregation.GradVacBalance, aggregation.CAGradBalance),
            *(aggregation.MGDABalance, aggregation.IMTLGBalance, aggregation.AlignedMTLBalance),
            *(stateful_aggregation.NashMTLBalance, aggregation.FairGradBalance, aggregation.ConFIGBalance),
        )
    }
}
#: One process has no label of the first task at all.
LABELS = {
    "answers": [True, False, True, True, False, False, False, False],
    "values": [False] * 3 + [True] * 5,
}


def two_steps(cls, batches_of_a_step):
    """The gradients of the second step, and the balance's state after it."""
    module = module_of(cls)
    for number in range(2):
        module.model.zero_grad()
        found = gradients(module, batches_of_a_step(number))
        if hasattr(module.balance, "stepped"):
            module.balance.stepped(lambda: {"answer": 0.5, "value": 0.4, "other": 2.0})
    return found, {name: tensor.clone() for name, tensor in module.balance.state_dict().items()}


def half(rank, folder):
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    results = {}
    for name, cls in BALANCES.items():
        found, state = two_steps(cls, lambda number: [part(samples(number, **LABELS), 4 * rank, 4 * rank + 4)])
        for gradient in found.values():
            dist.all_reduce(gradient)
            gradient /= 2  # as DistributedDataParallel does
        results[name] = found, state
    nothing = means_of_processes({"a": torch.tensor(float("nan"))}, {"a": 0.0})
    assert nothing == {}
    torch.save(results, f"{folder}/of_process{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_take_the_step_of_one(tmp_path):
    mp.spawn(half, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"of_process{rank}.pt", weights_only=True) for rank in range(2))
    for name, cls in BALANCES.items():
        gradient, state = two_steps(cls, lambda number: [samples(number, **LABELS)])
        assert_close(first[name], second[name], msg=lambda text, name=name: f"{name}: {text}")
        found, found_state = first[name]
        tolerance = {"rtol": 1e-3, "atol": 1e-4} if name == "NashMTLBalance" else {"rtol": 1e-4, "atol": 1e-5}
        for key, expected in gradient.items():
            assert_close(
                found[key], expected, **tolerance, msg=lambda text, name=name, key=key: f"{name} {key}: {text}"
            )
        for key, expected in state.items():
            assert_close(
                found_state[key], expected, **tolerance, equal_nan=True, msg=lambda t, n=name, k=key: f"{n} {k}: {t}"
            )


def test_a_command_with_two_processes_learns_with_a_balance_at_the_features(tmp_path):
    import json
    import os
    import subprocess
    import sys

    rows = ["text,a,b,split"]
    rows += [f"word{i % 3} {i},{i % 3 / 2},{i % 5},{s}" for i in range(24) for s in ("train", "val", "test")]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    words = ["data=manifest", "data.path=t.csv", "text=tiny", "image=none", "audio=none", "trainer.max_epochs=2"]
    words += ["+task@tasks.a=regression", "tasks.a.column=a", "+task@tasks.b=classification", "tasks.b.column=b"]
    words += ["logger=none", "plots=false", "data.num_workers=0", "data.batch_size=4"]
    for balance in ("upgrad", "famo"):
        command = [sys.executable, "-m", "mmbert.cli.train", *words, f"balance={balance}", "trainer=ddp_cpu"]
        done = subprocess.run(
            [*command, f"hydra.run.dir={balance}"],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"},
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "test/b/accuracy" in json.loads((tmp_path / balance / "metrics.json").read_text())
