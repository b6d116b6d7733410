"""What a run writes about itself: its config, where and on what it ran, its metrics, its failure, its memory.

The files and their keys are described in docs/runs.md. Everything here is written by global rank zero alone.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbert.core.errors import ConfigError, MmbertError
from mmbert.runs.environment import environment
from mmbert.runs.peak_memory import PeakMemory

__all__ = [
    "PeakMemory",
    "clear",
    "ended",
    "environment",
    "failed_by_fault",
    "finished",
    "last_checkpoint",
    "refuse_taken",
    "write_config",
    "write_error",
    "write_json",
    "write_metrics",
    "write_start",
]

CONFIG_FILE = "config.yaml"
ENVIRONMENT_FILE = "environment.json"
METRICS_FILE = "metrics.json"
ERROR_FILE = "error.json"
#: Left by a run that a search has cut short.
PRUNED_FILE = "pruned.json"
#: The checkpoint to go on from.
LAST = "last.ckpt"
#: What is written after the numbers and the predictions.
LAST_WRITTEN = "model/model.safetensors"


def finished(run_dir: Path) -> bool:
    """Whether the run in a folder came to its end: its numbers are there, and so is all that is written behind them."""
    missing = any(not (run_dir / name).exists() for name in (METRICS_FILE, LAST_WRITTEN))
    return not missing and not (run_dir / ERROR_FILE).exists()


def ended(run_dir: Path) -> bool:
    """Whether nothing is left to do for the run in a folder: it finished, or a search has cut it short."""
    return finished(run_dir) or (run_dir / PRUNED_FILE).exists()


def last_checkpoint(run_dir: Path) -> Path | None:
    """The state a run can go on from; None if it was interrupted before the first."""
    path = run_dir / "checkpoints" / LAST
    return path if path.is_file() else None


def failed_by_fault(run_dir: Path) -> bool:
    """Whether the run ended by a fault in a program, which has been mended since, or it would not be run again."""
    try:
        return "traceback" in json.loads((run_dir / ERROR_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def clear(run_dir: Path) -> None:
    """Takes away what an unfinished run left and a new one in its folder would go on from."""
    for path in [*run_dir.glob("checkpoints/*.ckpt"), run_dir / "history.csv", run_dir / METRICS_FILE]:
        path.unlink(missing_ok=True)


def refuse_taken(run_dir: Path) -> None:
    """Refuses to begin a run where one lies already, unless that failed before there was anything to lose.

    Raises:
        ConfigError: says what is there.
    """
    numbers = (run_dir / METRICS_FILE).exists()
    lost = numbers or any(run_dir.glob("checkpoints/*.ckpt"))
    if not lost and ((run_dir / ERROR_FILE).exists() or not (run_dir / CONFIG_FILE).exists()):
        return
    another = "hydra.run.dir=FOLDER, or hydra.sweep.dir=FOLDER of a sweep"
    if finished(run_dir):
        raise ConfigError(f"{run_dir} holds a finished run, which would be overwritten. Name another folder: {another}")
    raise ConfigError(
        f"{run_dir} holds a run that is not finished. mmbert-train resume={run_dir} goes on with it; a new one needs "
        f"another folder: {another}"
    )


def write_start(run_dir: Path, config: Mapping[str, Any]) -> None:
    """Leaves ``config.yaml`` (resolved) and ``environment.json``; forgets the error of an earlier attempt.

    Args:
        run_dir: made if it does not exist.
        config: a plain dictionary or an OmegaConf one.
    """
    if not is_rank_zero():
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    for told in (ERROR_FILE, PRUNED_FILE):
        (run_dir / told).unlink(missing_ok=True)
    write_config(run_dir / CONFIG_FILE, config)
    write_json(run_dir / ENVIRONMENT_FILE, {"started": now(), **environment()})


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """The config as YAML, every interpolation resolved."""
    from omegaconf import OmegaConf

    node = config if OmegaConf.is_config(config) else OmegaConf.create(dict(config))
    write_text(path, OmegaConf.to_yaml(node, resolve=True))


def write_metrics(
    run_dir: Path,
    metrics: Mapping[str, float],
    checkpoint: Mapping[str, Any] | str | None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Leaves ``metrics.json``: one flat key a metric, such as ``test/answer/accuracy``, and facts about the run.

    Keys of metrics contain a ``/`` and no other key does, so the two can be told apart.

    Args:
        run_dir: the run's folder.
        metrics: by name.
        checkpoint: what was measured: a path, or ``path``, ``epoch``, ``step``, ``monitor`` and its ``value``.
        extra: further facts, such as ``seed``, ``wall_seconds``, ``peak_memory_mib``.
    """
    if not is_rank_zero():
        return
    described = {"path": checkpoint} if isinstance(checkpoint, str) else checkpoint
    facts = {"checkpoint": described, **(extra or {}), "finished": now()}
    assert all("/" in key for key in metrics) and not any("/" in key for key in facts)
    write_json(run_dir / METRICS_FILE, {**metrics, **facts})


def write_error(run_dir: Path, error: BaseException) -> None:
    """Leaves ``error.json``: why a run did not finish. A user's own mistake is told without a traceback.

    Where not even that can be written, the error itself is what there is to tell.
    """
    if not is_rank_zero():
        return
    told: dict[str, Any] = {"type": type(error).__name__, "message": str(error), "when": now()}
    if not isinstance(error, (MmbertError, KeyboardInterrupt)):
        told["traceback"] = "".join(traceback.format_exception(error))
    with contextlib.suppress(OSError):
        write_json(run_dir / ERROR_FILE, told)


def write_json(path: Path, content: Any) -> None:
    """Indented JSON, whole or not at all; NaN and infinity, which JSON does not know, become null."""
    text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """A file, whole or not at all: a reader, or a kill in between, never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def plain(value: Any) -> Any:
    """A value as JSON knows it: scalars of torch and numpy become numbers, paths and unknown things text."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(part) for part in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # tensors and arrays of torch and numpy, and numpy's scalars
        return plain(value.tolist())
    return str(value)


def now() -> str:
    """The time with its zone, to the second."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def is_rank_zero() -> bool:
    """Whether this process is the one that writes, of all the processes of a distributed run."""
    from pytorch_lightning.utilities import rank_zero_only

    return getattr(rank_zero_only, "rank", 0) in (0, None)
