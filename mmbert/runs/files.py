"""Reading and writing of the small files in a run's folder: JSON, YAML and text, each written whole or not at all."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmbert.core.errors import DataError
from mmbert.core.regular_files import refuse_special
from mmbert.core.whole_files import write_whole_text


def write_json(path: Path, content: Any) -> None:
    """Indented JSON; NaN and infinity, which JSON does not have, become null."""
    text = json.dumps(to_json_types(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_whole_text(path, text + "\n")


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """A config as YAML, every interpolation resolved.

    Args:
        path: of the file.
        config: a plain dictionary or an OmegaConf one.
    """
    from omegaconf import OmegaConf

    node = config if OmegaConf.is_config(config) else OmegaConf.create(dict(config))
    write_whole_text(path, OmegaConf.to_yaml(node, resolve=True))


def read_json(path: Path, fault: Callable[[Any], str | None] = lambda content: None) -> dict[str, Any] | None:
    """A JSON file's content, None if there is no such file.

    Args:
        path: of the file.
        fault: says what is wrong with the content (``contents.py``).

    Raises:
        DataError: it is no JSON object, or another than it should be.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no JSON object.")
    refuse_fault(path, fault(content))
    return content


def read_yaml(path: Path, fault: Callable[[Any], str | None] = lambda content: None) -> Any:
    """A YAML file's content; an empty dictionary for an empty file.

    Args:
        path: of the file.
        fault: says what is wrong with the content (``contents.py``).

    Raises:
        DataError: the file does not exist, is no YAML, or holds something else than it should.
    """
    import yaml

    try:
        refuse_special(path)
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    # dates and numbers that are none raise what Python's own types raise
    except (OSError, yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    content = {} if content is None else content
    refuse_fault(path, fault(content))
    return content


def refuse_fault(path: Path, wrong: str | None) -> None:
    """Refuses a file whose content is another than it should be.

    Raises:
        DataError: says where.
    """
    if wrong:
        raise DataError(f"{path} is damaged, or was changed: {wrong}.")


def to_json_types(value: Any) -> Any:
    """A value made of JSON's types: scalars and arrays of torch and numpy become numbers, paths and the rest text."""
    if isinstance(value, Mapping):
        return {str(key): to_json_types(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json_types(part) for part in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # tensors and arrays of torch and numpy, and numpy's scalars
        return to_json_types(value.tolist())
    return str(value)


def timestamp() -> str:
    """The time with its zone, to the second, in ISO 8601."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
