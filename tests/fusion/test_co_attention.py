"""Co-attention against NumPy: keys and values exchanged, norms after the sublayers."""

import numpy as np
import pytest

from fusion_harness import DIMS, TransformerReference, assert_tokens_fuse_to, build, gelu, relu
from mmbert.fusion.co_attention import CoAttentionFusion


@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_co_attention_exchanges_keys_and_values_with_norms_behind_the_sublayers(modalities):
    dims = dict(list(DIMS.items())[:modalities])

    fusion = build(CoAttentionFusion, dims, num_layers=2, num_heads=2)
    hand = TransformerReference(fusion, 2)

    def add_and_norm(x, attended, name):
        x = hand.norm(x + attended, f"{name}.attention_norm")
        return hand.norm(x + hand.ffn(x, f"{name}.ffn", gelu), f"{name}.ffn_norm")

    def by_hand(sample):
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
                    updated[m] = add_and_norm(t, attended, f"meetings.{n}.rest.{m}")
                x = updated
            for m, t in x.items():
                attended = hand.self_attention(t, f"layers.{n}.{m}.attention")
                x[m] = add_and_norm(t, attended, f"layers.{n}.{m}.rest")
        pooled = np.mean([relu(hand.linear(t[0], f"poolers.{m}")) for m, t in x.items()], axis=0)
        return pooled, {m: t[1:] for m, t in x.items()}

    assert_tokens_fuse_to(fusion, by_hand, dims)
