"""The adaptation gate against NumPy written from the paper; in an encoder between two layers; missing words."""

import numpy as np
import pytest
import torch

from mmbert.core.errors import ConfigError, InputError
from mmbert.core.types import Encoded
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.mag import AdaptationGate, MAGFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification
from mmbert.tasks.regression import Regression
from mmbert.testing import check_fusion, random_inputs

DIMS = {"text": 6, "visual": 3, "acoustic": 5}


def gate_of(words, beta=0.7):
    torch.manual_seed(1)
    gate = AdaptationGate(6, {"visual": 3, "acoustic": 5}, beta, words, 4, 0.0).double().eval()
    with torch.no_grad():
        for parameter in gate.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return gate


def by_hand(w, z, spoken, beta):
    """One word: z (D,), {modality: v (D_m,)} of those that speak -> (D,); ReLU gates, displacement, alpha, norm."""
    h = np.zeros_like(z)
    for m, v in spoken.items():
        g = np.maximum(w[f"gate.{m}.weight"] @ np.concatenate([z, v]) + w[f"gate.{m}.bias"], 0)
        h = h + g * (w[f"shift.{m}.weight"] @ v)
    if spoken:
        h = h + w["bias"]
    size = np.sqrt((h**2).sum())
    alpha = min(beta * np.sqrt((z**2).sum()) / size, 1) if size else 1
    x = z + alpha * h
    x = (x - x.mean()) / np.sqrt(((x - x.mean()) ** 2).mean() + 1e-5)
    return x * w["norm.weight"] + w["norm.bias"], alpha


@pytest.mark.parametrize("words", ["aligned", "pooled", "attention"])
@pytest.mark.parametrize("beta", [0.05, 0.7, 50.0])
def test_the_gate_equals_the_formula_word_by_word(words, beta):
    gate = gate_of(words, beta)
    w = {name: tensor.numpy() for name, tensor in gate.state_dict().items()}
    lengths = dict.fromkeys(DIMS, 4) if words == "aligned" else None
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 0, 0]]).bool()
    x = random_inputs(DIMS, 3, lengths, present, dtype=torch.float64)
    others = {m: x[m] for m in ("visual", "acoustic")}
    out = gate(x["text"].tokens, x["text"].mask, others).detach().numpy()
    alphas = []
    for b, i in x["text"].mask.nonzero().tolist():
        z, spoken = x["text"].tokens[b, i].numpy(), {}
        for m, o in others.items():
            real = o.tokens[b][o.mask[b]].numpy()
            if words == "aligned" and o.mask[b, i]:
                spoken[m] = o.tokens[b, i].numpy()
            elif words == "pooled" and len(real):
                spoken[m] = o.pooled[b].numpy()
            elif words == "attention" and len(real):
                scores = (w[f"key.{m}.weight"] @ real.T).T @ (w[f"query.{m}.weight"] @ z) / np.sqrt(4)
                spoken[m] = np.exp(scores) / np.exp(scores).sum() @ real
        expected, alpha = by_hand(w, z, spoken, beta)
        alphas += [alpha] if spoken else []
        np.testing.assert_allclose(out[b, i], expected, atol=1e-9)
    assert beta != 50 or set(alphas) == {1}
    assert beta != 0.05 or max(alphas) < 1


def test_the_strategy_keeps_every_law_with_the_other_ways_to_the_words():
    for words in ("pooled", "aligned"):
        assert check_fusion(
            MAGFusion, words=words, only=["absence changes nothing", "every present modality is used"]
        ).passed


def test_without_text_the_displacement_alone_is_judged():
    fusion = MAGFusion(DIMS, 4, words="pooled", beta=0.01, dropout=0.0).double().eval()
    x = random_inputs(DIMS, 1, present=torch.tensor([[0, 1, 1]]).bool(), dtype=torch.float64)
    w = {name.removeprefix("gate."): t.numpy() for name, t in fusion.state_dict().items() if name.startswith("gate.")}
    spoken = {m: x[m].pooled[0].numpy() for m in ("visual", "acoustic")}
    h = sum(
        np.maximum(w[f"gate.{m}.weight"] @ np.concatenate([np.zeros(6), v]) + w[f"gate.{m}.bias"], 0)
        * (w[f"shift.{m}.weight"] @ v)
        for m, v in spoken.items()
    )
    h = (h - h.mean()) / np.sqrt(h.var() + 1e-5)  # alpha is 1, whatever beta
    h = (h - h.mean()) / np.sqrt(h.var() + 1e-5)
    expected = fusion.out.weight.detach().numpy() @ h + fusion.out.bias.detach().numpy()
    np.testing.assert_allclose(fusion(x).pooled[0].detach(), expected, atol=1e-9)


# -------------------------------------------------------------------------------------------------- in an encoder


class Given(torch.nn.Module):
    """An encoder whose output is handed to it."""

    kind, lr_scale, constant, frozen, injectable_layers = "features", 1.0, False, False, 0

    def __init__(self, dim):
        super().__init__()
        self.out_dim = dim
        self.encoded = None

    def forward(self, inputs, injection=None):
        return self.encoded


def model_of(layer=1, frozen=True, **options):
    torch.manual_seed(0)
    text = TextEncoder("tiny", frozen=frozen)
    encoders = {"text": text, "visual": Given(3), "acoustic": Given(5)}
    dims = {name: encoder.out_dim for name, encoder in encoders.items()}
    fusion = MAGFusion(dims, 4, layer=layer, words="pooled", dropout=0.0, **options)
    model = MultimodalModel(encoders, fusion, {"value": Regression(4, "value", dropout=0.0)})
    given = random_inputs({"visual": 3, "acoustic": 5}, 3, present=torch.tensor([[1, 1], [0, 1], [1, 1]]).bool())
    for name, x in given.items():
        encoders[name].encoded = x
    inputs = {"text": text.processor.collate(["a fine day", "no", None]), "visual": {}, "acoustic": {}}
    return model.eval(), inputs, given


@pytest.mark.parametrize("layer", [0, 1])
def test_the_states_between_two_layers_are_shifted_and_the_layers_above_go_on(layer):
    """The network's layers run by hand, one sample at a time, with the gate before one of them."""
    model, inputs, given = model_of(layer)
    text = model.encode(inputs)["text"]
    assert text.injected and not text.present[2]
    network = model.encoders["text"].network
    for row in (0, 1):
        ids = inputs["text"]["input_ids"][row][inputs["text"]["mask"][row]].unsqueeze(0)
        hidden = network.embeddings(input_ids=ids)
        for number, block in enumerate(network.encoder.layer):
            if number == layer:
                others = {m: x.rows(torch.tensor([row])) for m, x in given.items()}
                hidden = model.fusion.gate(hidden, torch.ones(1, hidden.shape[1], dtype=torch.bool), others)
            hidden = block(hidden)
        torch.testing.assert_close(text.tokens[row][text.mask[row]], hidden[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(text.pooled[row], hidden[0].mean(0), rtol=1e-5, atol=1e-5)
    output = model.decode(model.encode(inputs))
    expected = model.fusion.out(model.fusion.final_norm(text.pooled[:2]))
    torch.testing.assert_close(output.fused.pooled[:2], expected)


def test_gradients_pass_through_a_frozen_network_to_the_gate_and_to_nothing_in_it():
    model, inputs, _ = model_of()
    model.train()(inputs).outputs["value"]["value"][:2].sum().backward()
    for name, parameter in model.fusion.gate.named_parameters():
        assert parameter.grad is not None and bool((parameter.grad != 0).any()), name
    assert all(p.grad is None for p in model.encoders["text"].parameters())


@pytest.mark.slow
def test_it_learns_xor_of_a_word_and_a_vector():
    """Neither tells anything of the label; with a linear head the gate must bring them together inside the encoder."""
    rows = 2000
    random = np.random.default_rng(0)
    states = random.integers(0, 2, (rows, 2))
    vectors = (2 * states[:, 1:] - 1) * random.standard_normal(8) + 0.3 * random.standard_normal((rows, 8))
    labels = torch.tensor(states[:, 0] ^ states[:, 1])
    words = [["dark", "light"][state] for state in states[:, 0]]
    torch.manual_seed(0)
    encoders = {"text": TextEncoder("tiny"), "visual": FeatureEncoder(8)}
    fusion = MAGFusion({name: encoder.out_dim for name, encoder in encoders.items()}, 16, layer=1, dropout=0.0)
    task = Classification(16, "label", ["same", "other"], dropout=0.0)
    model = MultimodalModel(encoders, fusion, {"label": task})

    def inputs(chosen):
        return {
            "text": encoders["text"].processor.collate([words[row] for row in chosen]),
            "visual": encoders["visual"].processor.collate([torch.tensor(vectors[[row]]).float() for row in chosen]),
        }

    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(500):
        chosen = random.integers(0, 1000, 64)
        loss = task.loss(model(inputs(chosen)).outputs["label"], {"label": labels[chosen]}).mean
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        guessed = model.eval()(inputs(range(1000, rows))).outputs["label"]["logits"].argmax(1)
    assert (guessed == labels[1000:]).double().mean() > 0.95


def test_what_is_remembered_or_stored_of_a_text_is_not_used():
    model, inputs, _ = model_of()
    plain = model.encoders["text"](inputs["text"])  # goes into the encoder's memory
    first = model.encode(inputs)["text"]
    assert not torch.allclose(first.pooled[0], plain.pooled[0])
    model.encoders["visual"].encoded = model.encoders["visual"].encoded.absent()
    assert not torch.allclose(model.encode(inputs)["text"].pooled[0], first.pooled[0])
    torch.testing.assert_close(model.encoders["text"](inputs["text"]).pooled, plain.pooled)
    stored = {"stored.pooled": plain.pooled, "mask": plain.present.unsqueeze(1)}
    with pytest.raises(InputError, match="Layer injection needs the encoder to run, .* store.enabled=false"):
        model.encode({**inputs, "text": stored})


def test_alone_the_text_has_nothing_of_the_others():
    from mmbert.core.types import Batch
    from mmbert.training.modality_balance.unimodal import decode_unimodal

    model, inputs, given = model_of()
    batch = Batch(inputs, {"value": torch.zeros(3)}, torch.arange(3))
    output, _ = decode_unimodal(model, batch, model.encode(inputs), "text")
    for name, x in given.items():
        model.encoders[name].encoded = x.absent()
    bare = {name: x.rows(torch.tensor([0, 1])) for name, x in model.encode(inputs).items()}
    torch.testing.assert_close(output.outputs["value"], model.decode(bare).outputs["value"])


def test_an_encoder_without_the_layer_is_refused():
    with pytest.raises(ConfigError, match="fusion.layer=2: the encoder 'text' has the layers 0 to 1"):
        model_of(layer=2)
    with pytest.raises(
        ConfigError, match="into the layers of the encoder 'visual', but Given has no injectable_layers"
    ):
        model_of(into="visual")
    with pytest.raises(ConfigError, match="fusion.into=txt is no encoder.*'text'"):
        MAGFusion(DIMS, 4, into="txt")
    with pytest.raises(ConfigError, match="Did you mean 'pooled'"):
        MAGFusion(DIMS, 4, words="poled")
    text = TextEncoder("tiny", gradient_checkpointing=True)
    injection = MAGFusion({"text": 32}, 4).injection({})
    with pytest.raises(ConfigError, match="gradient_checkpointing cannot be combined"):
        text.train()(text.processor.collate(["a"]), injection)
    gate = gate_of("aligned")
    x = random_inputs(DIMS, 2, dict(zip(DIMS, (4, 3, 4), strict=True)), dtype=torch.float64)
    with pytest.raises(InputError, match="a token of 'visual' for each word, but there are 3 for 4"):
        gate(x["text"].tokens, x["text"].mask, {m: x[m] for m in ("visual", "acoustic")})


def test_encoded_keeps_its_mark():
    x = Encoded(torch.zeros(2, 1, 3), torch.ones(2, 1, dtype=torch.bool), torch.zeros(2, 3), injected=True)
    assert x.absent().injected and x.rows(torch.tensor([1])).injected and not x.absent().present.any()
