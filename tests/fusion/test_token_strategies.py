"""Token-level strategies against NumPy, written from their formulas for one sample's real tokens: no masks there."""

import math

import numpy as np
import pytest
import torch
from scipy.special import erf

from mmbert.fusion.bottleneck import BottleneckFusion
from mmbert.fusion.co_attention import CoAttentionFusion
from mmbert.fusion.flamingo import FlamingoFusion
from mmbert.fusion.mult import MultFusion
from mmbert.fusion.perceiver import PerceiverFusion
from mmbert.fusion.single_stream import SingleStreamFusion
from mmbert.testing import random_inputs

DIMS = {"text": 4, "image": 3, "audio": 5}
PRESENT = [[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0]]
WIDTH = 8


def built(kind, dims=DIMS, **options):
    """In float64, evaluation mode, with norms that are no identity."""
    torch.manual_seed(3)
    fusion = kind(dims, WIDTH, **options).double().eval()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return fusion


class Hand:
    """The formulas' building blocks, on the weights of a fusion."""

    def __init__(self, fusion, heads):
        self.w = {name: tensor.detach().numpy() for name, tensor in fusion.state_dict().items()}
        self.heads = heads

    def linear(self, x, name):
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def norm(self, x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def embed(self, m, vectors):
        projected = self.linear(self.norm(vectors, f"embed.project.{m}.norm"), f"embed.project.{m}.linear")
        return projected + self.w[f"embed.modality.{m}"]

    def attention(self, q, k, v):
        mixed = []
        for part in np.split(np.arange(q.shape[1]), self.heads):
            scores = q[:, part] @ k[:, part].T / math.sqrt(len(part))
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            mixed.append(shares / shares.sum(-1, keepdims=True) @ v[:, part])
        return np.concatenate(mixed, -1)

    def self_attention(self, x, name):
        return self.linear(self.attention(*np.split(self.linear(x, f"{name}.qkv"), 3, axis=-1)), f"{name}.out")

    def cross_attention(self, x, y, name):
        if not len(y):
            return np.zeros_like(x)
        k, v = np.split(self.linear(y, f"{name}.key_value"), 2, axis=-1)
        return self.linear(self.attention(self.linear(x, f"{name}.query"), k, v), f"{name}.out")

    def ffn(self, x, name, activation):
        return self.linear(activation(self.linear(x, f"{name}.0")), f"{name}.3")

    def layer(self, x, name, activation):
        x = x + self.self_attention(self.norm(x, f"{name}.attention_norm"), f"{name}.attention")
        return x + self.ffn(self.norm(x, f"{name}.ffn_norm"), f"{name}.ffn", activation)

    def look(self, x, y, name, activation, gates=(1.0, 1.0)):
        normed = self.norm(x, f"{name}.query_norm"), self.norm(y, f"{name}.key_norm")
        x = x + gates[0] * self.cross_attention(*normed, f"{name}.attention")
        return x + gates[1] * self.ffn(self.norm(x, f"{name}.ffn_norm"), f"{name}.ffn", activation)


def gelu(x):
    return x * (1 + erf(x / math.sqrt(2))) / 2


def relu(x):
    return np.maximum(x, 0)


def assert_agrees(fusion, heads, by_hand, dims=DIMS):
    """by_hand(hand, {present modality: (vector, real tokens, their places)}) -> (H,), {modality: (L, H)}."""
    present = torch.tensor(PRESENT).bool()[:, : len(dims)]
    present = present[present.any(1)]
    hand = Hand(fusion, heads)
    for scattered in (False, True):
        inputs = random_inputs(dims, len(present), present=present, dtype=torch.float64, scattered=scattered)
        fused = fusion(inputs)
        for b, here in enumerate(present.tolist()):
            sample = {
                m: (x.pooled[b].numpy(), x.tokens[b][x.mask[b]].numpy(), x.mask[b].nonzero().flatten().numpy())
                for (m, x), there in zip(inputs.items(), here, strict=True)
                if there
            }
            pooled, tokens = by_hand(hand, sample)
            np.testing.assert_allclose(fused.pooled[b].detach(), pooled, atol=1e-10)
            assert set(tokens) == set(sample)
            for m, expected in tokens.items():
                np.testing.assert_allclose(fused.tokens[m][b][inputs[m].mask[b]].detach(), expected, atol=1e-10)


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (3, 4)])
def test_single_stream_is_one_transformer_over_all_real_tokens(layers, heads):
    def by_hand(hand, sample):
        parts = {m: hand.embed(m, tokens) for m, (_, tokens, _) in sample.items()}
        x = np.concatenate([hand.w["cls"][None], *parts.values()])
        for n in range(layers):
            x = hand.layer(x, f"layers.{n}", gelu)
        x = hand.norm(x, "norm")
        ends = np.cumsum([1, *(len(part) for part in parts.values())])
        return np.tanh(hand.linear(x[0], "out")), dict(zip(parts, np.split(x, ends)[1:], strict=False))

    assert_agrees(built(SingleStreamFusion, num_layers=layers, num_heads=heads), heads, by_hand)


@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize(("layers", "start", "count"), [(3, 1, 2), (2, 0, 4), (2, 1, 1)])
def test_bottleneck_averages_the_updates_of_the_present_after_all_have_read_the_same(modalities, layers, start, count):
    dims = dict(list(DIMS.items())[:modalities])

    def by_hand(hand, sample):
        x = {m: np.stack([hand.w[f"cls.{m}"], *hand.embed(m, t)]) for m, (_, t, _) in sample.items()}
        shared = hand.w["bottleneck"] if modalities > 1 else np.zeros((0, WIDTH))
        for n in range(layers):
            if n < start:
                x = {m: hand.layer(t, f"layers.{n}.{m}", gelu) for m, t in x.items()}
                continue
            both = {m: hand.layer(np.concatenate([t, shared]), f"layers.{n}.{m}", gelu) for m, t in x.items()}
            x = {m: t[: len(x[m])] for m, t in both.items()}
            shared = np.mean([t[len(x[m]) :] for m, t in both.items()], axis=0)
        x = {m: hand.norm(t, f"norms.{m}") for m, t in x.items()}
        logits = [hand.linear(t[0], "out") for t in x.values()]  # as in the paper: judged one by one, then averaged
        return np.mean(logits, axis=0), {m: t[1:] for m, t in x.items()}

    fusion = built(BottleneckFusion, dims, num_layers=layers, fusion_layer=start, num_bottlenecks=count, num_heads=2)
    assert_agrees(fusion, 2, by_hand, dims)


def test_modalities_meet_in_the_bottleneck_alone_and_a_layer_after_it_was_written():
    inputs = random_inputs(DIMS, 2, dtype=torch.float64)
    other = {**inputs, "image": random_inputs(DIMS, 2, lengths=dict.fromkeys(DIMS, 3), seed=5)["image"]}
    other["image"] = type(other["image"])(
        other["image"].tokens.double(), other["image"].mask, other["image"].pooled.double()
    )
    for start, heard in ((2, False), (1, True)):
        fusion = built(BottleneckFusion, num_layers=3, fusion_layer=start)
        same = torch.equal(fusion(inputs).tokens["text"], fusion(other).tokens["text"])
        assert same != heard  # what is written into the bottleneck in a layer is read in the next


@pytest.mark.parametrize(("blocks", "per_block", "shared"), [(3, 2, True), (2, 1, False), (1, 0, True)])
def test_perceiver_reads_into_latents_and_tokens_ask_the_latents(blocks, per_block, shared):
    def by_hand(hand, sample):
        parts = {m: hand.embed(m, tokens) for m, (_, tokens, _) in sample.items()}
        y, u = np.concatenate(list(parts.values())), hand.w["latents"]
        for n in range(blocks):
            u = hand.look(u, y, f"looks.{min(n, 1) if shared else n}", gelu)
            for k in range(per_block):
                u = hand.layer(u, f"thinks.{0 if shared else n}.{k}", gelu)
        pooled = hand.linear(hand.norm(u.mean(0), "norm"), "out")
        return pooled, {m: hand.look(part, u, "decode", gelu) for m, part in parts.items()}

    options = {"num_blocks": blocks, "layers_per_block": per_block, "share_weights": shared, "num_latents": 3}
    fusion = built(PerceiverFusion, num_heads=2, **options)
    assert len(fusion.looks) == (min(blocks, 2) if shared else blocks)
    assert_agrees(fusion, 2, by_hand)


@pytest.mark.parametrize(("reader", "layers"), [(None, 2), ("audio", 1)])
def test_flamingo_reads_the_others_through_gates(reader, layers):
    def by_hand(hand, sample):
        parts = {m: hand.embed(m, tokens) for m, (_, tokens, _) in sample.items()}
        mine = parts.pop(reader or "text", np.zeros((0, WIDTH)))
        y = np.concatenate([np.zeros((0, WIDTH)), *parts.values()])
        x = np.concatenate([hand.w["start"][None], mine])
        for n in range(layers):
            gates = np.tanh(hand.w[f"looks.{n}.attention_gate"]), np.tanh(hand.w[f"looks.{n}.ffn_gate"])
            x = hand.look(x, y, f"looks.{n}", lambda t: relu(t) ** 2, gates)
            x = hand.layer(x, f"layers.{n}", gelu)
        x = hand.norm(x, "norm")
        pooled = hand.linear(x[0], "out")
        plain = {m: hand.linear(sample[m][1], f"token_projection.{m}") + pooled for m in parts}
        return pooled, {reader or "text": x[1:], **plain} if len(mine) else plain

    assert_agrees(built(FlamingoFusion, reader=reader, num_layers=layers, num_heads=2), 2, by_hand)


def test_a_flamingo_gate_at_zero_is_the_papers_the_others_say_nothing_yet_but_the_gates_learn():
    torch.manual_seed(0)
    fusion = FlamingoFusion(DIMS, WIDTH, gate_init=0.0).eval()
    inputs, other = random_inputs(DIMS, 3), random_inputs(DIMS, 3, seed=1)
    pooled = fusion(inputs).pooled
    assert torch.equal(pooled, fusion({**other, "text": inputs["text"]}).pooled)
    pooled.square().sum().backward()
    assert fusion.looks[0].attention_gate.grad.abs() > 0 and fusion.looks[0].ffn_gate.grad.abs() > 0
    assert (fusion.embed.project["image"].linear.weight.grad == 0).all()


@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_co_attention_exchanges_keys_and_values_with_norms_behind_the_sublayers(modalities):
    dims = dict(list(DIMS.items())[:modalities])

    def add_and_norm(hand, x, attended, name):
        x = hand.norm(x + attended, f"{name}.attention_norm")
        return hand.norm(x + hand.ffn(x, f"{name}.ffn", gelu), f"{name}.ffn_norm")

    def by_hand(hand, sample):
        x = {m: hand.embed(m, np.stack([pooled, *tokens])) for m, (pooled, tokens, _) in sample.items()}
        for n in range(2):
            if modalities > 1:
                qkv = {m: np.split(hand.linear(t, f"meetings.{n}.qkv.{m}"), 3, axis=-1) for m, t in x.items()}
                updated = {}
                for m, t in x.items():
                    k, v = ([qkv[j][i] for j in x if j != m] for i in (1, 2))
                    attended = np.zeros_like(t)
                    if k:
                        mixed = hand.attention(qkv[m][0], np.concatenate(k), np.concatenate(v))
                        attended = hand.linear(mixed, f"meetings.{n}.out.{m}")
                    updated[m] = add_and_norm(hand, t, attended, f"meetings.{n}.rest.{m}")
                x = updated
            for m, t in x.items():
                attended = hand.self_attention(t, f"layers.{n}.{m}.attention")
                x[m] = add_and_norm(hand, t, attended, f"layers.{n}.{m}.rest")
        pooled = np.mean([relu(hand.linear(t[0], f"poolers.{m}")) for m, t in x.items()], axis=0)
        return pooled, {m: t[1:] for m, t in x.items()}

    assert_agrees(built(CoAttentionFusion, dims, num_layers=2, num_heads=2), 2, by_hand, dims)


@pytest.mark.parametrize(
    ("read", "positions", "modalities"), [("last", True, 3), ("mean", False, 3), ("last", True, 1)]
)
def test_mult_crosses_every_ordered_pair_and_reads_the_last_real_token(read, positions, modalities):
    dims, d = dict(list(DIMS.items())[:modalities]), 6

    def wave(places):
        waves = np.zeros((len(places), d))
        for row, i in enumerate(places):
            for j in range(d // 2):
                waves[row, 2 * j : 2 * j + 2] = np.sin(i / 10000 ** (2 * j / d)), np.cos(i / 10000 ** (2 * j / d))
        return waves

    def by_hand(hand, sample):
        x = {m: hand.embed(m, t) + positions * wave(places) for m, (_, t, places) in sample.items()}
        wide = max(modalities - 1, 1) * d
        slots, tokens = [], {}
        for target in dims:
            if target not in x:
                slots.append(np.zeros(wide))
                continue
            streams = [x[target]] if modalities == 1 else []
            for source in dims:
                if source != target:
                    z = x[target]
                    for n in range(2):
                        name = f"pairs.{target}.{source}.layers.{n}"
                        z = hand.look(z, x.get(source, np.zeros((0, d))), name, relu)
                    streams.append(hand.norm(z, f"pairs.{target}.{source}.norm"))
            z = np.concatenate(streams, -1)
            for n in range(2):
                z = hand.layer(z, f"memory.{target}.{n}", relu)
            z = hand.norm(z, f"norms.{target}")
            slots.append(z[-1] if read == "last" else z.mean(0))
            tokens[target] = hand.linear(z, f"token_projection.{target}")
        h = np.concatenate(slots)
        return hand.linear(h + hand.ffn(h, "residual", relu), "out"), tokens

    options = {"width": d, "num_layers": 2, "memory_layers": 2, "num_heads": 2, "read": read, "positions": positions}
    assert_agrees(built(MultFusion, dims, **options), 2, by_hand, dims)
