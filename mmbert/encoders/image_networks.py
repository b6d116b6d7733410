"""Small image networks from timm's building blocks, trained from scratch."""

from __future__ import annotations

from typing import Any

from torch import nn

from mmbert.core.errors import ConfigError, nearest

#: Options of the small networks: pixels, stem width, and width, depth and stride of each residual stage.
SMALL: dict[str, dict[str, Any]] = {
    "resnet_mini": {
        "input_size": (40, 56),
        "stem": 16,
        "channels": (32, 64, 128),
        "depths": (1, 1, 1),
        "strides": (2, 2, 1),
    },
    "tiny": {"input_size": (16, 16), "stem": 8, "channels": (8, 16), "depths": (1, 1), "strides": (1, 2)},
}


def small_network(name: str, options: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]] | None:
    """A network of basic residual blocks behind a 3×3 stem of stride 2, and its data config; None for other names.

    Args:
        name: a key of ``SMALL``.
        options: replace ``stem``, ``channels``, ``depths`` or ``strides``; ``drop_path_rate`` and ``drop_rate`` too.

    Raises:
        ConfigError: an option is unknown.
    """
    if name not in SMALL:
        return None
    from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

    shape = dict(SMALL[name])
    extra = {key: options[key] for key in ("drop_path_rate", "drop_rate") if key in options}
    for key, value in options.items():
        if key not in (*shape, *extra):
            raise ConfigError(
                f"'{key}' is no option of {name}. {nearest(key, [*shape, 'drop_path_rate', 'drop_rate'])}"
            )
        if key not in extra:
            shape[key] = value
    stages = zip(shape["channels"], shape["depths"], shape["strides"], strict=True)
    blocks = tuple(ByoBlockCfg("basic", d=depth, c=width, s=stride, gs=0) for width, depth, stride in stages)
    network = ByobNet(
        ByoModelCfg(blocks=blocks, stem_type="3x3", stem_pool="", stem_chs=shape["stem"]), num_classes=0, **extra
    )
    half = (0.5, 0.5, 0.5)
    config = {"input_size": (3, *shape["input_size"]), "mean": half, "std": half}
    return network, {**config, "interpolation": "bilinear", "crop_pct": 1.0}
