"""What a person calls a run: the short names that a config's fusion and encoders go by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def fusion_name(config: Mapping[str, Any]) -> str:
    """``concat`` for a target in ``mmbert.fusion.concat``, the class's name for a user's own strategy."""
    target = str((config.get("fusion") or {}).get("_target_") or "")
    module, _, name = target.rpartition(".")
    if module.startswith("mmbert.fusion."):
        return module.rpartition(".")[2]
    return name


def modality_names(config: Mapping[str, Any]) -> list[str]:
    """The encoders that a config leaves in; one set to ``none`` is an empty group."""
    return [str(name) for name, part in (config.get("encoders") or {}).items() if part]


def modalities_label(config: Mapping[str, Any]) -> str:
    """``text+image+audio``: usual names in this order whatever the config's, further ones after them."""
    usual = ["text", "image", "audio"]
    names = modality_names(config)
    return "+".join([name for name in usual if name in names] + [name for name in names if name not in usual])


def tasks_label(config: Mapping[str, Any]) -> str:
    """``answer+operation``: the tasks that a config leaves in."""
    return "+".join(str(name) for name, part in (config.get("tasks") or {}).items() if part)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings -> one level with dotted keys; lists stay whole, empty mappings vanish."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def group_name(config: Mapping[str, Any], run_dir: Path) -> str | None:
    """What trackers file a run under: its study, else its sweep's folder; None if it stands alone."""
    return (config.get("study") or {}).get("name") or sweep_name(run_dir)


def sweep_name(run_dir: Path) -> str | None:
    """The name of the sweep a run belongs to, None if it stands alone. A job's folder is a child of the sweep's."""
    sweep = run_dir.absolute().parent
    if not (sweep / "multirun.yaml").is_file():
        return None
    # Hydra's default folder is DATE/TIME; a time alone would name sweeps of different days alike
    return f"{sweep.parent.name}_{sweep.name}" if re.fullmatch(r"\d\d-\d\d-\d\d", sweep.name) else sweep.name
