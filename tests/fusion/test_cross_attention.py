"""Cross-attention against NumPy on the real tokens, its weights, and what is saved when nobody reads its tokens."""

import numpy as np
import pytest
import torch

from fusion_harness import (
    DIMS,
    PRESENT,
    WIDTH,
    assert_tokens_fuse_to,
    attention,
    batch_of,
    build,
    build_with_weights,
    gelu,
    linear,
    norm,
    projected,
)
from mmbert.core.errors import ConfigError
from mmbert.fusion.cross_attention import CrossAttentionFusion


def attend(queries, keys, w, name, heads):
    """(Q, H), (K, H) -> (Q, H)."""
    k, v = np.split(linear(keys, w, f"{name}.key_value"), 2, axis=-1)
    return linear(attention(linear(queries, w, f"{name}.query"), k, v, heads), w, f"{name}.out")


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (2, 4)])
def test_cross_attention_equals_the_formula_on_the_real_tokens(layers, heads):
    fusion, w = build_with_weights(CrossAttentionFusion, num_layers=layers, num_heads=heads)

    def by_hand(sample):
        x = {
            m: projected(np.stack([pooled, *tokens]), w, f"project.{m}") + w[f"embedding.{m}"]
            for m, (pooled, tokens, _) in sample.items()
        }
        for n in range(layers):
            normed = {m: norm(t, w, f"norms.{n}.{m}") for m, t in x.items()}
            updated = {}
            for m, t in x.items():
                others = [normed[j] for j in x if j != m]
                if others:
                    t = t + attend(normed[m], np.concatenate(others), w, f"layers.{n}.{m}.attention", heads)
                block = f"layers.{n}.{m}.feed_forward"
                updated[m] = t + linear(gelu(linear(norm(t, w, f"{block}.0"), w, f"{block}.1")), w, f"{block}.4")
            x = updated
        pooled = np.mean([norm(t[0], w, f"final_norms.{m}") for m, t in x.items()], axis=0)
        return linear(pooled, w, "out"), {m: t[1:] for m, t in x.items()}

    assert_tokens_fuse_to(fusion, by_hand)


def test_attention_weights_come_only_when_asked_for_and_sum_to_one():
    fusion, inputs = build(CrossAttentionFusion, num_layers=1), batch_of()
    assert fusion(inputs).diagnostics == {}
    seen = fusion(inputs, diagnostics=True).diagnostics
    assert set(seen) == {"share/attention", "share/output", *(f"attention/0/{m}" for m in DIMS)}
    sums = seen["attention/0/text"].sum(-1)  # (B, heads, Q)
    others = torch.tensor([bool(here[1] or here[2]) for here in PRESENT])
    torch.testing.assert_close(sums, others[:, None, None].expand_as(sums).double())


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="num_heads=3 must divide fusion.out_dim=8"):
        CrossAttentionFusion(DIMS, WIDTH, num_heads=3)


@pytest.mark.parametrize("layers", [1, 3])
def test_without_tokens_the_summaries_alone_ask_and_give_the_same_vector(layers):
    whole = build(CrossAttentionFusion, num_heads=2, num_layers=layers)
    brief = build(CrossAttentionFusion, num_heads=2, num_layers=layers)
    brief.drop_tokens()
    inputs = batch_of()
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
