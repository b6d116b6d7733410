"""Attention rollout against NumPy, its weights against the networks' own outputs, and padding."""

import numpy as np
import pytest
import torch

from mmbert.analysis.parts.rollout import encoder_rollout, fusion_rollout, rollout
from mmbert.core.types import Encoded
from mmbert.encoders.attention_weights import encoder_attention
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.single_stream import SingleStreamFusion


def by_numpy(weights):
    """Abnar and Zuidema's own lines: heads averaged, the identity added, rows normalised, layers multiplied."""
    reached = np.eye(weights.shape[-1])
    for layer in weights:
        mixed = layer.mean(0) + np.eye(weights.shape[-1])
        reached = (mixed / mixed.sum(-1, keepdims=True)) @ reached
    return reached


def test_rollout_is_what_numpy_makes_of_it():
    weights = torch.rand(3, 2, 4, 5, 5).softmax(-1)
    made = rollout(weights)
    for sample in range(2):
        np.testing.assert_allclose(made[sample], by_numpy(weights[:, sample].numpy()), atol=1e-6)
    torch.testing.assert_close(made.sum(-1), torch.ones(2, 5))
    # two layers by hand: the lower one moves token 1 into token 0, the upper one 0 into 1
    lower, upper = torch.tensor([[0.0, 1], [0, 1]]), torch.tensor([[1.0, 0], [1, 0]])
    hand = [[0.5, 0.5], [0.25, 0.75]]
    torch.testing.assert_close(rollout(torch.stack([lower, upper])[:, None, None])[0], torch.tensor(hand))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_rollout_of_a_text_is_blind_to_padding_and_leaves_the_network_as_it_was(pooling):
    torch.manual_seed(0)
    encoder = TextEncoder("tiny", pooling=pooling).eval()
    inputs = encoder.processor.collate(["a rather long text", "short"])
    before = encoder(inputs).tokens
    reached = encoder_rollout(encoder, inputs)
    assert encoder.network.config._attn_implementation == "sdpa" and not encoder.network.config.output_attentions
    torch.testing.assert_close(encoder(inputs).tokens, before)
    assert (reached[~inputs["mask"]] == 0).all() and torch.allclose(reached.sum(1), torch.ones(2))
    alone = encoder_rollout(encoder, encoder.processor.collate(["short"]))
    torch.testing.assert_close(reached[1:, : alone.shape[1]], alone)
    weights, read = encoder_attention(encoder, inputs)
    assert weights.shape[:3] == (2, 2, 2)
    np.testing.assert_allclose(reached[0], read[0].numpy() @ by_numpy(weights[:, 0].numpy()), atol=1e-6)


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_a_vision_transformer_has_a_place_for_each_patch(pool):
    torch.manual_seed(0)
    options = {"embed_dim": 32, "depth": 2, "num_heads": 2, "global_pool": pool}
    encoder = ImageEncoder("vit_tiny_patch16_224", pretrained=False, image_size=32, options=options).eval()
    inputs = {"pixels": torch.randn(2, 3, 32, 32), "mask": torch.ones(2, 1).bool()}
    before = encoder(inputs).tokens
    reached = encoder_rollout(encoder, inputs)
    torch.testing.assert_close(encoder(inputs).tokens, before)
    assert reached.shape == (2, 5) and torch.allclose(reached.sum(1), torch.ones(2))
    weights, read = encoder_attention(encoder, inputs)
    assert read[0].tolist() == ([1, 0, 0, 0, 0] if pool == "token" else [0, 0.25, 0.25, 0.25, 0.25])
    np.testing.assert_allclose(reached[1], read[1].numpy() @ by_numpy(weights[:, 1].numpy()), atol=1e-6)


def test_networks_without_weights_have_no_rollout():
    encoder = ImageEncoder("tiny", pretrained=False, image_size=16).eval()
    assert encoder_rollout(encoder, {"pixels": torch.zeros(1, 3, 16, 16), "mask": torch.ones(1, 1).bool()}) is None
    sound = MelspecCNN(out_dim=8, channels=(4,), time_strides=(2,)).eval()
    assert encoder_rollout(sound, sound.processor.collate([torch.randn(4000)])) is None


def test_rollout_of_one_stream_over_all_modalities():
    torch.manual_seed(0)
    fusion = SingleStreamFusion({"a": 4, "b": 4}, 8, num_heads=2, num_layers=2).eval()
    mask = torch.tensor([[True, True, False], [False] * 3])
    given = {"a": Encoded.from_tokens(torch.randn(2, 2, 4), torch.ones(2, 2).bool())}
    given["b"] = Encoded.from_tokens(torch.randn(2, 3, 4), mask)
    seen = fusion(given, diagnostics=True).diagnostics
    flow = fusion_rollout(seen, given)
    layers = np.stack(
        [
            seen[f"attention/{n}"].detach().numpy()
            for n in sorted({k.split("/")[1] for k in seen if k.startswith("attention/")})
        ]
    )
    reached = by_numpy(layers[:, 0])[0]
    expected = np.array([reached[1:3].sum(), reached[3:].sum()]) / reached[1:].sum()
    np.testing.assert_allclose(flow[0].detach(), expected, atol=1e-6)
    assert flow[1].tolist() == [1, 0]  # the second sample has no b
    assert (
        fusion_rollout({"attention/0/a": seen["attention/0"] if "attention/0" in seen else torch.zeros(1)}, given)
        is None
    )
