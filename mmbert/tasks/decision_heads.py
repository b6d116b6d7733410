"""A task's heads under decision-level fusion: one a view, and the decision that joins their outputs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.types import State, Tensors
from mmbert.fusion.base import Fusion
from mmbert.fusion.decision_level import DecisionOutput, Truth
from mmbert.tasks.base import Task


class DecisionHeads(nn.Module):
    """One head of a task for every view of a fusion.

    The task itself is the head of the first view; each other view has a sibling, built with the task's own arguments.

    Args:
        name: of the task, for messages.
        task: built for vectors of the views' width.
        fusion: has at least one view.

    Raises:
        ConfigError: nobody knows how the task's outputs can be joined.
    """

    def __init__(self, name: str, task: Task, fusion: Fusion) -> None:
        super().__init__()
        spec = task.output_spec
        if spec is None:
            raise ConfigError(
                f"{type(fusion).__name__} joins the outputs of a task's heads, but {type(task).__name__} (the task "
                f"'{name}') does not say what they are: give it an output_spec, or take another fusion."
            )
        self.views = fusion.views
        self.spec = spec
        self.decision = fusion.decision(spec)
        self.siblings = nn.ModuleDict({view: type(task)(**task.init_args) for view in fusion.views[1:]})

    def forward(self, task: Task, state: State) -> DecisionOutput:
        """Every head's output for its view, and the joined one."""
        heads = [task, *self.siblings.values()]
        fused = state.fused
        states = [state._replace(fused=replace(fused, pooled=fused.views[view])) for view in self.views]
        given = [head(state)[self.spec.output] for head, state in zip(heads, states, strict=True)]
        outputs = torch.stack([output.reshape(output.shape[0], -1) for output in given], 1)  # (B, V, C)
        present = torch.stack([fused.view_masks[view] for view in self.views], 1)  # (B, V)
        return DecisionOutput(outputs, present, self.decision(outputs, present))

    def outputs(self, output: DecisionOutput) -> Tensors:
        """The joined output as the task's own."""
        return self._as_outputs(output.joined)

    def _as_outputs(self, output: Tensor) -> Tensors:
        """(B, C) -> the task's outputs; numbers are (B,)."""
        return {self.spec.output: output.squeeze(-1) if self.spec.kind == "regression" else output}

    def losses(
        self, task: Task, output: DecisionOutput, targets: Tensors, epoch: int, rows: Tensor
    ) -> dict[str, Tensor]:
        """The decision's losses in training, scalars by name.

        Args:
            task: the one it was built for.
            output: what ``forward`` gave.
            targets: the batch's, of this task.
            epoch: the current one, counted from 0.
            rows: (B,) the samples' rows in their table.
        """

        def loss(output: Tensor, target: Tensor) -> Tensor:
            return task.loss(self._as_outputs(output), {**targets, self.spec.target: target}).mean

        truth = Truth(targets[self.spec.target], task.labelled(targets), loss, epoch, rows)
        return self.decision.losses(output, truth)
