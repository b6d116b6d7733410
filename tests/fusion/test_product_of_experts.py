"""The product of experts against products of densities on a grid, precisions in NumPy, and torch.distributions."""

import numpy as np
import pytest
import torch
from scipy.stats import norm as gaussian
from torch.distributions import Normal, kl_divergence

from fusion_harness import DIMS, PRESENT, WIDTH, assert_close, build, build_with_weights, projected, samples
from mmbert.core.errors import ConfigError
from mmbert.fusion.product_of_experts import ProductOfExpertsFusion
from mmbert.testing import random_inputs


def beliefs_by_hand(row, w):
    """(mean, variance) of each present modality."""
    both = [np.split(projected(v, w, f"experts.{m}"), 2) for m, v in row.items()]
    return [(mean, np.exp(log_variance)) for mean, log_variance in both]


def test_the_joint_gaussian_is_the_product_of_densities():
    fusion, w = build_with_weights(ProductOfExpertsFusion, dropout=0.0, kl_weight=1.0)
    inputs, rows = samples()
    grid = np.linspace(-15, 15, 60_001)
    expected = []
    for row in rows:
        joint = []
        for i in range(WIDTH):
            density = gaussian.pdf(grid)
            for mean, variance in beliefs_by_hand(row, w):
                density = density * gaussian.pdf(grid, mean[i], np.sqrt(variance[i]))
            joint.append((grid * density).sum() / density.sum())
        expected.append(joint)
    np.testing.assert_allclose(fusion(inputs).pooled.detach(), expected, atol=1e-7)


def joint_by_hand(rows, w):
    """Means and variances (B, H), by precisions."""
    beliefs = [beliefs_by_hand(row, w) for row in rows]
    precision = np.stack([1 + sum(1 / v for _, v in row) for row in beliefs])
    return np.stack([sum(m / v for m, v in row) for row in beliefs]) / precision, 1 / precision


def test_the_divergence_from_the_prior_is_torchs_own_and_its_mean_over_the_batch():
    fusion, w = build_with_weights(ProductOfExpertsFusion, dropout=0.0, kl_weight=0.01)
    inputs, rows = samples()
    mean, variance = (torch.from_numpy(x) for x in joint_by_hand(rows, w))
    expected = kl_divergence(Normal(mean, variance.sqrt()), Normal(0.0, 1.0)).sum(1).mean()
    fused = fusion(inputs)
    assert_close(fused.auxiliary_losses["kl"], 0.01 * expected.numpy())
    assert_close(fused.pooled, mean.numpy())
    assert build(ProductOfExpertsFusion, kl_weight=0, dropout=0.0)(inputs).auxiliary_losses == {}


def test_training_draws_from_the_joint_gaussian():
    fusion, w = build_with_weights(ProductOfExpertsFusion, dropout=0.0)
    inputs, rows = samples()
    mean, variance = joint_by_hand(rows, w)
    torch.manual_seed(5)
    z = fusion.train()(inputs).pooled
    torch.manual_seed(5)
    noise = torch.randn(mean.shape, dtype=torch.float64).numpy()
    assert_close(z, mean + noise * np.sqrt(variance))


def test_the_shares_of_precision_and_the_priors_sum_to_one():
    fusion, w = build_with_weights(ProductOfExpertsFusion, dropout=0.0)
    inputs, rows = samples()
    shares = fusion(inputs, diagnostics="shares").diagnostics["share/precision"]
    _, variance = joint_by_hand(rows, w)
    assert shares.shape == (len(PRESENT), 3, WIDTH)
    assert_close(shares.sum(1), 1 - variance)  # the prior has a precision of 1, hence a share of 1 / T
    assert_close(shares[0, 1], variance[0] / beliefs_by_hand(rows[0], w)[1][1])
    assert (shares[~torch.tensor(PRESENT).bool()] == 0).all()


def test_very_sure_and_very_unsure_experts_stay_finite():
    fusion = ProductOfExpertsFusion(DIMS, WIDTH, kl_weight=1.0)
    with torch.no_grad():
        fusion.experts["text"].linear.bias[WIDTH:] = -200.0  # a precision of e^200 is infinite in float32
        fusion.experts["image"].linear.bias[WIDTH:] = 200.0
    fused = fusion.train()(random_inputs(DIMS))
    (fused.pooled.sum() + fused.auxiliary_losses["kl"]).backward()
    assert all(torch.isfinite(p.grad).all() for name, p in fusion.named_parameters() if name.startswith("experts"))
    assert torch.isfinite(fused.pooled).all() and torch.isfinite(fused.auxiliary_losses["kl"])


def test_the_joint_belief_begins_with_the_variance_of_the_prior():
    torch.manual_seed(0)
    dims = {"text": 48, "image": 64, "audio": 32}
    drawn_z = ProductOfExpertsFusion(dims, 64, dropout=0.0).train()(random_inputs(dims, 256)).pooled
    assert drawn_z.square().mean().item() == pytest.approx(1.0, rel=0.15)


def test_a_negative_weight_is_refused():
    with pytest.raises(ConfigError, match="kl_weight=-0.1 must be at least 0"):
        ProductOfExpertsFusion(DIMS, WIDTH, kl_weight=-0.1)
