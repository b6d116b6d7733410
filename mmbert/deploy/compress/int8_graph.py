"""What an ONNX graph multiplies by learnt numbers, and how much of it in int8: read from the graph itself.

onnxruntime leaves out what it cannot quantise without a word, so that neither the graph that it was given nor the names
that it was asked for say what it has done.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

#: ``onnx.TensorProto.FLOAT``, and the two kinds of 8 bits.
FLOAT, BYTES = 1, (2, 3)
#: Nodes of integers; a convolution in int8 is also one between ``DequantizeLinear`` nodes, which onnxruntime fuses.
INTEGER_PRODUCTS = ("MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QLinearMatMul")
INTEGER_CONVOLUTIONS = ("ConvInteger", "QLinearConv")


@dataclass(frozen=True)
class FloatNodes:
    """Names of the nodes that read learnt numbers in float32.

    Attributes:
        products: of sequences by a matrix.
        lookups: of rows of a matrix (embeddings).
        vectors: linear layers over one vector a sample, which torch writes as ``Gemm``.
        convolutions: of all sorts.
    """

    products: list[str]
    lookups: list[str]
    vectors: list[str]
    convolutions: list[str]


@dataclass(frozen=True)
class IntegerNodes:
    """How many nodes read their learnt numbers in int8.

    Attributes:
        products: multiply in int8 too.
        lookups: of rows.
        convolutions: multiply in int8 too.
    """

    products: int
    lookups: int
    convolutions: int


def float_nodes(graph: Any, fixed: Collection[str] = ()) -> FloatNodes:
    """Those of an ``onnx.ModelProto``; products of two activations, as attention has them, are none.

    Args:
        graph: with its weights.
        fixed: tensors that nobody learnt.
    """
    matrices = {x.name for x in graph.graph.initializer if len(x.dims) == 2 and x.data_type == FLOAT} - set(fixed)
    dequantized = given_by(graph, "DequantizeLinear")
    found = FloatNodes([], [], [], [])
    for node in graph.graph.node:
        if node.op_type == "MatMul" and node.input[1] in matrices:
            found.products.append(node.name)
        elif node.op_type == "Gemm" and node.input[1] in matrices:
            found.vectors.append(node.name)
        elif node.op_type == "Gather" and node.input[0] in matrices:
            found.lookups.append(node.name)
        elif node.op_type == "Conv" and node.input[1] not in fixed and not dequantized.issuperset(node.input[:2]):
            found.convolutions.append(node.name)
    return found


def integer_nodes(graph: Any) -> IntegerNodes:
    """Those of an ``onnx.ModelProto``."""
    bytes_ = {x.name for x in graph.graph.initializer if x.data_type in BYTES}
    dequantized = given_by(graph, "DequantizeLinear")
    products = lookups = convolutions = 0
    for node in graph.graph.node:
        products += node.op_type in INTEGER_PRODUCTS
        lookups += node.op_type == "Gather" and node.input[0] in bytes_
        convolutions += node.op_type in INTEGER_CONVOLUTIONS
        convolutions += node.op_type == "Conv" and dequantized.issuperset(node.input[:2])
    return IntegerNodes(products, lookups, convolutions)


def given_by(graph: Any, kind: str) -> set[str]:
    """Names of what the nodes of a kind give."""
    return {name for node in graph.graph.node if node.op_type == kind for name in node.output}
