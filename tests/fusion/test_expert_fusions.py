"""Mixture of experts, product of experts and EmbraceNet against NumPy, SciPy and torch.distributions."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm as gaussian
from torch.distributions import Normal, kl_divergence

from mmbert.core.errors import ConfigError
from mmbert.fusion.embracenet import EmbraceNetFusion, drawn
from mmbert.fusion.layers.noisy_gate import NoisyGate
from mmbert.fusion.mixture_of_experts import MixtureOfExpertsFusion
from mmbert.fusion.product_of_experts import ProductOfExpertsFusion
from mmbert.testing import random_inputs
from mmbert.testing.inputs import pick

DIMS = {"text": 4, "image": 3, "audio": 5}
PRESENT = [[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0]]
WIDTH = 6


def built(kind, **options):
    """In float64, evaluation mode, without dropout, with norms that are no identity and biases that are not zero."""
    torch.manual_seed(3)
    fusion = kind(DIMS, WIDTH, dropout=0.0, **options).double().eval()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return fusion, {name: tensor.detach().numpy() for name, tensor in fusion.state_dict().items()}


def samples(present=PRESENT):
    """Inputs, padded, and for each sample the vectors of the modalities that it has."""
    inputs = random_inputs(DIMS, len(present), present=torch.tensor(present).bool(), dtype=torch.float64)
    rows = [
        {m: inputs[m].pooled[b].numpy() for m, there in zip(DIMS, here, strict=True) if there}
        for b, here in enumerate(present)
    ]
    return inputs, rows


def normed(x, w, name):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x, w, name):
    return w[f"{name}.weight"] @ x + w[f"{name}.bias"]


def projected(m, v, w, part):
    return linear(normed(v, w, f"{part}.{m}.norm"), w, f"{part}.{m}.linear")


def assert_close(given, expected):
    np.testing.assert_allclose(given.detach().numpy(), np.asarray(expected), rtol=1e-8, atol=1e-9)


# --- mixture of experts


def gates_by_hand(scores, able, k):
    """scores (E,), the experts a sample can be sent to -> (E,): softmax over the k largest of these."""
    chosen = sorted(able, key=lambda i: -scores[i])[:k]
    powers = np.zeros(len(scores))
    for i in chosen:
        powers[i] = math.exp(scores[i])
    return powers / powers.sum()


def chances_by_hand(clean, spread, scores, able, k):
    """Equations 8 and 9 of the paper: P of each expert, whose own noise alone is drawn anew."""
    chances = np.zeros(len(clean))
    for i in able:
        others = sorted((scores[j] for j in able if j != i), reverse=True)
        chances[i] = gaussian.cdf((clean[i] - others[k - 1]) / spread[i]) if len(others) >= k else 1.0
    return chances


def variation(values):
    return np.var(values) / np.mean(values) ** 2


def test_a_sample_gets_the_gated_sum_of_its_best_experts():
    fusion, w = built(MixtureOfExpertsFusion, top_k=3)
    inputs, rows = samples()
    expected, shares, chosen = [], [], []
    for row in rows:
        vectors = {m: normed(row[m], w, f"norms.{m}") if m in row else np.zeros(d) for m, d in DIMS.items()}
        able = [i for i, m in enumerate(m for m in DIMS for _ in range(2)) if m in row]
        gates = gates_by_hand(w["gate.clean.weight"] @ np.concatenate(list(vectors.values())), able, 3)
        z = np.zeros(WIDTH)
        for i, m in enumerate(m for m in DIMS for _ in range(2)):
            hidden = np.maximum(linear(vectors[m], w, f"experts.{i}.0"), 0)
            z += gates[i] * linear(hidden, w, f"experts.{i}.3")
        expected.append(z)
        shares.append(gates.reshape(3, 2).sum(1))
        chosen.append((gates > 0).sum())
    assert chosen == [3, 3, 2, 2, 3], "one modality has but two experts"
    fused = fusion(inputs, diagnostics=True)
    assert_close(fused.pooled, expected)
    assert_close(fused.diagnostics["share/gate"], shares)
    assert set(fusion(inputs, diagnostics="shares").diagnostics) == {"share/gate"}


def test_the_balancing_losses_with_all_present_are_the_papers():
    fusion, w = built(MixtureOfExpertsFusion, top_k=2, importance_weight=0.5, load_weight=0.25)
    inputs, rows = samples([[1, 1, 1]] * 7)
    gates, chances = np.zeros(6), np.zeros(6)
    for row in rows:
        x = np.concatenate([normed(row[m], w, f"norms.{m}") for m in DIMS])
        clean, spread = w["gate.clean.weight"] @ x, np.log1p(np.exp(w["gate.noise.weight"] @ x))
        gates += gates_by_hand(clean, range(6), 2)
        chances += chances_by_hand(clean, spread, clean, range(6), 2)
    losses = fusion(inputs).auxiliary_losses
    assert_close(losses["importance"], 0.5 * variation(gates))
    assert_close(losses["load"], 0.25 * variation(chances))


def noisy(gate, x, available, seed):
    """What the gate gives in training, and the noise that it drew."""
    torch.manual_seed(seed)
    routing = gate.train()(x, available)
    torch.manual_seed(seed)
    return routing, torch.randn(len(x), available.shape[1], dtype=x.dtype).numpy()


def test_in_training_the_noise_has_a_say_and_losses_allow_for_absence():
    torch.manual_seed(0)
    gate = NoisyGate(4, experts=5, top_k=2).double()
    torch.nn.init.normal_(gate.clean.weight)
    torch.nn.init.normal_(gate.noise.weight)
    x = torch.randn(6, 4, dtype=torch.float64)
    able = [[0, 1, 2, 3], [0, 1], [1, 2, 3], [3], [0, 2, 3], [0, 1, 2, 3]]  # nobody can be sent to the last
    available = torch.tensor([[i in row for i in range(5)] for row in able])
    routing, noise = noisy(gate, x, available, seed=1)
    clean, spread = x.numpy() @ gate.clean.weight.detach().numpy().T, x.numpy() @ gate.noise.weight.detach().numpy().T
    spread = np.log1p(np.exp(spread))
    scores = clean + noise * spread
    gates = np.stack([gates_by_hand(s, row, 2) for s, row in zip(scores, able, strict=True)])
    assert_close(routing.gates, gates)
    assert not np.allclose(gates, gate.eval()(x, available).gates.detach()), "the noise changes something"
    chances = np.stack([chances_by_hand(clean[b], spread[b], scores[b], row, 2) for b, row in enumerate(able)])
    weight = np.array([[(i in row) / len(row) for i in range(5)] for row in able])
    places = np.array([[min(2, len(row))] for row in able])
    assert_close(routing.losses["importance"], variation(gates.sum(0)[:4] / weight.sum(0)[:4]))
    assert_close(routing.losses["load"], variation(chances.sum(0)[:4] / (weight * places).sum(0)[:4]))


def test_the_chance_of_being_chosen_is_how_often_it_happens():
    torch.manual_seed(0)
    gate = NoisyGate(3, experts=4, top_k=2).double()
    torch.nn.init.normal_(gate.clean.weight)
    x, available = torch.randn(1, 3, dtype=torch.float64), torch.ones(1, 4, dtype=torch.bool)
    clean, spread = gate.clean(x), torch.nn.functional.softplus(gate.noise(x))
    scores = clean + torch.randn(1, 4, dtype=torch.float64) * spread
    best, order = scores.topk(3, 1)
    chosen = torch.zeros_like(available).scatter(1, order[:, :2], True)
    chances = gate._chances(clean, spread, best, chosen, available)[0]
    for i in range(4):  # the noise of expert i alone is drawn anew
        again = scores.detach().repeat(40_000, 1)
        again[:, i] = clean[0, i].detach() + torch.randn(40_000, dtype=torch.float64) * spread[0, i].detach()
        often = (again.topk(2, 1).indices == i).any(1).double().mean()
        assert often.item() == pytest.approx(chances[i].item(), abs=0.01)


def test_a_gate_of_few_experts_chooses_all_and_has_no_load_to_balance():
    gate = NoisyGate(3, experts=2, top_k=3)
    routing = gate(torch.randn(4, 3), torch.ones(4, 2, dtype=torch.bool))
    assert (routing.gates > 0).all() and routing.losses["load"] == 0 and routing.losses["importance"] > 0


def test_losses_of_weight_zero_are_left_out():
    fusion, _ = built(MixtureOfExpertsFusion, importance_weight=0.0, load_weight=0.1)
    assert set(fusion(samples()[0]).auxiliary_losses) == {"load"}


# --- product of experts


def beliefs_by_hand(row, w):
    """(mean, variance) of each present modality."""
    both = [np.split(projected(m, v, w, "experts"), 2) for m, v in row.items()]
    return [(mean, np.exp(log_variance)) for mean, log_variance in both]


def test_the_joint_gaussian_is_the_product_of_densities():
    fusion, w = built(ProductOfExpertsFusion, kl_weight=1.0)
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
    fusion, w = built(ProductOfExpertsFusion, kl_weight=0.01)
    inputs, rows = samples()
    mean, variance = (torch.from_numpy(x) for x in joint_by_hand(rows, w))
    expected = kl_divergence(Normal(mean, variance.sqrt()), Normal(0.0, 1.0)).sum(1).mean()
    fused = fusion(inputs)
    assert_close(fused.auxiliary_losses["kl"], 0.01 * expected.numpy())
    assert_close(fused.pooled, mean.numpy())
    assert built(ProductOfExpertsFusion, kl_weight=0)[0](inputs).auxiliary_losses == {}


def test_training_draws_from_the_joint_gaussian():
    fusion, w = built(ProductOfExpertsFusion)
    inputs, rows = samples()
    mean, variance = joint_by_hand(rows, w)
    torch.manual_seed(5)
    z = fusion.train()(inputs).pooled
    torch.manual_seed(5)
    noise = torch.randn(mean.shape, dtype=torch.float64).numpy()
    assert_close(z, mean + noise * np.sqrt(variance))


def test_the_shares_of_precision_and_the_priors_sum_to_one():
    fusion, w = built(ProductOfExpertsFusion)
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


# --- EmbraceNet


def docked_by_hand(row, w):
    return {m: np.maximum(projected(m, v, w, "dock"), 0) for m, v in row.items()}


@pytest.mark.parametrize("odds", [None, {"text": 1.0, "image": 3.0, "audio": 0.5}])
def test_in_evaluation_embracenet_is_the_expectation(odds):
    fusion, w = built(EmbraceNetFusion, probabilities=odds)
    inputs, rows = samples()
    expected = []
    for row in rows:
        docked = docked_by_hand(row, w)
        share = {m: (odds or dict.fromkeys(DIMS, 1.0))[m] for m in row}
        expected.append(sum(share[m] / sum(share.values()) * docked[m] for m in row))
    assert_close(fusion(inputs).pooled, expected)


def test_in_training_each_number_comes_from_one_present_modality_and_on_average_gives_the_expectation():
    fusion, w = built(EmbraceNetFusion, probabilities={"text": 1.0, "image": 3.0, "audio": 0.5})
    inputs, rows = samples()
    expectation = fusion(inputs).pooled.detach()
    fusion.train()
    torch.manual_seed(0)
    many = pick(inputs, list(range(len(rows))) * 4000)
    draws = fusion(many).pooled.detach().unflatten(0, (4000, len(rows)))  # (N, B, H)
    for b, row in enumerate(rows):
        docked = np.stack(list(docked_by_hand(row, w).values()))  # (|P|, H)
        assert np.isclose(draws[:50, b].numpy()[:, None], docked).any(1).all()
    np.testing.assert_allclose(draws.mean(0), expectation, atol=0.12)


def test_draws_have_the_chances_that_were_told_and_are_independent():
    torch.manual_seed(0)
    odds = torch.tensor([[1.0, 3.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    taken = drawn(odds, 40_000)
    often = torch.nn.functional.one_hot(taken, 3).double().mean(1)
    torch.testing.assert_close(often[:2], torch.tensor([[0.25, 0.75, 0], [0, 0, 1]]).double(), atol=0.01, rtol=0)
    both = ((taken[0, ::2] == 0) & (taken[0, 1::2] == 0)).double().mean().item()
    assert both == pytest.approx(1 / 16, abs=0.01)


# --- all of them


@pytest.mark.parametrize("kind", [MixtureOfExpertsFusion, ProductOfExpertsFusion, EmbraceNetFusion])
def test_the_output_begins_with_a_size_of_about_one(kind):
    torch.manual_seed(0)
    dims = {"text": 48, "image": 64, "audio": 32}
    size = kind(dims, 64).eval()(random_inputs(dims, 64)).pooled.square().mean().item()
    assert 0.25 < size < 2.5


def test_the_joint_belief_begins_with_the_variance_of_the_prior():
    torch.manual_seed(0)
    dims = {"text": 48, "image": 64, "audio": 32}
    drawn_z = ProductOfExpertsFusion(dims, 64, dropout=0.0).train()(random_inputs(dims, 256)).pooled
    assert drawn_z.square().mean().item() == pytest.approx(1.0, rel=0.15)


def test_options_that_do_not_fit_are_told():
    with pytest.raises(ConfigError, match="top_k=1 must be at least 2"):
        MixtureOfExpertsFusion(DIMS, WIDTH, top_k=1)
    with pytest.raises(ConfigError, match="experts_per_modality=0 .* must be at least 1"):
        MixtureOfExpertsFusion(DIMS, WIDTH, experts_per_modality=0)
    with pytest.raises(ConfigError, match="load_weight=-1 at least 0"):
        MixtureOfExpertsFusion(DIMS, WIDTH, load_weight=-1)
    with pytest.raises(ConfigError, match="kl_weight=-0.1 must be at least 0"):
        ProductOfExpertsFusion(DIMS, WIDTH, kl_weight=-0.1)
    for wrong in ({"text": 1.0, "image": 1.0}, {"text": 1.0, "image": 1.0, "audio": 0.0}):
        with pytest.raises(ConfigError, match=r"must give each of \['text', 'image', 'audio'\] a number above 0"):
            EmbraceNetFusion(DIMS, WIDTH, probabilities=wrong)
