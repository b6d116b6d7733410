"""A trained model as a function with gradients of what its encoders read, all modalities together.

What would give wrong gradients or none is switched off inside ``differentiable``:

    frozen encoders                       run without a graph: they get one
    ``nn.TransformerEncoderLayer``        in evaluation mode, without gradients, torch takes a fused path that passes by
                                          hooks and adapters and sets padded places to zero, which the path with
                                          gradients does not: it is not taken, so that f(x) and its gradient are of
                                          the same function
    parameters                            get no gradients, which halves the work
    dropout, batch statistics             the model is in evaluation mode

Scaled dot-product attention stays: its gradients are those of eager attention (tested).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from mmbert.analysis.parts.answers import TaskAnswers
from mmbert.core.types import Inputs
from mmbert.encoders.continuous import Continuous
from mmbert.model import MultimodalModel

#: Attributes of encoders that keep parts of them without a graph.
WITHOUT_GRAPH = ("frozen", "frozen_features")


@contextmanager
def differentiable(model: MultimodalModel) -> Iterator[None]:
    """Inside this context the model is in evaluation mode and gradients reach what encoders read."""
    modes = {module: module.training for module in model.modules()}
    wanted = {weight: weight.requires_grad for weight in model.parameters()}
    kept = [
        (encoder, name, getattr(encoder, name))
        for encoder in model.named_encoders().values()
        for name in WITHOUT_GRAPH
        if hasattr(encoder, name)
    ]
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        model.eval().requires_grad_(False)
        for encoder, name, _ in kept:
            setattr(encoder, name, False)
        torch.backends.mha.set_fastpath_enabled(False)
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for encoder, name, value in kept:
            setattr(encoder, name, value)
        for weight, value in wanted.items():
            weight.requires_grad_(value)
        for module, mode in modes.items():
            module.training = mode


class ReadFunction:
    """f(what the encoders read) = one number of a task, of each sample; call it inside ``differentiable``.

    Args:
        answers: the task.
        inputs: of B samples, by encoder name.

    Attributes:
        read: what each encoder reads of them, by encoder name.
    """

    def __init__(self, answers: TaskAnswers, inputs: Mapping[str, Inputs]) -> None:
        self.answers = answers
        encoders = answers.model.named_encoders()
        self.read: dict[str, Continuous] = {name: encoders[name].continuous(inputs[name]) for name in encoders}

    def all_numbers(self, numbers: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        """(N, C) float64: the task's numbers of samples of which something else is read.

        Args:
            numbers: by encoder name, of the shape of what is read of N samples.
            rows: (N,) int64, which of the B samples each is: masks, and ids that no gradient reaches, are theirs.
        """
        inputs = {
            name: {key: tensor[rows] for key, tensor in read.inputs.items() if key != read.key}
            | {read.key: numbers[name]}
            for name, read in self.read.items()
        }
        model = self.answers.model
        state = model.state(model.encode(inputs), inputs=inputs)
        return self.answers.numbers(state).to(torch.float64)

    def __call__(self, *given: Tensor) -> Tensor:
        """(N,): numbers by encoder in the order of ``read``, rows (N,), and the place in C of each number (N,)."""
        *numbers, rows, columns = given
        found = self.all_numbers(dict(zip(self.read, numbers, strict=True)), rows)
        # a modality that no sample of the batch has, or that no layer reads, still has a gradient: zero
        unread = sum((each.flatten(1).sum(1) * 0 for each in numbers), torch.zeros((), device=rows.device))
        return found.gather(1, columns.unsqueeze(1)).squeeze(1) + unread
