"""The noisy gate against NumPy: gates and balancing losses with experts missing, and chances against counting."""

import numpy as np
import pytest
import torch

from fusion_harness import assert_close, gate_chances, squared_variation, top_gates
from mmbert.fusion.layers.noisy_gate import NoisyGate


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
    gates = np.stack([top_gates(s, row, 2) for s, row in zip(scores, able, strict=True)])
    assert_close(routing.gates, gates)
    assert not np.allclose(gates, gate.eval()(x, available).gates.detach()), "the noise changes something"
    chances = np.stack([gate_chances(clean[b], spread[b], scores[b], row, 2) for b, row in enumerate(able)])
    weight = np.array([[(i in row) / len(row) for i in range(5)] for row in able])
    places = np.array([[min(2, len(row))] for row in able])
    assert_close(routing.losses["importance"], squared_variation(gates.sum(0)[:4] / weight.sum(0)[:4]))
    assert_close(routing.losses["load"], squared_variation(chances.sum(0)[:4] / (weight * places).sum(0)[:4]))


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
