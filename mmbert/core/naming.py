"""What a person calls a run: the short names that a config's fusion and encoders go by."""

from __future__ import annotations

from collections.abc import Mapping
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


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings -> one level with dotted keys; lists stay whole, empty mappings vanish."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
