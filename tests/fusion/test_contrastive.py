"""Alignment by contrast against NumPy, with pairs missing, and over two processes against one."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from scipy.special import logsumexp

from fusion_harness import DIMS
from mmbert.core.errors import ConfigError
from mmbert.core.types import Encoded
from mmbert.fusion.contrastive import ContrastiveFusion, alignment_loss
from mmbert.fusion.late_mean import LateMeanFusion
from mmbert.fusion.layers.all_gather import gather_rows
from mmbert.testing import check_fusion, random_inputs

PRESENT = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 1], [1, 1, 0], [0, 0, 1]], dtype=bool)
PAIRS = list(permutations(range(3), 2))


def vectors(seed=0):
    values = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1)


def info_nce(e, present, temperature):
    """The header's formula, loop by loop."""
    directed = {}
    for m, j in PAIRS:
        each = []
        for i in range(len(e)):
            if present[i, m] and present[i, j]:
                scores = [e[i, m] @ e[k, j] / temperature for k in range(len(e)) if present[k, j]]
                each.append(logsumexp(scores) - e[i, m] @ e[i, j] / temperature)
        if each:
            directed[m, j] = np.mean(each)
    return np.mean(list(directed.values())) if directed else 0.0


@pytest.mark.parametrize(
    "present",
    [PRESENT, np.ones((6, 3), dtype=bool), PRESENT & np.array([True, True, False]), np.eye(3, dtype=bool).repeat(2, 0)],
)
def test_the_loss_is_info_nce_between_present_pairs(present):
    e = vectors().requires_grad_()
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    loss = alignment_loss(e, torch.from_numpy(present), temperature)
    assert loss.item() == pytest.approx(info_nce(e.detach().numpy(), present, 0.3), rel=1e-9, abs=1e-12)
    loss.backward()
    assert e.grad.isfinite().all() and temperature.grad.isfinite()
    assert (e.grad[torch.from_numpy(~present)] == 0).all()


def built(**options):
    torch.manual_seed(0)
    return ContrastiveFusion(DIMS, 8, **options).double()


def test_vectors_are_compared_after_projection_and_the_base_fuses_the_same():
    fusion = built(base="concat", align_weight=0.5, temperature=0.2, dropout=0.0, base_options={"dropout": 0.0})
    inputs = random_inputs(DIMS, 6, present=torch.from_numpy(PRESENT), dtype=torch.float64)
    projected = {m: fusion.project[m](x.pooled, x.present) for m, x in inputs.items()}
    e = torch.stack([fusion.align[m](h) for m, h in projected.items()], 1)
    e = (e / e.norm(dim=-1, keepdim=True).clamp(min=1e-12)).detach().numpy()
    fused = fusion.train()(inputs)
    assert fused.auxiliary_losses["alignment"].item() == pytest.approx(0.5 * info_nce(e, PRESENT, 0.2), rel=1e-6)
    given = {m: Encoded(fusion.project[m](x.tokens, x.mask), x.mask, projected[m]) for m, x in inputs.items()}
    torch.testing.assert_close(fused.pooled, fusion.base(given).pooled)
    evaluated = fusion.eval()(inputs)
    assert evaluated.auxiliary_losses == {}
    assert {m: x.shape for m, x in evaluated.tokens.items()} == {m: (*x.mask.shape, 8) for m, x in inputs.items()}


def test_a_decision_level_base_keeps_its_views():
    fusion = built(base="late_mean", base_options={"average": "logits"})
    assert fusion.views == tuple(DIMS) and isinstance(fusion.base, LateMeanFusion)
    laws = ["decisions are sound", "every present modality is used", "state is complete"]
    assert check_fusion(ContrastiveFusion, dims={"text": 4, "image": 3}, base="late_mean", only=laws).passed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "concatt"}, "fusion.base=concatt is no strategy of the package. Did you mean 'concat'"),
        ({"base": "project"}, "fusion.base=project is no strategy"),
        ({"base": "concat", "base_options": {"depth": 2}}, "fusion.base_options=.*do not fit fusion.base=concat"),
        ({"temperature": 0.0}, "fusion.temperature=0.0 must lie between"),
        ({"align_weight": -1.0}, "fusion.align_weight"),
    ],
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(ConfigError, match=message):
        ContrastiveFusion(DIMS, 8, **options)


def test_without_weight_or_with_one_modality_nothing_is_aligned():
    for fusion in (built(align_weight=0), ContrastiveFusion({"text": 4}, 8)):
        assert fusion.temperature is None and not fusion.align


# two processes ------------------------------------------------------------------------------------------------------

SHARES = (slice(0, 4), slice(4, 6))  # of different size


def worker(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    e = vectors()[SHARES[rank]].clone().requires_grad_()
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    loss = alignment_loss(e, torch.from_numpy(PRESENT)[SHARES[rank]], temperature)
    (loss / 2).backward()  # as distributed training takes the mean
    rows, begin = gather_rows(torch.arange(rank + 1))
    told = {"loss": loss.detach(), "vectors": e.grad, "temperature": temperature.grad, "rows": rows}
    torch.save(told | {"begin": torch.tensor(begin)}, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_have_the_loss_and_the_gradients_of_one(tmp_path):
    mp.spawn(worker, args=(str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    e = vectors().requires_grad_()
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    loss = alignment_loss(e, torch.from_numpy(PRESENT), temperature)
    loss.backward()
    torch.testing.assert_close(sum(part["loss"] for part in parts) / 2, loss.detach())
    torch.testing.assert_close(torch.cat([part["vectors"] for part in parts]), e.grad)
    torch.testing.assert_close(sum(part["temperature"] for part in parts), temperature.grad)
    for part, begin in zip(parts, (0, 1), strict=True):
        assert part["rows"].tolist() == [0, 0, 1] and part["begin"] == begin
