"""Each strategy against NumPy, written from its formula, with modalities missing and sequences padded."""

import math

import numpy as np
import pytest
import torch
from scipy.special import erf

from mmbert.core.errors import ConfigError, InputError
from mmbert.fusion.concat import ConcatFusion
from mmbert.fusion.cross_attention import CrossAttentionFusion
from mmbert.fusion.mean import MeanFusion
from mmbert.fusion.product import ProductFusion
from mmbert.testing import random_inputs

DIMS = {"text": 4, "image": 3, "audio": 5}
PRESENT = [[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0]]
WIDTH = 8


def built(kind, **options):
    """In float64, evaluation mode, with norms that are no identity."""
    torch.manual_seed(3)
    fusion = kind(DIMS, WIDTH, **options).double().eval()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return fusion


def inputs_and_arrays():
    inputs = random_inputs(DIMS, len(PRESENT), present=torch.tensor(PRESENT).bool(), dtype=torch.float64)
    return inputs, {m: (x.tokens.numpy(), x.mask.numpy(), x.pooled.numpy()) for m, x in inputs.items()}


def weights_of(fusion):
    return {name: tensor.detach().numpy() for name, tensor in fusion.state_dict().items()}


def norm(x, w, name):
    centred = x - x.mean(-1, keepdims=True)
    return (
        centred / np.sqrt(centred.__pow__(2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]
    )


def linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def gelu(x):
    return x * (1 + erf(x / math.sqrt(2))) / 2


def projected(m, vectors, w):
    return linear(norm(vectors, w, f"project.{m}.norm"), w, f"project.{m}.linear")


def test_concat_is_one_projection_of_the_vectors_side_by_side():
    fusion = built(ConcatFusion)
    inputs, arrays = inputs_and_arrays()
    w = weights_of(fusion)
    rows = []
    for b, here in enumerate(PRESENT):
        slots = [
            norm(arrays[m][2][b], w, f"norms.{m}") if there else np.zeros(DIMS[m])
            for m, there in zip(DIMS, here, strict=True)
        ]
        rows.append(linear(np.concatenate(slots), w, "linear"))
    np.testing.assert_allclose(fusion(inputs).pooled.detach(), np.stack(rows), atol=1e-10)


def test_mean_is_over_the_present_modalities_alone():
    fusion = built(MeanFusion)
    inputs, arrays = inputs_and_arrays()
    w = weights_of(fusion)
    rows = [
        np.mean([projected(m, arrays[m][2][b], w) for m, there in zip(DIMS, here, strict=True) if there], axis=0)
        for b, here in enumerate(PRESENT)
    ]
    np.testing.assert_allclose(fusion(inputs).pooled.detach(), np.stack(rows), atol=1e-10)


def test_product_multiplies_the_present_modalities_alone():
    fusion = built(ProductFusion)
    inputs, arrays = inputs_and_arrays()
    w = weights_of(fusion)
    rows = [
        np.prod(
            [np.tanh(projected(m, arrays[m][2][b], w)) for m, there in zip(DIMS, here, strict=True) if there], axis=0
        )
        for b, here in enumerate(PRESENT)
    ]
    np.testing.assert_allclose(fusion(inputs).pooled.detach(), np.stack(rows), atol=1e-10)


def attention_by_hand(queries, keys, w, name, heads):
    """(Q, H), (K, H) -> (Q, H): softmax(q k' / sqrt(H / heads)) v, head by head."""
    q = linear(queries, w, f"{name}.query")
    k, v = np.split(linear(keys, w, f"{name}.key_value"), 2, axis=-1)
    size = WIDTH // heads
    mixed = []
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed.append(shares / shares.sum(-1, keepdims=True) @ v[:, part])
    return linear(np.concatenate(mixed, -1), w, f"{name}.out")


def cross_attention_by_hand(tokens, w, layers, heads):
    """One sample: {modality: (1 + L, D) vector and real tokens, if present} -> (H,) and {modality: (L, H)}."""
    x = {m: projected(m, t, w) + w[f"embedding.{m}"] for m, t in tokens.items()}
    for n in range(layers):
        normed = {m: norm(t, w, f"norms.{n}.{m}") for m, t in x.items()}
        updated = {}
        for m, t in x.items():
            others = [normed[j] for j in x if j != m]
            if others:
                t = t + attention_by_hand(normed[m], np.concatenate(others), w, f"layers.{n}.{m}.attention", heads)
            block = f"layers.{n}.{m}.feed_forward"
            t = t + linear(gelu(linear(norm(t, w, f"{block}.0"), w, f"{block}.1")), w, f"{block}.4")
            updated[m] = t
        x = updated
    pooled = np.mean([norm(t[0], w, f"final_norms.{m}") for m, t in x.items()], axis=0)
    return linear(pooled, w, "out"), {m: t[1:] for m, t in x.items()}


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (2, 4)])
def test_cross_attention_equals_the_formula_on_the_real_tokens(layers, heads):
    fusion = built(CrossAttentionFusion, num_layers=layers, num_heads=heads)
    inputs, arrays = inputs_and_arrays()
    w = weights_of(fusion)
    fused = fusion(inputs)
    for b, here in enumerate(PRESENT):
        real = {
            m: np.concatenate([arrays[m][2][b][None], arrays[m][0][b][arrays[m][1][b]]])
            for m, there in zip(DIMS, here, strict=True)
            if there
        }
        pooled, tokens = cross_attention_by_hand(real, w, layers, heads)
        np.testing.assert_allclose(fused.pooled[b].detach(), pooled, atol=1e-10)
        for m, expected in tokens.items():
            np.testing.assert_allclose(fused.tokens[m][b][inputs[m].mask[b]].detach(), expected, atol=1e-10)


def test_attention_weights_come_only_when_asked_for_and_sum_to_one():
    fusion = built(CrossAttentionFusion, num_layers=1)
    inputs, _ = inputs_and_arrays()
    assert fusion(inputs).diagnostics == {}
    seen = fusion(inputs, diagnostics=True).diagnostics
    assert set(seen) == {"share/attention", "share/output", *(f"attention/0/{m}" for m in DIMS)}
    sums = seen["attention/0/text"].sum(-1)  # (B, heads, Q)
    others = torch.tensor([bool(here[1] or here[2]) for here in PRESENT])
    torch.testing.assert_close(sums, others[:, None, None].expand_as(sums).double())


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="num_heads=3 must divide fusion.out_dim=8"):
        CrossAttentionFusion(DIMS, WIDTH, num_heads=3)


def test_a_plain_vector_becomes_tokens_too():
    fusion = built(MeanFusion)
    inputs, arrays = inputs_and_arrays()
    fused = fusion(inputs)
    w = weights_of(fusion)
    tokens, mask, _ = arrays["image"]
    expected = linear(tokens, w, "token_projection.image") + fused.pooled.detach().numpy()[:, None]
    np.testing.assert_allclose(fused.tokens["image"].detach(), np.where(mask[..., None], expected, 0), atol=1e-10)


def test_wrong_inputs_are_told_in_words():
    fusion = MeanFusion(DIMS, WIDTH)
    inputs = random_inputs(DIMS)
    with pytest.raises(InputError, match="was built for .* but was given .*An absent modality keeps its key"):
        fusion({"text": inputs["text"]})
    with pytest.raises(InputError, match="expects width 4 for 'text'"):
        fusion({**inputs, "text": inputs["audio"]})
    with pytest.raises(InputError, match="different batch sizes"):
        fusion({**inputs, "text": random_inputs(DIMS, 2)["text"]})
    with pytest.raises(InputError, match="at least one modality"):
        MeanFusion({}, WIDTH)


def test_the_order_of_the_keys_does_not_matter():
    for kind in (ConcatFusion, MeanFusion, ProductFusion, CrossAttentionFusion):
        fusion = built(kind)
        inputs, _ = inputs_and_arrays()
        turned = dict(reversed(inputs.items()))
        assert torch.equal(fusion(inputs).pooled, fusion(turned).pooled)


@pytest.mark.parametrize("layers", [1, 3])
def test_cross_attention_without_tokens_asks_for_the_summaries_alone_and_gives_the_same_vector(layers):
    whole = built(CrossAttentionFusion, num_heads=2, num_layers=layers)
    brief = built(CrossAttentionFusion, num_heads=2, num_layers=layers)
    brief.drop_tokens()
    inputs, _ = inputs_and_arrays()
    asked = []
    last = brief.layers[-1]["text"].register_forward_pre_hook(lambda module, args: asked.append(args[0].shape[1]))
    expected, given = whole(inputs), brief(inputs)
    torch.testing.assert_close(given.pooled, expected.pooled, rtol=1e-12, atol=1e-12)
    assert asked == [1] and given.tokens == {} and expected.tokens
    torch.testing.assert_close(brief(inputs, diagnostics=True).pooled, expected.pooled, rtol=1e-12, atol=1e-12)
    assert asked == [1, 1 + inputs["text"].tokens.shape[1]], "whoever asks for the weights gets all of them"
    last.remove()
    for fusion, fused in ((whole, expected), (brief, given)):
        fusion.zero_grad()
        fused.pooled.square().sum().backward()
    for (name, one), other in zip(whole.named_parameters(), brief.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-9, atol=1e-12, msg=name)
