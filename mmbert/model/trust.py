"""What a saved model may have imported without consent: the package's own encoders, fusion strategies and tasks.

``config.json`` names a class for every part, and the author of the folder chose it (docs/trust.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from mmbert.core.errors import InputError
from mmbert.core.init_args import package_class, targets_in
from mmbert.core.moved import current_path


def refuse_untrusted(config: Mapping[str, Any], folder: Path) -> None:
    """Refuses a saved model whose parts are not all of the package; nothing outside the package is imported.

    Args:
        config: the content of ``config.json``.
        folder: of the saved model, for the message.

    Raises:
        InputError: names the classes, and how to consent.
    """
    parts = [*config["encoders"].values(), config["fusion"], *config["tasks"].values()]
    foreign = {str(part["class"]) for part in parts if not str(part["class"]).startswith("mmbert.")}
    foreign |= {path for part in parts for path in targets_in(part["args"]) if not is_fusion_module(path)}
    if foreign:
        raise InputError(
            f"The model in {folder} uses {', '.join(sorted(foreign))}, from outside the package; loading it runs that "
            "code. If you trust it: from_pretrained(folder, trust_custom_code=True), or trust_custom_code=true on a "
            "command."
        )


def is_fusion_module(path: str) -> bool:
    """Whether a class is a module among the package's fusion strategies: what an adapter builds without consent."""
    try:
        return current_path(path).startswith("mmbert.fusion.") and package_class(path, nn.Module) is not None
    except InputError:
        return False


def check_names(config: Mapping[str, Any], folder: Path) -> None:
    """Refuses names of parts by which files outside the saved model would be read.

    Raises:
        InputError: names the part.
    """
    encoders, tasks = (config.get(kind) for kind in ("encoders", "tasks"))
    named = {str(name): part for kind in (encoders, tasks) if isinstance(kind, Mapping) for name, part in kind.items()}
    wrong = [name for name in named if not name.isidentifier()]
    files = [part.get("frozen_weights") for part in named.values() if isinstance(part, Mapping)]
    wrong += [str(file) for file in files if file is not None and not str(file).isalnum()]
    sums = config.get("checksums")
    wrong += [str(name) for name in (sums if isinstance(sums, Mapping) else ()) if leaves_folder(str(name))]
    if wrong:
        raise InputError(
            f"{folder / 'config.json'}: '{wrong[0]}' can name no part: the file is damaged or was changed."
        )


def leaves_folder(name: str) -> bool:
    """Whether a path in a folder leads out of it."""
    return Path(name).is_absolute() or ".." in Path(name).parts
