"""What ``mmbert-compress`` refuses before it loads a model: each would end in a mistake minutes later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbert.core.errors import ConfigError
from mmbert.deploy.compress.methods import PRUNINGS, TAUGHT, Method

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig


def refuse_made(out: Path, methods: list[Method]) -> None:
    """Refuses a folder in which variants were trained before: they are not overwritten.

    Raises:
        ConfigError: names the first.
    """
    for method in methods:
        for count in range(len(method.changes)):
            made = out / "+".join(method.changes[: count + 1])
            if made.exists():
                raise ConfigError(
                    f"{made} is there from an earlier time: remove it, or name another folder: out=FOLDER"
                )


def refuse_no_student(methods: list[Method], given: bool) -> None:
    """Refuses methods that train a student where none is given, and a student that no method trains.

    Raises:
        ConfigError: says what is missing.
    """
    taught = next((method.word for method in methods if TAUGHT & set(method.changes)), None)
    if taught and not given:
        raise ConfigError(
            f"methods={taught} needs a student: options of mmbert-train, such as student=[text=none] or "
            "student=[encoders.text.config={num_hidden_layers: 3}]."
        )
    if given and not taught:
        raise ConfigError("student= is trained by methods=[distil] or [student], of which none is given: name one.")


def refuse_private(methods: list[Method], training: DictConfig | None, epochs: float) -> None:
    """Refuses to train on what is pruned of a run with differential privacy: that trains its encoders.

    Raises:
        ConfigError: names the method, and what can be had without training.
    """
    privacy = None if training is None else training.get("privacy")
    if not epochs or privacy is None or privacy.get("epsilon") is None:
        return
    pruned = next((method.word for method in methods if PRUNINGS & set(method.changes)), None)
    if pruned:
        raise ConfigError(
            f"methods: '{pruned}' trains the encoders on, which a run of privacy=dp must not; without its noise the "
            "model would betray more than the run's ε. Prune without training, epochs=0, or take "
            "methods=[onnx,int8_onnx,without] calibration=0, which read no training sample."
        )
