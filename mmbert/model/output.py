"""What a forward pass of the whole model gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmbert.core.types import Encoded, Fused, Inputs, State, Tensors
from mmbert.fusion.decision_level import DecisionOutput


@dataclass(frozen=True)
class ModelOutput:
    """What a forward pass gives.

    Attributes:
        fused: the joint representation.
        outputs: each task's output tensors by its name.
        decisions: under decision-level fusion, the outputs of each task's heads before they were joined, by its name.
        encoded: what was fused, by modality; ``decode`` takes it again with some of it taken away.
        inputs: what the encoders read, by name; empty where ``decode`` was not told.
    """

    fused: Fused
    outputs: dict[str, Tensors]
    decisions: dict[str, DecisionOutput] = field(default_factory=dict)
    encoded: dict[str, Encoded] = field(default_factory=dict)
    inputs: Mapping[str, Inputs] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """What the tasks' heads have read."""
        return State(self.fused, self.encoded, self.inputs)

    def aligned(self, alignments: Mapping[str, Sequence[Any]]) -> State:
        """The same, with what predictions in words of the input need; ``Batch.alignments``."""
        return State(self.fused, self.encoded, self.inputs, alignments)
