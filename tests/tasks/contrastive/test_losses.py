"""InfoNCE, SigLIP's loss and the cosine loss against numbers done with NumPy and torch's own losses."""

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import tensor
from torch.testing import assert_close

from mmbert.tasks.contrastive.losses import cosine_loss, info_nce, sigmoid_loss


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def test_with_one_right_answer_info_nce_is_cross_entropy_over_similarities():
    a, b = unit(5, 4), unit(5, 4, seed=1)
    found = info_nce(a, b, torch.eye(5).bool(), torch.ones(5).bool(), tensor(7.0))
    assert_close(found, F.cross_entropy(7 * a @ b.T, torch.arange(5), reduction="none"))


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=6),
    st.lists(st.booleans(), min_size=6, max_size=6),
    st.integers(0, 99),
)
def test_losses_equal_numpy_for_any_right_answers_and_gaps(groups, there, seed):
    n = len(groups)
    a, b = unit(n, 3, seed=seed), unit(n, 3, seed=seed + 100)
    right, known = tensor(groups).unsqueeze(1) == tensor(groups), tensor(there[:n])
    nce = info_nce(a, b, right, known, tensor(5.0, dtype=torch.float64))
    siglip = sigmoid_loss(a, b, right, known, tensor(5.0), tensor(-2.0))
    for i in range(n):
        similar = np.array([5 * float(a[i] @ b[j]) for j in range(n)])
        columns = [j for j in range(n) if known[j]]
        hits = [j for j in columns if right[i, j]]
        logs = [similar[j] - np.log(np.exp(similar[columns]).sum()) for j in hits]
        np.testing.assert_allclose(float(nce[i]), -np.mean(logs) if hits else 0, atol=1e-9)
        signs = {j: 1 if right[i, j] else -1 for j in columns}
        lost = sum(np.log1p(np.exp(-signs[j] * (similar[j] - 2))) for j in columns)
        np.testing.assert_allclose(float(siglip[i]), lost, atol=1e-9)


def test_the_cosine_loss_is_the_squared_distance_from_same_or_other():
    a = unit(4, 3)
    same = tensor([0, 1, 0, 2]).unsqueeze(1) == tensor([0, 1, 0, 2])
    expected = [
        F.mse_loss(F.cosine_similarity(a[i], a[j], dim=0), same[i, j].double()) for i in range(4) for j in range(4)
    ]
    assert_close(cosine_loss(a, a, same).flatten(), torch.stack(expected))
