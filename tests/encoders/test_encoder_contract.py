"""What every encoder keeps: no sample knows its batch, nothing absent is read, frozen means frozen, saving is exact."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.audio import SpeechEncoder
from mmbert.encoders.base import Encoder
from mmbert.encoders.conformer import ConformerEncoder
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.text import TextEncoder

SPEECH = {  # the architectures of the bundles, narrow
    "encoder_embed_dim": 32,
    "encoder_num_layers": 2,
    "encoder_num_heads": 4,
    "encoder_ff_interm_features": 64,
    "encoder_pos_conv_groups": 4,
    "extractor_conv_layer_config": [
        (32, 10, 5),
        (32, 3, 2),
        (32, 3, 2),
        (32, 3, 2),
        (32, 3, 2),
        (32, 2, 2),
        (32, 2, 2),
    ],
}
ENCODERS: dict[str, Callable[..., Encoder]] = {
    "text-tiny-cls": lambda **more: TextEncoder("tiny", False, "cls", **more),
    "text-tiny-mean": lambda **more: TextEncoder("tiny", False, "mean", **more),
    "text-tiny-pooler": lambda **more: TextEncoder("tiny", False, "pooler", **more),
    "image-tiny": lambda **more: ImageEncoder("tiny", False, **more),
    "image-resnet_mini": lambda **more: ImageEncoder("resnet_mini", False, **more),
    "image-resnet18": lambda **more: ImageEncoder(
        "resnet18", False, [40, 56], options={"channels": [8, 16, 24, 32]}, **more
    ),
    "image-mobilenetv3": lambda **more: ImageEncoder("mobilenetv3_small_100", False, 48, **more),
    "image-efficientnet_lite0": lambda **more: ImageEncoder("efficientnet_lite0", False, 64, **more),
    "image-vit": lambda **more: ImageEncoder("vit_tiny_patch16_224", False, [32, 48], options={"depth": 2}, **more),
    "image-swin": lambda **more: ImageEncoder(
        "swin_tiny_patch4_window7_224", False, options={"depths": [1, 1, 1, 1], "embed_dim": 24}, **more
    ),
    "audio-melspec_cnn": lambda **more: MelspecCNN(**more),
    "audio-tiny": lambda **more: MelspecCNN(24, [4, 8], [2, 2], 16, hop_seconds=0.02, **more),
    "audio-conformer": lambda **more: ConformerEncoder(32, 2, 4, 64, **more),
    "audio-wav2vec2_base": lambda **more: SpeechEncoder("wav2vec2_base", False, options=SPEECH, **more),
    "audio-hubert_base": lambda **more: SpeechEncoder("hubert_base", False, options=SPEECH, **more),
    "audio-wavlm_base": lambda **more: SpeechEncoder("wavlm_base", False, options=SPEECH, **more),
    "audio-wav2vec2_large_lv60k": lambda **more: SpeechEncoder("wav2vec2_large_lv60k", False, options=SPEECH, **more),
}


def samples(kind: str) -> list[Any]:
    """Four values of unequal length or shape, the second one very short."""
    generator = np.random.default_rng(0)
    if kind == "text":
        return ["what do you get", "", "a much longer text, of many more words than the others have", "日本語 🙂"]
    if kind == "image":
        shapes = [(40, 56), (3, 5), (90, 20), (64, 64)]
        return [Image.fromarray(generator.integers(0, 256, (*shape, 3), dtype=np.uint8)) for shape in shapes]
    lengths = [6000, 90, 16000, 9001]
    return [(generator.standard_normal(n).astype(np.float32) * 0.1, 16000) for n in lengths]


def collated(encoder: Encoder, values: list[Any]) -> Inputs:
    prepare = encoder.processor.prepare
    return encoder.processor.collate([None if value is None else prepare(value) for value in values])


def spoil(inputs: Inputs, rows: torch.Tensor) -> Inputs:
    """Garbage in every tensor of the masked-out ``rows`` (B, L): NaN, or a token number that does not exist."""
    dirty = {"mask": inputs["mask"]}
    for name, tensor in inputs.items():
        if name != "mask":
            where = rows if tensor.ndim == 2 else rows[:, :1].view(-1, *[1] * (tensor.ndim - 1))
            dirty[name] = tensor.masked_fill(where, torch.nan if tensor.is_floating_point() else 10**6)
    return dirty


def row(encoded: Encoded, index: int) -> tuple[torch.Tensor, torch.Tensor]:
    return encoded.tokens[index][encoded.mask[index]], encoded.pooled[index]


@pytest.fixture(scope="module", params=list(ENCODERS))
def encoder(request: pytest.FixtureRequest) -> Encoder:
    torch.manual_seed(0)
    return ENCODERS[request.param]().eval()


@torch.no_grad()
def test_a_sample_alone_equals_the_sample_among_longer_ones(encoder: Encoder) -> None:
    values = samples(encoder.kind)
    together = encoder(collated(encoder, values))
    for index, value in enumerate(values):
        alone = encoder(collated(encoder, [value]))
        assert alone.mask.sum() == together.mask[index].sum() > 0
        assert_close(row(together, index), row(alone, 0), rtol=0, atol=1e-5)


@torch.no_grad()
def test_shapes_types_and_zeros_where_nothing_is_real(encoder: Encoder) -> None:
    first, *_ = values = samples(encoder.kind)
    encoded = encoder(collated(encoder, [None, *values]))
    batch, length, width = encoded.tokens.shape
    assert (batch, width) == (5, encoder.out_dim)
    assert encoded.mask.shape == (batch, length) and encoded.mask.dtype == torch.bool
    assert encoded.pooled.shape == (batch, width) and encoded.pooled.dtype == torch.float32
    assert encoded.present.tolist() == [False, True, True, True, True]
    assert not encoded.tokens[~encoded.mask].any() and not encoded.pooled[0].any()
    assert encoded.tokens[encoded.mask].isfinite().all() and encoded.pooled[1:].any(1).all()
    assert_close(row(encoder(collated(encoder, [first, None])), 0), row(encoded, 1), rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_batch_in_which_all_lack_the_modality_works(encoder: Encoder) -> None:
    encoded = encoder(collated(encoder, [None, None]))
    assert encoded.tokens.shape[0] == 2 and encoded.tokens.shape[2] == encoder.out_dim
    assert not encoded.mask.any() and not encoded.tokens.any() and not encoded.pooled.any()


def test_garbage_where_the_mask_is_false_reaches_no_output_and_no_gradient(encoder: Encoder) -> None:
    values = samples(encoder.kind)
    clean = collated(encoder, [*values, None])
    dirty = spoil(clean, ~clean["mask"])
    outputs, gradients = [], []
    for inputs in (clean, dirty):
        encoder.zero_grad()
        encoded = encoder(inputs)
        (encoded.tokens.square().sum() + encoded.pooled.square().sum()).backward()
        outputs.append((encoded.tokens, encoded.pooled))
        gradients.append({n: p.grad.clone() for n, p in encoder.named_parameters() if p.grad is not None})
    assert_close(outputs[0], outputs[1], rtol=0, atol=0)
    assert_close(gradients[0], gradients[1], rtol=0, atol=0)


def test_every_trained_parameter_receives_a_gradient(encoder: Encoder) -> None:
    encoder.zero_grad()
    encoded = encoder(collated(encoder, samples(encoder.kind)))
    weights = torch.randn(encoder.out_dim)  # the sum of a layer norm's output does not depend on its input
    ((encoded.tokens * weights).sum() + (encoded.pooled * weights).square().sum()).backward()
    without = [name for name, p in encoder.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_bfloat16_autocast_runs_close_to_float32(encoder: Encoder) -> None:
    inputs = collated(encoder, [*samples(encoder.kind), None])
    exact = encoder(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        rough = encoder(inputs)
        loss = rough.pooled.float().square().sum()
    loss.backward()
    assert rough.tokens.isfinite().all()
    scale = exact.tokens.abs().max()
    assert (rough.tokens.float() - exact.tokens).abs().mean() < 0.05 * scale


def test_a_rebuilt_encoder_gives_the_same_numbers(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save_assets(tmp_path)
    arguments = json.loads(json.dumps(encoder.init_args))
    again = type(encoder)(**type(encoder).rebuild_args(arguments, tmp_path)).eval()
    assert list(again.state_dict()) == list(encoder.state_dict())
    again.load_state_dict(encoder.state_dict())
    inputs = collated(again, samples(encoder.kind))
    assert_close(inputs, collated(encoder, samples(encoder.kind)), rtol=0, atol=0)
    with torch.no_grad():
        old, new = encoder(inputs), again(inputs)
    assert_close((new.tokens, new.pooled), (old.tokens, old.pooled), rtol=0, atol=0)
    assert "assets" not in again.init_args
    twice = tmp_path / "twice"
    twice.mkdir()
    again.save_assets(twice)  # what was loaded can be saved
    assert {p.name for p in twice.iterdir()} == {p.name for p in tmp_path.iterdir()} - {"twice"}


def test_the_processor_travels_to_workers_light_and_whole(encoder: Encoder) -> None:
    packed = pickle.dumps(encoder.processor)
    assert len(packed) < 3_000_000  # a vocabulary, no weights
    values = samples(encoder.kind)
    copy = pickle.loads(packed)
    there = copy.collate([copy.prepare(value) for value in values])
    assert_close(there, collated(encoder, values), rtol=0, atol=0)


FROZEN = ["text-tiny-mean", "image-resnet_mini", "audio-melspec_cnn", "audio-wav2vec2_base"]


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_stays_in_evaluation_mode_and_has_no_gradients(name: str) -> None:
    encoder = ENCODERS[name](frozen=True, lr_scale=0.5)
    encoder.train()
    assert encoder.lr_scale == 0.5
    assert not any(module.training for module in encoder.modules())
    assert not any(p.requires_grad for p in encoder.parameters())
    before = {key: tensor.clone() for key, tensor in encoder.state_dict().items()}
    inputs = collated(encoder, samples(encoder.kind))
    encoded = encoder(inputs)
    assert not encoded.tokens.requires_grad and not encoded.pooled.requires_grad
    assert_close(encoder(inputs).pooled, encoded.pooled, rtol=0, atol=0)  # no dropout
    assert_close(encoder.state_dict(), before, rtol=0, atol=0)  # no batch statistics taken


@pytest.mark.parametrize("name", FROZEN)
def test_an_encoder_in_training_is_in_training_mode(name: str) -> None:
    encoder = ENCODERS[name]()
    encoder.eval().train()
    assert all(module.training for module in encoder.modules())
