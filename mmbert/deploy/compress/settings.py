"""What a compression is asked for: the options of ``mmbert-compress`` as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmbert.deploy.compress.methods import Method

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Settings:
    """How a model is compressed and measured.

    Attributes:
        methods: the rows.
        folder: of the saved model.
        out: of everything that is written.
        data: the config's ``data``.
        split: that quality is measured on.
        training: the run's whole config, for what is trained; None = there is none.
        student: the config of the student; None = none is wanted.
        amount: share of heads, channels, layers or weights that is pruned.
        epochs: of training what was pruned; 0 = none.
        temperature: of distillation.
        alpha: share of the teacher in the student's loss.
        threads: of torch and onnxruntime.
        rounds: in which latencies are measured.
        calibration: training samples by which ranges of convolutions are found; 0 = these stay float32.
        bootstraps: resamples of the intervals; 0 = none.
        seed: of training and of the resamples.
        task: whose metric the frontier is drawn with; None = the first that has one.
        trusted: classes outside the package may be imported.
    """

    methods: list[Method]
    folder: Path
    out: Path
    data: DictConfig
    split: str
    training: DictConfig | None = None
    student: DictConfig | None = None
    amount: float = 0.25
    epochs: int = 2
    temperature: float = 2.0
    alpha: float = 0.5
    threads: int = 2
    rounds: int = 7
    calibration: int = 128
    bootstraps: int = 1000
    seed: int = 0
    task: str | None = None
    trusted: bool = False
