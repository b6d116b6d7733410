"""The identity of a job: a hash of what its numbers depend on, and the command that runs it alone (``job.json``)."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmbert.core.distributed import is_rank_zero
from mmbert.core.moved import first_path
from mmbert.core.regular_files import refuse_special
from mmbert.runs.files import write_json
from mmbert.runs.folder import RunFolder
from mmbert.runs.naming import flatten

#: Options that change no number of a finished run, by dotted name or its beginning.
CHANGES_NOTHING = (
    *("study", "logger", "checkpoint.every_minutes", "plots", "store.dir", "store.max_gib"),
    "subset",  # the encoders that it leaves in are counted
    *("data.num_workers", "data.pin_memory", "data.check_files"),
    *("trainer.accelerator", "trainer.profiler", "trainer.enable_progress_bar", "trainer.enable_model_summary"),
    "trainer.log_every_n_steps",
    *("privacy.samples", "privacy.mask"),
)

#: Options that came after jobs had been hashed without them, and the value at which a job is what it was before.
LATER_OPTIONS: dict[str, Any] = {
    "data.na_values": [],
    "data.rows_without": "raise",
    "data.trusted": True,
    "task_sampling": None,
    "checkpoint.per_task": False,
}


def job_hash(cfg: DictConfig) -> str:
    """16 hexadecimal letters: the same for two configs, less their ``hydra`` part, whose runs give the same numbers.

    Interpolations are resolved first; of files that the config names only the name is hashed, not the content. Classes
    are hashed by their first path, so that jobs of earlier versions are found again after a class has moved.
    """
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    options = {str(name): value for name, value in flatten({str(k): v for k, v in config.items()}).items()}
    counted = {
        name: value
        for name, value in options.items()
        if not changes_nothing(name) and not (name in LATER_OPTIONS and value == LATER_OPTIONS[name])
    }
    for name, value in counted.items():
        if name.rpartition(".")[2] == "_target_" and isinstance(value, str):
            counted[name] = first_path(value)
    text = json.dumps(counted, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def changes_nothing(name: str) -> bool:
    """Whether an option, by dotted name, leaves all numbers as they are."""
    return any(name == other or name.startswith(f"{other}.") for other in CHANGES_NOTHING)


def write_job(run: RunFolder, cfg: DictConfig, words: Sequence[str] | None, flags: Sequence[str] = ()) -> None:
    """Leaves ``job.json``: the hash, the options that were given, and the command that runs exactly this job alone.

    Args:
        run: its folder.
        cfg: its config.
        words: the job's ``key=value`` words; None if it was not started from a command line.
        flags: further words of the command line, such as ``--config-dir`` and its folder.
    """
    if not is_rank_zero():
        return
    options = [word for word in words or () if not word.lstrip("+~").startswith("study.")]
    command = None if words is None else shlex.join(["mmbert-train", *flags, *options])
    write_json(run.job, {"hash": job_hash(cfg), "overrides": list(options), "command": command})


def read_job_hash(run: RunFolder) -> str | None:
    """The hash of the job that a folder is of; None if there is none, or nobody can read it."""
    try:
        refuse_special(run.job)
        content: Mapping[str, Any] = json.loads(run.job.read_text(encoding="utf-8"))
        return str(content["hash"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
