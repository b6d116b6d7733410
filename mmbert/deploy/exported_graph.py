"""A model, or a part of one, as a module of plain named tensors: what exporters trace.

Names are ``ENCODER.TENSOR`` for inputs (``text.input_ids``, ``audio.mask``), ``ENCODER.tokens``, ``ENCODER.token_mask``
and ``ENCODER.pooled`` between encoders and fusion, and ``TASK.TENSOR`` for outputs (``answer.logits``). A modality that
a sample lacks has a mask that is False throughout; its other tensors are not read. Each sample has at least one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.utils._sympy.value_ranges import ValueRanges

from mmbert.core.errors import InputError
from mmbert.core.types import Encoded, Inputs, Tensors
from mmbert.encoders.base import Encoder
from mmbert.model import MultimodalModel
from mmbert.tasks.generation import Generation
from mmbert.tasks.mlm import MaskedLanguageModel
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.one_class import OneClass

#: Tasks that no graph of tensors can hold, and why.
TASKS_LEFT_OUT: dict[type, str] = {
    Generation: "writes its answer token by token in a loop whose length depends on what it has written; the graph has "
    "no such loop. The model itself answers: mmbert-predict",
    MaskedLanguageModel: "only predicts tokens that training hides, and answers nothing of a whole sample. For its "
    "encoder with the head: MultimodalModel.export_text_encoder",
}

#: Tensors between an encoder and the fusion, as attributes of ``Encoded``.
ENCODED = {"tokens": "tokens", "token_mask": "mask", "pooled": "pooled"}

#: (tensor's name, dimension) -> whether it varies; the batch always does.
Varying = Mapping[str, tuple[int, ...]]


def flat_inputs(inputs: Mapping[str, Inputs]) -> Tensors:
    """``{encoder: {tensor: …}}`` -> ``{"encoder.tensor": …}``."""
    return {f"{name}.{key}": tensor for name, tensors in inputs.items() for key, tensor in tensors.items()}


def nested(flat: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensors]:
    """The inverse, for the encoders or tasks of these names."""
    found: dict[str, Tensors] = {name: {} for name in names}
    for key, tensor in flat.items():
        name, _, part = key.partition(".")
        if name in found:
            found[name][part] = tensor
    return found


def flat_encoded(encoded: Mapping[str, Encoded]) -> Tensors:
    """What encoders gave, as the fusion's file takes it."""
    return {f"{name}.{part}": getattr(x, field) for name, x in encoded.items() for part, field in ENCODED.items()}


def tasks_in_graph(model: MultimodalModel) -> tuple[list[str], dict[str, str]]:
    """The tasks that a graph holds, and of the others why it does not.

    Raises:
        InputError: there is none that it does.
    """
    reasons = {}
    for name, task in model.named_tasks().items():
        why = next((reason for kind, reason in TASKS_LEFT_OUT.items() if isinstance(task, kind)), None)
        if why is not None:
            reasons[name] = why
    kept = [name for name in model.named_tasks() if name not in reasons]
    if not kept:
        reasons_found = "; ".join(f"'{name}' {why}" for name, why in reasons.items())
        raise InputError(f"No task of the model can be exported: {reasons_found}.")
    return kept, reasons


class OutputGraph(nn.Module):
    """What the graphs that end in tasks share: fusion, heads, and probabilities as the tasks decode them.

    Args:
        model: in evaluation mode.
    """

    def __init__(self, model: MultimodalModel) -> None:
        super().__init__()
        self.model = model
        self.kept, _ = tasks_in_graph(model)

    def named_outputs(self, encoded: Mapping[str, Encoded], inputs: Mapping[str, Inputs]) -> Tensors:
        """The outputs of every task by ``TASK.TENSOR``."""
        state = self.model.state(encoded, inputs=inputs)
        tasks, decisions = self.model.named_tasks(), self.model.named_decision_heads()
        found: Tensors = {}
        for name in self.kept:
            task = tasks[name]
            heads = decisions.get(name)
            outputs = task(state) if heads is None else heads.outputs(heads(task, state))
            if isinstance(task, (OneClass, Multilabel)):
                outputs = {**outputs, "probabilities": task.probabilities(outputs)}
            found |= {f"{name}.{key}": tensor for key, tensor in outputs.items()}
        return {name: tensor.contiguous() for name, tensor in found.items()}


class WholeGraph(OutputGraph):
    """The whole model: encoders' inputs -> tasks' outputs."""

    def forward(self, inputs: Tensors) -> Tensors:
        """``ENCODER.TENSOR`` -> ``TASK.TENSOR``, (B, …) each."""
        given = nested(inputs, self.model.named_encoders())
        return self.named_outputs(self.model.encode(given), given)


class FusionGraph(OutputGraph):
    """Fusion and tasks: what encoders gave -> tasks' outputs.

    Args:
        model: in evaluation mode; its encoders are left out, whose weights would be written into the file unread.
    """

    def __init__(self, model: MultimodalModel) -> None:
        super().__init__(without_encoders(model))

    def forward(self, inputs: Tensors) -> Tensors:
        """``ENCODER.tokens``, ``ENCODER.token_mask``, ``ENCODER.pooled`` -> ``TASK.TENSOR``, (B, …) each."""
        parts = nested(inputs, self.model.named_encoders())
        encoded = {name: Encoded(each["tokens"], each["token_mask"], each["pooled"]) for name, each in parts.items()}
        return self.named_outputs(encoded, {})


def without_encoders(model: MultimodalModel) -> MultimodalModel:
    """The same fusion and tasks beside encoders of the same names that hold nothing; the model stays as it is."""
    bare = copy.copy(model)
    bare._modules = {**model._modules, "encoders": nn.ModuleDict({name: nn.Identity() for name in model.encoders})}
    return bare


class EncoderGraph(nn.Module):
    """One encoder: its inputs -> what the fusion reads.

    Args:
        name: of the encoder.
        encoder: in evaluation mode.
    """

    def __init__(self, name: str, encoder: Encoder) -> None:
        super().__init__()
        self.name = name
        self.encoder = encoder

    def forward(self, inputs: Tensors) -> Tensors:
        """``ENCODER.TENSOR`` -> ``ENCODER.tokens`` (B, L, D), ``ENCODER.token_mask`` (B, L), ``ENCODER.pooled``."""
        encoded = self.encoder(nested(inputs, [self.name])[self.name])
        return {name: tensor.contiguous() for name, tensor in flat_encoded({self.name: encoded}).items()}


def has_length(encoder: Encoder) -> bool:
    """Whether inputs differ in length; pictures, and sounds that are repeated up to one length, have one size."""
    processor = encoder.processor
    return processor.kind != "image" and not getattr(processor, "one_size", False)


def varying_inputs(inputs: Mapping[str, Inputs], encoders: Mapping[str, Encoder]) -> dict[str, tuple[int, ...]]:
    """Which dimensions of the inputs vary: the batch, and the length that a mask has in common with other tensors.

    Args:
        inputs: of a batch, by encoder.
        encoders: by name; those of pictures have one size, so that their inputs have no length.
    """
    found: dict[str, tuple[int, ...]] = {}
    for name, tensors in inputs.items():
        long = has_length(encoders[name])
        length = tensors["mask"].shape[1] if tensors["mask"].ndim > 1 else None
        for key, tensor in tensors.items():
            shared = long and tensor.ndim > 1 and tensor.shape[1] == length
            found[f"{name}.{key}"] = (0, 1) if shared else (0,)
    return found


def varying_encoded(encoded: Mapping[str, Encoded], encoders: Mapping[str, Encoder]) -> dict[str, tuple[int, ...]]:
    """The same of what encoders gave: tokens of a picture are always as many."""
    return {
        f"{name}.{part}": (0, 1) if part != "pooled" and has_length(encoders[name]) else (0,)
        for name in encoded
        for part in ENCODED
    }


def trace(graph: nn.Module, example: Tensors, varying: Varying) -> ExportedProgram:
    """A graph by torch.export.

    Args:
        graph: takes and gives named tensors, in evaluation mode.
        example: a batch of at least two samples, every length at least two, no two varying sizes alike.
        varying: the dimensions that vary, by tensor; all others are fixed.

    Raises:
        InputError: it cannot be traced, or only for the sizes of the example.
    """
    shapes = {name: dict.fromkeys(varying[name], Dim.DYNAMIC) for name in example}
    try:
        with torch.no_grad():
            program = torch.export.export(graph, (dict(example),), dynamic_shapes=(shapes,), strict=False)
    except Exception as error:  # torch raises many kinds, at whatever the modules hold
        first = next((line for line in str(error).splitlines() if line.strip()), "")[:300]
        raise InputError(
            f"torch.export cannot trace the model ({type(error).__name__}: {first}). An own class that decides by the "
            "values of tensors (if x.any(), int(x), a loop over samples) is the usual reason."
        ) from error
    # torch takes sizes of 2 or more for granted, of all that follows from an input too: sounds of which an encoder
    # makes one token would be refused. What the graph gives for them is compared like everything else.
    for symbol, sizes in program.range_constraints.items():
        program.range_constraints[symbol] = ValueRanges(1, sizes.upper)
    # guards of the same kind; torch's conversion to ONNX runs them, and ends in an AttributeError where a modality's
    # number of tokens is fixed (torch 2.11)
    program._guards_code = []
    return program
