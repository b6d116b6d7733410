"""One row of the table: a model in one form, what runs it, where it lies, and how large it is."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mmbert.core.types import Encoded, Inputs, Tensors
from mmbert.model import MultimodalModel

#: inputs of a batch by encoder, targets by task or None -> outputs by task
VariantRunner = Callable[[Mapping[str, Inputs], Mapping[str, Tensors] | None], Mapping[str, Tensors]]


@dataclass(frozen=True)
class Variant:
    """A model in one form.

    Attributes:
        name: of the row.
        run: a batch's prepared tensors -> outputs of every task.
        model: whose preprocessing, tasks and labels these are.
        path: the folder of the saved model, or the file.
        kind: what loads it in a process of its own: ``torch``, ``torchao`` or ``onnx``.
        bytes: of its weights on disk.
        deflated: the same, compressed by zlib.
        parameters: numbers that are learnt, zeros included.
        zeros: how many of them a mask holds at zero.
        without: the modality that is taken for missing; None = none is.
        remarks: what must be known to read the row.
    """

    name: str
    run: VariantRunner
    model: MultimodalModel
    path: Path
    kind: str
    bytes: int
    deflated: int
    parameters: int
    zeros: int = 0
    without: str | None = None
    remarks: tuple[str, ...] = field(default_factory=tuple)


def torch_runner(model: MultimodalModel) -> VariantRunner:
    """The model itself, in PyTorch. A frozen text encoder's memory of texts is switched off: it would be measured."""
    for encoder in model.named_encoders().values():
        if getattr(encoder, "token_cache", None) is not None:
            encoder.token_cache = None  # type: ignore[assignment]
    model.eval()

    def run(inputs: Mapping[str, Inputs], targets: Mapping[str, Tensors] | None = None) -> Mapping[str, Tensors]:
        with torch.inference_mode():
            return model(inputs, targets=targets).outputs  # type: ignore[no-any-return]

    return run


def runner_without(model: MultimodalModel, gone: str) -> VariantRunner:
    """The model with one modality taken for missing; its encoder is not run."""
    torch_runner(model)
    injected = model.fusion.injects_into

    def run(inputs: Mapping[str, Inputs], targets: Mapping[str, Tensors] | None = None) -> Mapping[str, Tensors]:
        with torch.inference_mode():
            size = len(inputs[gone]["mask"])
            width = model.named_encoders()[gone].out_dim
            nothing = torch.zeros(size, 1, width)
            absent = Encoded(nothing, torch.zeros(size, 1, dtype=torch.bool), nothing[:, 0])
            encoded = {
                name: absent if name == gone else encoder(inputs[name])
                for name, encoder in model.named_encoders().items()
                if name == gone or name != injected
            }
            if injected is not None and injected != gone:
                encoded[injected] = model.encode_injected(inputs, encoded)
            ordered = {name: encoded[name] for name in model.named_encoders()}
            return model.decode(ordered, targets=targets).outputs

    return run


def torch_variant(name: str, model: MultimodalModel, folder: Path, **more: Any) -> Variant:
    """The row of a saved model."""
    size, deflated = size_of(sorted(folder.rglob("*.safetensors")))
    count = sum(parameter.numel() for parameter in model.parameters())
    return Variant(name, torch_runner(model), model, folder, "torch", size, deflated, count, **more)


def variant_without(original: Variant, gone: str) -> Variant:
    """The row of a model of which one modality is taken away; nothing is trained anew."""
    own = list(original.model.named_encoders()[gone].state_dict().values())
    size = sum(tensor.numel() * tensor.element_size() for tensor in own)
    squeezed = sum(deflated_bytes(tensor.contiguous().numpy().tobytes()) for tensor in own)
    return Variant(
        f"without {gone}",
        runner_without(original.model, gone),
        original.model,
        original.path,
        "torch",
        original.bytes - size,
        original.deflated - squeezed,
        original.parameters - sum(p.numel() for p in original.model.named_encoders()[gone].parameters()),
        without=gone,
        remarks=(f"{gone} is taken for missing and its encoder not run; not trained anew without it",),
    )


def size_of(files: list[Path]) -> tuple[int, int]:
    """Bytes of files, as they are and compressed by zlib."""
    return sum(file.stat().st_size for file in files), sum(deflated_bytes(file.read_bytes()) for file in files)


def deflated_bytes(content: bytes) -> int:
    """How many bytes zlib makes of these, at its fastest level."""
    return len(zlib.compress(content, 1))
