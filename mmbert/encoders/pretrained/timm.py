"""Small image networks from timm's building blocks, trained from scratch.

After the ResNet-9 of Page 2018, "How to train your ResNet" (myrtle.ai). Differs from it: narrower, and the first
convolution has stride 2. Resolution is lost only in max pooling, never in a residual block, whose strided shortcut
would sample single noisy pixels: on small noisy digits such blocks learn several times more slowly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from mmbert.core.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Options of the small networks, and the pictures they are meant for.
SMALL: dict[str, dict[str, Any]] = {
    "resnet_mini": {"channels": [16, 32, 64, 128], "residual": [False, False, True, False]},
    "tiny": {"channels": [4, 8, 16], "residual": [False, True, False]},
}
SIZES = {"resnet_mini": (40, 56), "tiny": (16, 16)}


class SmallResNet(nn.Module):
    """3×3 convolutions, the first with stride 2, with max pooling between them and residual blocks after some.

    Args:
        channels: width of each convolution; 2 × 2 max pooling follows all but the first and the last.
        residual: whether a residual block of the same width follows a convolution (and its pooling).
    """

    def __init__(self, channels: Sequence[int], residual: Sequence[bool]) -> None:
        super().__init__()
        from timm.layers import ConvNormAct

        stages: list[nn.Module] = [ConvNormAct(3, channels[0], 3, stride=2)]
        for index in range(1, len(channels)):
            stages.append(ConvNormAct(channels[index - 1], channels[index], 3))
            if index < len(channels) - 1:
                stages.append(nn.MaxPool2d(2))
            if residual[index]:
                stages.append(Residual(channels[index]))
        self.stages = nn.Sequential(*stages)
        self.num_features = int(channels[-1])

    def forward_features(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, height, width) -> (B, D, h, w), h = height / 2 to the power of stem and poolings."""
        features: Tensor = self.stages(pixels)
        return features

    def forward_head(self, features: Tensor, pre_logits: bool = True) -> Tensor:
        """features (B, D, h, w) -> (B, D): the maximum over the picture, where an object fills few positions."""
        assert pre_logits, "there is no classifier"
        return features.amax((2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, height, width) -> (B, D)."""
        return self.forward_head(self.forward_features(pixels))


class Residual(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        from timm.layers import ConvNormAct

        self.first = ConvNormAct(channels, channels, 3)
        self.second = ConvNormAct(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        added: Tensor = x + self.second(self.first(x))
        return added


def small_network(name: str, options: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]] | None:
    """A small network and its data config; None for other names.

    Args:
        name: a key of ``SMALL``.
        options: replace ``channels`` or ``residual``.

    Raises:
        ConfigError: an option is unknown, or the two lists differ in length.
    """
    if name not in SMALL:
        return None
    shape = dict(SMALL[name])
    for key, value in options.items():
        if key not in shape:
            raise ConfigError(f"'{key}' is no option of {name}. {nearest(key, shape)}")
        shape[key] = value
    if len(shape["channels"]) != len(shape["residual"]) or len(shape["channels"]) < 2:
        raise ConfigError(f"channels and residual of {name} must be lists of the same length, 2 or more: {shape}.")
    half = (0.5, 0.5, 0.5)
    config = {"input_size": (3, *SIZES[name]), "mean": half, "std": half, "interpolation": "bilinear", "crop_pct": 1.0}
    return SmallResNet(**shape), config
