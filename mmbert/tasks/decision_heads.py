"""A task's heads under decision-level fusion: one a view, and the decision that makes one output of theirs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.types import Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.decision_level import Judged, Truth
from mmbert.tasks.base import Task


class DecisionHeads(nn.Module):
    """Lets a task judge every view of a fusion.

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
                f"{type(fusion).__name__} joins the judgements of a task's heads, but {type(task).__name__} (the task "
                f"'{name}') does not say what they are: give it an output_spec, or take another fusion."
            )
        self.views = fusion.views
        self.decision = fusion.decision(spec)
        self.siblings = nn.ModuleDict({view: type(task)(**task.init_args) for view in fusion.views[1:]})

    def forward(self, task: Task, fused: Fused) -> Judged:
        """Every head's judgement of its view, and the joined one."""
        heads = [task, *self.siblings.values()]
        said = [head(replace(fused, pooled=fused.views[v])) for v, head in zip(self.views, heads, strict=True)]
        outputs = torch.stack([output.reshape(output.shape[0], -1) for output in said], 1)  # (B, V, C)
        present = torch.stack([fused.view_masks[view] for view in self.views], 1)  # (B, V)
        return Judged(outputs, present, self.decision(outputs, present))

    def output(self, judged: Judged) -> Tensor:
        """The joined output in the shape of the task's own: (B, C), or (B,) for numbers."""
        return judged.joined.squeeze(-1) if self.decision.spec.kind == "numbers" else judged.joined

    def losses(self, task: Task, judged: Judged, target: Tensor, epoch: int, rows: Tensor) -> dict[str, Tensor]:
        """The decision's losses in training, scalars by name.

        Args:
            task: the one it was built for.
            judged: what ``forward`` gave.
            target: the batch's labels.
            epoch: the current one, counted from 0.
            rows: (B,) the samples' rows in their table.
        """
        numbers = self.decision.spec.kind == "numbers"

        def loss(output: Tensor, target: Tensor) -> Tensor:
            return task.loss(output.squeeze(-1) if numbers else output, target)

        return self.decision.losses(judged, Truth(target, task.labelled(target), loss, epoch, rows))
