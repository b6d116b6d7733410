"""Resuming a run whose folder was moved or copied: Lightning keeps absolute paths of the best checkpoints.

Where the folder has changed, ``ModelCheckpoint`` would drop its best score, so that the next epoch becomes the best
whatever its score is, and keep the old absolute path, so that another folder's weights are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import ModelCheckpoint

from mmbert.core.errors import ConfigError
from mmbert.runs.folder import RunFolder

#: How messages call the checkpoint that a run goes on from.
LAST = RunFolder("").last_checkpoint.name


def use_own_checkpoints(savers: Iterable[Any], states: Mapping[str, dict[str, Any]]) -> None:
    """Makes the paths in the saved states of ``ModelCheckpoint`` callbacks point into the folders they now save to.

    Args:
        savers: the trainer's checkpoint callbacks; others than ``ModelCheckpoint`` are left out.
        states: Lightning's saved states by ``state_key``; changed in place, before the callbacks load them.

    Raises:
        ConfigError: the best checkpoint is not in the folder that the run now lies in; or a state names a file that is
            not in its folder of checkpoints.
    """
    for saver in savers:
        state = states.get(saver.state_key) if isinstance(saver, ModelCheckpoint) else None
        if state is not None and saver.dirpath:
            refuse_others_files(state)
        if state is None or not saver.dirpath or not state.get("dirpath") or state["dirpath"] == saver.dirpath:
            continue
        before, now = str(state["dirpath"]), str(saver.dirpath)
        state["dirpath"] = now
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[name] = _in_folder(state.get(name) or "", before, now)
        models = state.get("best_k_models") or {}
        state["best_k_models"] = {_in_folder(path, before, now): score for path, score in models.items()}
        if state["best_model_path"] and not Path(state["best_model_path"]).is_file():
            raise ConfigError(
                f"{state['best_model_path']} is missing, the best checkpoint so far. The run began in another folder: "
                f"copy that folder whole (there the file was in {before})."
            )


def refuse_others_files(state: Mapping[str, Any]) -> None:
    """Refuses a saved state by which a file outside its folder of checkpoints would be read, or deleted as outdated.

    Raises:
        ConfigError: names the file.
    """
    names = ("best_model_path", "kth_best_model_path", "last_model_path")
    for path in [*(state.get(name) for name in names), *(state.get("best_k_models") or ())]:
        if path and Path(os.path.normpath(str(state.get("dirpath")))) not in Path(os.path.normpath(path)).parents:
            raise ConfigError(
                f"{LAST} names {path}, which is not in its folder of checkpoints ({state.get('dirpath')}): the file "
                "was changed, so the run cannot go on from it. Start a new one."
            )


def _in_folder(path: str, before: str, now: str) -> str:
    """A path in the folder ``before`` as one in ``now``; an empty path and one from elsewhere stay as they are."""
    inside = bool(path) and Path(before) in Path(path).parents
    return os.path.join(now, os.path.relpath(path, before)) if inside else path
