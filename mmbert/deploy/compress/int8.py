"""int8: an exported graph quantised by onnxruntime, and a model in PyTorch quantised by torchao.

onnxruntime: matrix products dynamically (weights ahead, activations at run time, each batch by its own range), and
convolutions statically, by ranges seen on training samples (Q/DQ nodes, min-max calibration). Weights are signed, a
scale a channel; activations unsigned. On processors without VNNI the kernels add pairs of products in 16 bits, which
saturate with weights of 8 bits: there weights get 7 (``reduce_range``), as onnxruntime's guide says.
"""

from __future__ import annotations

import copy
import logging
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from mmbert.core.errors import ConfigError, InputError
from mmbert.core.whole_files import whole_folder
from mmbert.deploy.compress.int8_graph import float_nodes, integer_nodes
from mmbert.model import MultimodalModel

#: The graph in an exported folder.
GRAPH = "model.onnx"


def has_vnni(flags: str | None = None) -> bool:
    """Whether this processor multiplies int8 without saturating in between; False where nobody knows.

    Args:
        flags: the processor's, as Linux lists them; None = of this one.
    """
    if flags is None:
        try:
            flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
        except OSError:
            return False
    return bool({"avx512_vnni", "avx_vnni"} & set(flags.split()))


class Samples:
    """Feeds of an exported graph, one after the other, as onnxruntime's calibration asks for them.

    Args:
        feeds: by name, samples first.
    """

    def __init__(self, feeds: Sequence[Mapping[str, np.ndarray]]) -> None:
        self.feeds = list(feeds)
        self.left: Iterator[Mapping[str, np.ndarray]] = iter(self.feeds)

    def get_next(self) -> Any:
        """The next one, None at the end."""
        return next(self.left, None)

    def rewind(self) -> None:
        """Begins again."""
        self.left = iter(self.feeds)


@dataclass(frozen=True)
class Quantized:
    """What of a graph is int8 after it was quantised, counted in the file that was written.

    Attributes:
        products: matrix products of sequences.
        all_products: those, and what is float32 of the same kind.
        convolutions: none where there was nothing to calibrate them by.
        all_convolutions: those, and what is float32.
        lookups: of embeddings.
        vectors: layers over one vector a sample, which stay float32.
        missed: names of nodes that were to be int8 and are float32.
    """

    products: int
    all_products: int
    convolutions: int
    all_convolutions: int
    lookups: int
    vectors: int
    missed: tuple[str, ...]

    def described(self) -> str:
        """In a line."""
        parts = [
            f"{self.products} of {self.all_products} matrix products (dynamic)",
            f"{self.convolutions} of {self.all_convolutions} convolutions (static)",
            f"{self.lookups} embeddings",
        ]
        line = f"int8: {', '.join(parts)}"
        if self.vectors:
            line += f"; {self.vectors} layers over one vector a sample stay float32"
        if self.missed:
            line += f"; onnxruntime could not quantise {', '.join(self.missed)}"
        return line


def quantize_export(
    source: Path,
    target: Path,
    calibration: Sequence[Mapping[str, np.ndarray]],
    fixed: Collection[str] = (),
    reduce_range: bool | None = None,
) -> Quantized:
    """A copy of an exported folder whose graph is int8; returns what of it is.

    Layers over one vector a sample (heads, a fusion of pooled vectors) stay float32: at batch 1 and of their usual
    sizes quantising the vector takes as long as what the product gains.

    Args:
        source: with ``model.onnx``, float32.
        target: appears whole or not at all; one that exists is replaced.
        calibration: feeds of training samples; empty = convolutions stay float32.
        fixed: tensors of the graph that nobody learnt, such as the filters of a spectrogram: what multiplies by them
            stays float32, for the powers that come in span many orders of magnitude.
        reduce_range: weights of 7 bits; None = where this processor needs them.

    Raises:
        ConfigError: onnxruntime or onnx is not installed.
        InputError: the graph has nothing that would be int8.
    """
    try:
        import onnx
    except ImportError as error:
        raise ConfigError("int8_onnx needs onnx and onnxruntime: pip install 'mmbert[compress]'.") from error
    before = float_nodes(onnx.load(source / GRAPH), fixed)
    convolutions = before.convolutions if calibration else []
    if not (before.products or before.lookups or convolutions):
        raise InputError(
            "Nothing of this graph would be int8: it has no embeddings, no matrix products of sequences"
            + (" and no convolutions." if calibration else ", and convolutions need calibration=128.")
        )
    narrow = not has_vnni() if reduce_range is None else reduce_range
    with whole_folder(target.absolute()) as scratch, without_warnings():
        for file in source.iterdir():
            if file.is_dir():
                shutil.copytree(file, scratch / file.name)
            else:
                shutil.copy2(file, scratch / file.name)
        if convolutions:
            quantize_convolutions(scratch / GRAPH, convolutions, calibration, narrow)
        if before.products or before.lookups:
            quantize_products(scratch / GRAPH, [*before.products, *before.lookups], narrow)
        written = onnx.load(scratch / GRAPH)
    after, done = float_nodes(written, fixed), integer_nodes(written)
    wanted = {*before.products, *before.lookups, *convolutions}
    missed = [name for name in (*after.products, *after.lookups, *after.convolutions) if name in wanted]
    return Quantized(
        done.products,
        len(before.products),
        done.convolutions,
        len(before.convolutions),
        done.lookups,
        len(before.vectors),
        tuple(missed),
    )


def quantize_convolutions(
    path: Path, names: Sequence[str], calibration: Sequence[Mapping[str, np.ndarray]], narrow: bool
) -> None:
    """Puts the nodes of these names between Q/DQ nodes, by ranges seen on feeds; the file is replaced."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    made = path.with_name("static.onnx")
    quantize_static(
        path,
        made,
        Samples(calibration),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        nodes_to_quantize=list(names),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=narrow,
    )
    made.replace(path)


def quantize_products(path: Path, names: Sequence[str], narrow: bool) -> None:
    """Makes the products and lookups of these names int8, activations at run time; the file is replaced."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    made = path.with_name("dynamic.onnx")
    quantize_dynamic(
        path,
        made,
        op_types_to_quantize=["MatMul", "Gather"],
        nodes_to_quantize=list(names),
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=narrow,
    )
    made.replace(path)


class without_warnings:  # noqa: N801 (used as a function)
    """A context without onnxruntime's advice on preprocessing, which it logs at the root."""

    def __enter__(self) -> None:
        self.level = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)

    def __exit__(self, *error: Any) -> None:
        logging.getLogger().setLevel(self.level)


def quantize_torchao(model: MultimodalModel) -> MultimodalModel:
    """A copy of a model whose encoders' linear layers multiply in int8, activations quantised at run time by torchao.

    Raises:
        ConfigError: torchao is not installed.
        InputError: the encoders have no linear layers.
    """
    if not any(isinstance(x, nn.Linear) for one in model.named_encoders().values() for x in one.modules()):
        raise InputError("no encoder has linear layers, which alone torchao makes int8 here")
    try:
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
    except ImportError as error:
        raise ConfigError("int8_torchao needs torchao: pip install 'mmbert[compress]'.") from error
    made = copy.deepcopy(model).eval()
    for encoder in made.named_encoders().values():
        if any(isinstance(module, nn.Linear) for module in encoder.modules()):
            quantize_(encoder, Int8DynamicActivationInt8WeightConfig())
    return made


def tensor_bytes(model: nn.Module) -> int:
    """Bytes of what a model's tensors hold, those of quantised ones too."""
    total = 0
    for tensor in (*model.parameters(), *model.buffers()):
        inner = getattr(tensor, "__tensor_flatten__", None)
        parts = [getattr(tensor, name) for name in inner()[0]] if inner is not None else [tensor]
        total += sum(part.numel() * part.element_size() for part in parts)
    return total
