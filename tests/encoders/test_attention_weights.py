"""Attention weights inside an encoder: those that its layers attend with."""

import torch

from mmbert.encoders.attention_weights import encoder_attention
from mmbert.encoders.text import TextEncoder


def test_weights_of_a_text_are_those_that_the_network_attends_with():
    torch.manual_seed(0)
    encoder = TextEncoder("tiny").eval()
    inputs = encoder.processor.collate(["some text", "more of it"])
    weights, _ = encoder_attention(encoder, inputs)
    layer = encoder.network.encoder.layer[0].attention.self
    hidden = encoder.network.embeddings(inputs["input_ids"], inputs["token_type_ids"])
    q, k = (part(hidden).unflatten(-1, (2, 16)).transpose(1, 2) for part in (layer.query, layer.key))
    scores = (q @ k.mT / 4).masked_fill(~inputs["mask"][:, None, None], -torch.inf)
    expected = scores.softmax(-1) * inputs["mask"][:, None, :, None]
    torch.testing.assert_close(weights[0], expected.detach(), atol=1e-6, rtol=1e-5)
