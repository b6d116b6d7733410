"""``task=NAME`` on a command line: the run's tasks are those of ``conf/tasks/NAME.yaml``.

The group ``task`` holds kinds of task, each of which goes to a name of its own (``+task@tasks.mood=classification``),
so by itself the word says nothing to Hydra. ``task=mlm`` is ``tasks=mlm``.
"""

from __future__ import annotations

from collections.abc import Sequence


def with_task_sets(words: Sequence[str]) -> list[str]:
    """The words of a command line, ``task=NAME`` among them as ``tasks=NAME``."""
    return [f"tasks={word.removeprefix('task=')}" if word.startswith("task=") else word for word in words]
