"""CLIP and SigLIP of transformers for pictures: its own numbers, contract, fine-tuning, and what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image, ImageDraw
from torch.testing import assert_close

from hub_folders import IMAGE_MODELS, saved
from installed import skip_without
from mmbert.core.errors import ConfigError, WeightsError
from mmbert.encoders.image_model import ImageModelEncoder
from mmbert.encoders.tower_encoder import TowerEncoder
from mmbert.store.identity import encoder_identity, identity_hash, prepared_identity
from mmbert.testing import check_encoder

COVERS = ("tower_encoder",)
TOLERANCE = {"rtol": 0, "atol": 1e-5}
CASES = [("clip", False), ("clip", True), ("siglip", False)]


def pictures() -> list[Image.Image]:
    """Wide, tall, small, and of the model's own size; edges and colours that differ in every direction."""
    made = []
    for place, size in enumerate([(90, 60), (41, 77), (20, 20), (32, 32), (36, 37)]):
        rows = np.random.default_rng(place).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        image = Image.fromarray(rows)
        ImageDraw.Draw(image).ellipse((2, 3, size[0] // 2, size[1] // 2), fill=(250, 30 * place, 5))
        made.append(image)
    return made


def theirs(folder: str, image: Image.Image) -> dict[str, torch.Tensor]:
    """transformers' own model and image processor, over Pillow."""
    inputs = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")(image, return_tensors="pt")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        seen = model.vision_model(**inputs)
        features = model.get_image_features(**inputs).pooler_output
    return {
        "pixels": inputs["pixel_values"][0],
        "tokens": seen.last_hidden_state[0],
        "pooled": seen.pooler_output[0],
        "features": features[0],
    }


@pytest.mark.parametrize(("name", "projection"), CASES)
def test_tokens_and_vector_are_those_of_transformers(name: str, projection: bool, folders: dict[str, str]) -> None:
    encoder = ImageModelEncoder(folders[name], projection=projection).eval()
    assert isinstance(encoder, TowerEncoder)
    prepared = [encoder.processor.prepare(image) for image in pictures()]
    with torch.no_grad():
        together = encoder(encoder.processor.collate([None, *prepared]))
    assert not together.mask[0].any() and together.mask[1:].all()
    for row, image in enumerate(pictures()):
        own = theirs(folders[name], image)
        assert_close(prepared[row], own["pixels"], **TOLERANCE)
        assert own["tokens"].std() > 0.1 and own["pooled"].std() > 0.01
        if projection:
            assert encoder.out_dim == 24
            assert_close(together.pooled[row + 1], own["features"], **TOLERANCE)
            assert_close(together.tokens[row + 1, 0], own["features"], **TOLERANCE)  # the class token's
        else:
            assert_close(together.tokens[row + 1], own["tokens"], **TOLERANCE)
            assert_close(together.pooled[row + 1], own["pooled"], **TOLERANCE)
    if name == "siglip":  # whose vector is the one that is compared with texts
        assert_close(own["features"], own["pooled"], **TOLERANCE)


@pytest.mark.parametrize(("name", "projection"), CASES)
def test_the_contract_is_kept(name: str, projection: bool, folders: dict[str, str]) -> None:
    check_encoder(ImageModelEncoder, name=folders[name], projection=projection)


@pytest.mark.parametrize(("name", "projection"), CASES)
def test_a_tower_saved_alone_is_the_same(name: str, projection: bool, folders: dict[str, str], tmp_path: Path) -> None:
    whole = ImageModelEncoder(folders[name], projection=projection).eval()
    whole.network.model.save_pretrained(tmp_path)
    whole.processor.preparer.save_pretrained(tmp_path)
    alone = ImageModelEncoder(str(tmp_path), projection=projection).eval()
    assert_close(alone.state_dict(), whole.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "projection"), CASES)
def test_adapters_layers_and_checkpointing(name: str, projection: bool, folders: dict[str, str]) -> None:
    skip_without("peft")
    pixels = {"pixels": torch.randn(2, 3, 32, 32), "mask": torch.ones(2, 1, dtype=torch.bool)}
    adapted = ImageModelEncoder(folders[name], projection=projection, lora={"r": 2}).train()
    encoded = adapted(pixels)
    (encoded.tokens.square().sum() + encoded.pooled.square().sum()).backward()
    trained = {key: weight for key, weight in adapted.named_parameters() if weight.requires_grad}
    assert trained and all("lora_" in key for key in trained)
    assert all(weight.grad is not None and weight.grad.any() for key, weight in trained.items() if "lora_B" in key)
    top = ImageModelEncoder(folders[name], projection=projection, trainable_last_n=1)
    left = {key for key, weight in top.named_parameters() if weight.requires_grad}
    assert left and not any("layers.0." in key or "embeddings" in key for key in left)
    assert any("post_layernorm" in key for key in left)
    slopes = []
    for again in (False, True):
        one = ImageModelEncoder(folders[name], projection=projection, gradient_checkpointing=again).train()
        one(pixels).tokens.square().sum().backward()
        slopes.append({key: weight.grad for key, weight in one.named_parameters() if weight.grad is not None})
    assert_close(slopes[1], slopes[0], rtol=1e-4, atol=1e-4)


def test_the_fingerprint_depends_on_weights_preprocessing_and_projection(
    folders: dict[str, str], tmp_path: Path
) -> None:
    def identity(folder: str, **options: Any) -> tuple[str, str]:
        encoder = ImageModelEncoder(folder, frozen=True, **options)
        return identity_hash(encoder_identity(encoder)), identity_hash(prepared_identity(encoder))

    first = identity(folders["clip"])
    assert identity(str(shutil.copytree(folders["clip"], tmp_path / "same"))) == first
    wider = changed(folders["clip"], tmp_path / "wider", size={"shortest_edge": 40})
    assert all(one != other for one, other in zip(identity(wider), first, strict=True))
    other = identity(saved(IMAGE_MODELS["clip"], tmp_path / "other", seed=1))
    assert other[0] != first[0] and other[1] == first[1]
    assert identity(folders["clip"], projection=True)[0] != first[0]


def changed(folder: str, place: Path, **options: Any) -> str:
    """A copy of a model's folder whose preprocessor_config.json says something else."""
    path = Path(shutil.copytree(folder, place)) / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **options}))
    return str(place)


def test_what_is_wrong_is_told_in_one_line(folders: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="projection=true: .* has none, its pooled vector is already"):
        ImageModelEncoder(folders["siglip"], projection=True)
    with pytest.raises(ConfigError, match="is of type whisper, which is no image model .*: clip, clip_vis"):
        ImageModelEncoder(folders["whisper"])
    with pytest.raises(ConfigError, match=r"size of pictures is \(32, 32\), by preprocessor_config.json \(30, 30\)"):
        ImageModelEncoder(changed(folders["siglip"], tmp_path / "small", size={"height": 30, "width": 30}))
    with pytest.raises(ConfigError, match="gives pictures of different sizes"):
        ImageModelEncoder(changed(folders["clip"], tmp_path / "uncut", do_center_crop=False))
    with pytest.raises(ConfigError, match="must say do_rescale=true"):
        ImageModelEncoder(changed(folders["clip"], tmp_path / "raw", do_rescale=False))
    bare = Path(shutil.copytree(folders["clip"], tmp_path / "bare"))
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match="has no preprocessor_config.json that can be read") as caught:
        ImageModelEncoder(str(bare))
    assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match="is for a SiglipImageProcessorPil, but the model needs CLIPImage"):
        shutil.copy(Path(folders["siglip"]) / "preprocessor_config.json", bare)
        ImageModelEncoder(str(bare))
