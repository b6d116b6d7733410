"""What every balance of task losses shares."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mmbert.core.errors import ConfigError
from mmbert.tasks.base import Task


def fixed_weights(tasks: Mapping[str, Task]) -> dict[str, float]:
    """The tasks' option ``weight``, checked."""
    weights = {name: float(task.weight) for name, task in tasks.items()}
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ConfigError(f"tasks.{name}.weight={weight} must be finite and not negative.")
    if not any(weights.values()):
        raise ConfigError(f"Every task has weight 0 ({', '.join(weights)}): there is nothing to learn.")
    return weights
