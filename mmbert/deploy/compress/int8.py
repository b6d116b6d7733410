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
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from mmbert.core.errors import ConfigError
from mmbert.core.whole_files import whole_folder
from mmbert.model import MultimodalModel

#: The graph in an exported folder.
GRAPH = "model.onnx"
PRODUCTS, LOOKUP = ["MatMul", "Gemm"], "Gather"


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


def quantize_export(
    source: Path,
    target: Path,
    calibration: Sequence[Mapping[str, np.ndarray]],
    fixed: Collection[str] = (),
    reduce_range: bool | None = None,
) -> dict[str, int]:
    """A copy of an exported folder whose graph is int8; returns how many operations of which kind were quantised.

    Args:
        source: with ``model.onnx``, float32.
        target: appears whole or not at all; one that exists is replaced.
        calibration: feeds of training samples; empty = convolutions stay float32.
        fixed: tensors of the graph that nobody learnt, such as the filters of a spectrogram: what multiplies by them
            stays float32, for the powers that come in span many orders of magnitude.
        reduce_range: weights of 7 bits; None = where this processor needs them.

    Raises:
        ConfigError: onnxruntime or onnx is not installed.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    except ImportError as error:
        raise ConfigError("int8_onnx needs onnx and onnxruntime: pip install 'mmbert[compress]'.") from error
    narrow = not has_vnni() if reduce_range is None else reduce_range
    options = {"per_channel": True, "reduce_range": narrow, "weight_type": QuantType.QInt8}
    with whole_folder(target.absolute()) as scratch, without_warnings():
        for file in source.iterdir():
            if file.is_dir():
                shutil.copytree(file, scratch / file.name)
            elif file.name != GRAPH:
                shutil.copy2(file, scratch / file.name)
        graph = onnx.load(source / GRAPH)
        counted, products = count_operations(graph), products_of(graph, fixed)
        begun = source / GRAPH
        if calibration and counted.get("Conv"):
            begun = scratch / "static.onnx"
            quantize_static(
                source / GRAPH,
                begun,
                Samples(calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                activation_type=QuantType.QUInt8,
                **options,
            )
        quantize_dynamic(
            begun, scratch / GRAPH, op_types_to_quantize=[*PRODUCTS, LOOKUP], nodes_to_quantize=products, **options
        )
        (scratch / "static.onnx").unlink(missing_ok=True)
        now = count_operations(onnx.load(scratch / GRAPH, load_external_data=False))
    done = {"products": now.get("MatMulInteger", 0), "convolutions": 0}
    if begun != source / GRAPH:
        done["convolutions"] = counted["Conv"]
    return done


def products_of(graph: Any, fixed: Collection[str]) -> list[str]:
    """Names of the nodes that multiply by a matrix of learnt numbers, or look rows of one up (embeddings).

    Products of two activations, as attention has them, are left out.
    """
    learnt = {tensor.name for tensor in graph.graph.initializer if len(tensor.dims) == 2} - set(fixed)
    matrix = {**dict.fromkeys(PRODUCTS, 1), LOOKUP: 0}  # which input it is
    nodes = [node for node in graph.graph.node if node.op_type in matrix]
    return [node.name for node in nodes if node.input[matrix[node.op_type]] in learnt]


def count_operations(graph: Any) -> dict[str, int]:
    """How many nodes there are of each kind, those in functions too."""
    counted: dict[str, int] = {}
    for holder in (graph.graph, *graph.functions):
        for node in holder.node:
            counted[node.op_type] = counted.get(node.op_type, 0) + 1
    return counted


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
    """
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
