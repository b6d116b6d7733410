"""Gradients by sample through encoders: adapters, strategies that work inside one, the norm over ready features.

What is expected of a sample comes from the model's own ``forward`` and plain autograd, of its raw values collated
alone: no padding, no other sample, no code of private training. A tiny BERT, a tiny transformer of timm, features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.types import UNLABELLED, Batch
from mmbert.encoders.audio import SpeechEncoder
from mmbert.encoders.base import Encoder
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.adapter import AdapterFusion
from mmbert.fusion.concat import ConcatFusion
from mmbert.fusion.cross_attention import CrossAttentionFusion
from mmbert.fusion.flamingo import FlamingoFusion
from mmbert.fusion.mag import MAGFusion
from mmbert.fusion.missing_aware_prompts import MissingAwarePromptsFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification
from mmbert.training.private.module import live_encoders
from mmbert.training.private.refused import check_encoders, check_private_fusion
from mmbert.training.private.sample_gradients import SampleGradients, SampleLoss

WIDTH, FEATURES = 8, 5
LORA = {"r": 2, "lora_alpha": 4}
#: Six samples: texts of several lengths, modalities that are missing, a label that is missing.
TEXTS = ["a longer text of words", "b", None, "mid length", None, "another one"]
PICTURES = [0, None, 1, 2, None, 3]
SEQUENCES = [3, 1, None, None, 2, 4]
LABELS = [0, 2, 1, UNLABELLED, 1, 0]


def vit(**options: Any) -> ImageEncoder:
    sizes = {"depth": 2, "embed_dim": 24, "num_heads": 2}
    return ImageEncoder("vit_tiny_patch16_224", pretrained=False, image_size=32, options=sizes, **options)


def text(**options: Any) -> TextEncoder:
    return TextEncoder("tiny", pretrained=False, **options)


PARTS: dict[str, tuple[dict[str, Any], Any]] = {
    "adapters of the text": ({"text": lambda: text(lora=LORA)}, ConcatFusion),
    "adapters of the picture": ({"image": lambda: vit(lora=LORA)}, ConcatFusion),
    "adapters of a convolutional network": (
        {"image": lambda: ImageEncoder("tiny", pretrained=False, lora=LORA)},
        ConcatFusion,
    ),
    "features that are normed": ({}, ConcatFusion),
    "both, attending": ({"text": lambda: text(lora=LORA), "image": lambda: vit(lora=LORA)}, CrossAttentionFusion),
    "both, flamingo": ({"text": lambda: text(lora=LORA), "image": lambda: vit(lora=LORA)}, FlamingoFusion),
    "both, prompts": ({"text": lambda: text(lora=LORA), "image": lambda: vit(lora=LORA)}, MissingAwarePromptsFusion),
    "mag": ({}, MAGFusion),
    "mag in the middle, of vectors": ({}, lambda d, h: MAGFusion(d, h, layer=1, words="pooled")),
    "mag over adapters": ({"text": lambda: text(lora=LORA), "image": lambda: vit(lora=LORA)}, MAGFusion),
    "a module of one's own": (
        {"text": lambda: text(lora=LORA)},
        lambda d, h: AdapterFusion(d, h, {"_target_": "mmbert.fusion.adapter.Concatenate"}),
    ),
}
#: Those in which a model of transformers is differentiated.
THROUGH_TEXT = [name for name, (own, fusion) in PARTS.items() if "text" in own or "mag" in name]


def model_of(name: str) -> MultimodalModel:
    """In training mode, nothing drawn at random, adapters moved off their first values, which give no gradient."""
    own, fusion = PARTS[name]
    torch.manual_seed(2)
    usual = {
        "text": lambda: text(frozen=True),
        "image": lambda: vit(frozen=True),
        "feats": lambda: FeatureEncoder(FEATURES, frozen="normed" not in name),
    }
    encoders: dict[str, Encoder] = {key: own.get(key, make)() for key, make in usual.items()}
    built = fusion({key: encoder.out_dim for key, encoder in encoders.items()}, WIDTH)
    weights = [0.5, 1.0, 3.0]
    model = MultimodalModel(
        encoders, built, {"kind": Classification(WIDTH, "kind", ["a", "b", "c"], class_weights=weights)}
    )
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.train()


def batch_of(model: MultimodalModel, rows: list[int]) -> Batch:
    """Some of the samples, collated together."""
    draw = np.random.default_rng(0)
    side = model.encoders["image"].processor.size[0]
    pictures = draw.normal(size=(4, 3, side, side)).astype(np.float32)
    sequences = draw.normal(size=(6, 4, FEATURES)).astype(np.float32)
    processors = {name: encoder.processor for name, encoder in model.named_encoders().items()}
    values: dict[str, list[Any]] = {
        "text": [None if TEXTS[r] is None else processors["text"].prepare(TEXTS[r]) for r in rows],
        "feats": [None if SEQUENCES[r] is None else torch.from_numpy(sequences[r, : SEQUENCES[r]]) for r in rows],
    }
    inputs = {name: processors[name].collate(prepared) for name, prepared in values.items()}
    there = [PICTURES[r] is not None for r in rows]
    pixels = torch.stack([torch.from_numpy(pictures[PICTURES[r] or 0]) for r in rows])
    inputs["image"] = {"pixels": pixels, "mask": torch.tensor(there).unsqueeze(1)}
    return Batch(inputs, {"kind": {"label": torch.tensor([LABELS[r] for r in rows])}}, torch.tensor(rows))


def alone(model: MultimodalModel, row: int) -> list[Tensor]:
    """The gradient of one sample's loss by plain autograd, of what is trained."""
    batch = batch_of(model, [row])
    output = model(batch.inputs, targets=batch.targets)
    total = model.named_tasks()["kind"].loss(output.outputs["kind"], batch.targets["kind"]).total
    total = total + sum(output.fused.auxiliary_losses.values())
    trained = [p for p in model.parameters() if p.requires_grad]
    if not total.requires_grad:
        return [torch.zeros_like(p) for p in trained]
    return list(torch.autograd.grad(total, trained, materialize_grads=True))


@pytest.mark.parametrize("name", PARTS)
def test_they_are_those_of_each_sample_alone(name: str) -> None:
    model = model_of(name)
    check_private_fusion(model.fusion)
    check_encoders(model)
    gradients = SampleGradients(SampleLoss(model, {"kind": 1.0}, live_encoders(model)))
    tree = gradients.loss.encode(batch_of(model, list(range(6))))
    expected = [alone(model, row) for row in range(6)]
    trained = [key for key, parameter in model.named_parameters() if parameter.requires_grad]
    moved = dict.fromkeys(trained, 0.0)
    ways = [gradients.one_by_one, gradients.of] + ([] if name in THROUGH_TEXT else [gradients.at_once])
    for way in ways:
        found, losses = way(tree)
        assert set(found) == {f"model.{key}" for key in trained}
        for row in range(6):
            for key, each in zip(trained, expected[row], strict=True):
                torch.testing.assert_close(found[f"model.{key}"][row], each, rtol=1e-3, atol=2e-5)
                moved[key] = max(moved[key], float(each.abs().max()))
        assert float(losses.losses["kind"][3]) == 0  # unlabelled
    silent = [key for key, most in moved.items() if most == 0]
    assert not [key for key in silent if "lora_" in key or "norm" in key or "gate" in key], silent
    # what can be vectorised is; of models of transformers the reason is told
    assert gradients.vectorised is (name not in THROUGH_TEXT)
    assert bool(gradients.reason) is (name in THROUGH_TEXT)


def test_models_of_transformers_look_at_the_values_of_a_mask() -> None:
    """With eager attention too: why texts go one by one. Once they do not, docs/privacy.md is to be changed."""
    for attention in ("sdpa", "eager"):
        model = model_of("adapters of the text")
        model.encoders["text"].network.set_attn_implementation(attention)
        gradients = SampleGradients(SampleLoss(model, {"kind": 1.0}, live_encoders(model)))
        with pytest.raises(RuntimeError, match="vmap: It looks like you're .* data-dependent control flow"):
            gradients.at_once(gradients.loss.encode(batch_of(model, [0, 1])))


def test_no_text_is_remembered_from_before_its_adapters_learnt() -> None:
    model = model_of("mag over adapters")
    assert model.encoders["text"].token_cache is None
    gradients = SampleGradients(SampleLoss(model, {"kind": 1.0}, live_encoders(model)))
    tree = gradients.loss.encode(batch_of(model, [0, 1, 5]))
    before, losses = gradients.of(tree)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(0.1)
    after, again = gradients.of(tree)
    assert not torch.allclose(losses.total, again.total)
    torch.testing.assert_close(
        after["model.fusion.out.bias"][1], alone_of(model, 1, "fusion.out.bias"), rtol=1e-3, atol=1e-5
    )


def alone_of(model: MultimodalModel, row: int, name: str) -> Tensor:
    """One parameter's gradient of one sample."""
    trained = [key for key, parameter in model.named_parameters() if parameter.requires_grad]
    return alone(model, row)[trained.index(name)]


def test_a_frozen_text_that_a_fusion_changes_is_not_remembered() -> None:
    model = model_of("mag")
    gradients = SampleGradients(SampleLoss(model, {"kind": 1.0}, live_encoders(model)))
    gradients.of(gradients.loss.encode(batch_of(model, [0, 1, 5])))
    assert model.encoders["text"].token_cache.rows == {}


class Bare(nn.Module):
    """A norm without weights of its own, between two layers."""

    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 4, 4), nn.BatchNorm2d(4, affine=False)


def test_of_encoders_the_weights_themselves_and_moving_statistics_are_refused() -> None:
    model = model_of("adapters of a convolutional network")
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in model.encoders["image"].modules())
    check_encoders(model.eval())  # its batch norms keep the statistics that they came with, whatever the mode is now
    assert not model.encoders["image"].training
    model.encoders["image"].network.more = Bare().requires_grad_(False)
    with pytest.raises(ConfigError, match=r"encoder 'image', layer network\.more\.norm .* statistics of a batch"):
        check_encoders(model)
    model = model_of("mag")
    model.encoders["text"].network.requires_grad_(True)
    with pytest.raises(ConfigError, match=r"encoder 'text': it is trained: .* encoders\.text\.frozen=true, .*lora="):
        check_encoders(model)
    model = model_of("adapters of the text")
    model.encoders["text"].network.requires_grad_(True)
    with pytest.raises(ConfigError, match="encoder 'text': it is trained"):
        check_encoders(model)


@pytest.mark.parametrize("name", ["wav2vec2_base", "wavlm_base"])
def test_sounds_with_adapters_are_those_of_each_alone(name: str) -> None:
    torch.manual_seed(0)
    network = {
        "encoder_num_layers": 2,
        "encoder_embed_dim": 32,
        "encoder_num_heads": 2,
        "encoder_ff_interm_features": 32,
    }
    options = {**network, "encoder_pos_conv_kernel": 8, "encoder_pos_conv_groups": 2}
    options["extractor_conv_layer_config"] = [(8, 10, 5), (8, 8, 4)]
    encoder = SpeechEncoder(name, pretrained=False, lora=LORA, options=options)
    task = Classification(WIDTH, "kind", ["a", "b", "c"])
    model = MultimodalModel({"audio": encoder}, ConcatFusion({"audio": encoder.out_dim}, WIDTH), {"kind": task})
    check_encoders(model)
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.2)
    sounds, labels = [torch.randn(n) for n in (800, 1200, 500)], torch.tensor([0, 2, 1])

    def batch(rows: list[int]) -> Batch:
        longest = max(len(sounds[r]) for r in rows)
        waveform, mask = torch.zeros(len(rows), longest), torch.zeros(len(rows), longest).bool()
        for place, row in enumerate(rows):
            waveform[place, : len(sounds[row])], mask[place, : len(sounds[row])] = sounds[row], True
        inputs = {"audio": {"waveform": waveform, "mask": mask}}
        return Batch(inputs, {"kind": {"label": labels[rows]}}, torch.tensor(rows))

    gradients = SampleGradients(SampleLoss(model.eval(), {"kind": 1.0}, live_encoders(model)))
    found, _ = gradients.of(gradients.loss.encode(batch([0, 1, 2])))
    trained = {key: parameter for key, parameter in model.named_parameters() if parameter.requires_grad}
    for row in range(3):
        one = batch([row])
        loss = model.named_tasks()["kind"].loss(model(one.inputs).outputs["kind"], one.targets["kind"]).total
        expected = torch.autograd.grad(loss, list(trained.values()), materialize_grads=True)
        assert any(
            float(each.abs().max()) > 1e-4 for key, each in zip(trained, expected, strict=True) if "lora_" in key
        )
        for key, each in zip(trained, expected, strict=True):
            torch.testing.assert_close(found[f"model.{key}"][row], each, rtol=2e-3, atol=2e-5)
    assert gradients.vectorised
