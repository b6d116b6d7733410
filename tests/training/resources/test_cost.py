"""Operations are those that a hand count gives; steps are timed; nothing of the model is changed by counting."""

import json

import pytest
import torch
from torch import nn

from mmbert.training.build import build
from mmbert.training.resources import cost

COVERS = ("parameter_counts",)


def test_layers_are_counted_as_by_hand():
    convolution = nn.Conv2d(3, 4, kernel_size=3, padding=1)  # 4·3·9 products for each of 8·8 places
    linear = nn.Linear(4 * 64, 5)  # 256·5
    x = torch.zeros(1, 3, 8, 8)
    with torch.no_grad():
        assert cost.count(lambda: linear(convolution(x).relu().flatten(1))) == 2 * (4 * 3 * 9 * 64 + 256 * 5)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_not_free_on_a_cpu(masked):
    """heads · L · K · d products for the scores and as many for the mixture; torch's own kernel would count as 0."""
    heads, queries, keys, width = 2, 5, 7, 4
    q, k = torch.zeros(1, heads, queries, width), torch.zeros(1, heads, keys, width)
    mask = torch.ones(1, 1, 1, keys, dtype=torch.bool) if masked else None
    with torch.no_grad():
        flops = cost.count(lambda: nn.functional.scaled_dot_product_attention(q, k, k, attn_mask=mask))
    assert flops == 2 * 2 * heads * queries * keys * width


def test_a_transformer_layer_is_counted_though_torch_has_one_kernel_for_it():
    dim, hidden, length = 8, 16, 5
    layer = nn.TransformerEncoderLayer(dim, 2, hidden, batch_first=True).eval()
    with torch.no_grad():
        flops = cost.count(lambda: layer(torch.zeros(1, length, dim)))
    projections = length * dim * 4 * dim
    attention = 2 * length * length * dim
    assert flops == 2 * (projections + attention + 2 * length * dim * hidden)
    assert torch.backends.mha.get_fastpath_enabled()


def test_recurrent_layers_are_counted():
    """An LSTM has 4 gates, each W x + U h."""
    lstm = nn.LSTM(3, 8, batch_first=True)
    with torch.no_grad():
        assert cost.count(lambda: lstm(torch.zeros(1, 5, 3))) == 2 * 5 * 4 * (3 * 8 + 8 * 8)


@pytest.fixture(scope="module")
def parts(compose_tiny):
    torch.manual_seed(0)
    return build(compose_tiny("fusion=concat", "logger=none"))


def test_a_whole_model(parts):
    """Of concat: one product W z with z the vectors side by side; then the heads, linear each."""
    model = parts.model.train()
    state = torch.random.get_rng_state()
    facts = cost.cost_facts(model, parts.data)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.training and model.fusion.training
    outputs = sum(p.numel() // 16 for name, p in model.tasks.named_parameters() if name.endswith("weight"))
    assert facts["flops_fusion"] == 2 * (sum(model.fusion.dims.values()) * 16 + 16 * outputs)
    assert facts["flops_forward"] > facts["flops_fusion"]
    assert facts["parameters"] == sum(p.numel() for p in model.parameters())
    assert facts["parameters_fusion"] == sum(p.numel() for p in model.fusion.parameters())
    row = parts.data.table.row(facts["flops_row"]) if hasattr(parts.data.table, "row") else None
    assert facts["flops_row"] in parts.data.rows["val"] and (row is None or all(row[m] for m in model.fusion.dims))


def test_a_frozen_encoder_is_counted_once_and_what_it_remembers_is_left_alone(compose_tiny):
    cost.COUNTED.clear()
    frozen = build(compose_tiny("logger=none", "encoders.text.frozen=true", "image=none", "audio=none"))
    first = cost.cost_facts(frozen.model, frozen.data)
    text = frozen.model.named_encoders()["text"]
    assert len(cost.COUNTED) == 1 and text.token_cache is not None and not text.token_cache.rows
    text.encode = lambda inputs: pytest.fail("it ran again")
    assert cost.cost_facts(frozen.model, frozen.data) == first


def test_a_run_says_what_it_costs(finished_run):
    facts = json.loads((finished_run / "metrics.json").read_text())
    assert 0 < facts["step_milliseconds"] < 1000 * facts["fit_seconds"]
    assert 0 < facts["parameters_fusion"] < facts["parameters_trained"] <= facts["parameters"]
    assert 0 < facts["flops_fusion"] < facts["flops_forward"]
