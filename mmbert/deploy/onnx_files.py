"""Writes a traced graph as a file of ONNX, and of torch.export."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmbert.core.errors import ConfigError, InputError
from mmbert.core.whole_files import whole_file

#: Packages of the extra that ``torch.onnx.export(dynamo=True)`` needs.
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_onnx() -> None:
    """Refuses early where the extra is absent.

    Raises:
        ConfigError: names the package and the extra.
    """
    import importlib.util

    for name in ONNX_PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"format=onnx needs the package {name}, which is not installed: pip install mmbert[export]"
            )


def write_onnx(program: ExportedProgram, inputs: Sequence[str], outputs: Sequence[str], path: Path) -> None:
    """A traced graph as one ``.onnx`` file, weights inside.

    Args:
        program: of ``trace``.
        inputs: names of its inputs, in its order.
        outputs: names of its outputs.
        path: of the file, which appears whole or not at all.

    Raises:
        InputError: the graph has an operation that ONNX lacks; names it.
    """
    # by the plain kernel of attention: another lays its output out so that a reshape becomes a view while the graph is
    # taken apart, which a later step of the conversion, whose attention lays it out otherwise, cannot take (torch 2.11)
    with quietly(), sdpa_kernel(SDPBackend.MATH):
        try:
            made = torch.onnx.export(
                program, (), input_names=list(inputs), output_names=list(outputs), dynamo=True, verbose=False
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise InputError(f"The model cannot be written as ONNX: {reason_of(error)}") from error
        assert made is not None
        name_sizes(made.model, inputs)
        with whole_file(path) as temporary:
            made.save(str(temporary), external_data=False)


def name_sizes(model: Any, inputs: Sequence[str]) -> None:
    """Gives the sizes that vary names that people can read, ``batch`` and ``text_length``, in place of torch's s17."""
    names: dict[str, str] = {}
    for given in model.graph.inputs:
        for place, size in enumerate(given.shape):
            symbol = getattr(size, "value", None)
            if isinstance(symbol, str) and symbol not in names:
                names[symbol] = "batch" if place == 0 else f"{given.name.partition('.')[0]}_length"
    for value in [*model.graph.inputs, *model.graph.outputs, *(v for node in model.graph for v in node.outputs)]:
        if value.shape is None:
            continue
        for place, size in enumerate(value.shape):
            symbol = getattr(size, "value", None)
            if isinstance(symbol, str):
                value.shape[place] = re.sub(r"\w+", lambda found: names.get(found[0], found[0]), symbol)


def reason_of(error: BaseException) -> str:
    """The line of an exporter's error, and of what caused it, that says what is missing."""
    inner = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    return next((line.strip() for line in str(inner).splitlines() if line.strip()), type(inner).__name__)[:300]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the exporter's progress, warnings about private modules, and log lines."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch._export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
