"""What stands beside the arrays of an array store: ``about.json``, which describes it, and ``uses.jsonl``, its uses.

Both are small and may be damaged while the arrays, which have checksums of their own, are whole: whatever cannot be
read is told, and takes nothing else with it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import ConfigError
from mmbert.core.regular_files import refuse_special
from mmbert.core.whole_files import naming, write_whole_text
from mmbert.store.array_store import RECORD, ArrayStore

ABOUT, USES = "about.json", "uses.jsonl"
#: In ``about.json``: a checksum of the rest. Descriptions of earlier versions have none.
SUM = "sum"
#: Numbers in a fixed array at most.
LONGEST_FIXED = 2**24


@dataclass(frozen=True)
class Use:
    """One use of an array store by a run.

    Attributes:
        when: in UTC.
        data: the table.
        reused: entries that were found there.
    """

    when: datetime
    data: str
    reused: int


def utc_now() -> str:
    """The time in UTC, in ISO format, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_about(folder: Path, what: str, identity: dict[str, Any], layout: tuple[str, str, int]) -> None:
    """Describes an array store, unless it is described already; a description that cannot be read is replaced."""
    try:
        if tuple(read_about(folder)["layout"]) == tuple(layout):
            return
    except ConfigError:
        pass
    content = {"what": what, "identity": identity, "layout": list(layout), "began": utc_now()}
    write_whole_text(folder / ABOUT, json.dumps({**content, SUM: description_sum(content)}, indent=1) + "\n")


def read_about(folder: Path) -> dict[str, Any]:
    """The description of an array store: ``what``, ``identity``, ``layout``.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    path = folder / ABOUT
    try:
        refuse_special(path)
        about: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if wrong := about_fault(about):
        raise ConfigError(f"{path} is damaged: {wrong}")
    return dict(about)


def about_fault(about: Any) -> str | None:
    """What is wrong with a description; None if nothing is."""
    if not isinstance(about, dict):
        return "it holds no JSON object"
    layout, identity = about.get("layout"), about.get("identity")
    if about.get("what") not in ("tokens", "inputs"):
        return "'what' is neither tokens nor inputs"
    if not isinstance(layout, list) or len(layout) != 3 or not all(map(is_number_type, layout[:2])):
        return "'layout' is not two types of numbers and a length"
    if type(layout[2]) is not int or not 0 <= layout[2] <= LONGEST_FIXED:
        return "the length in 'layout' is none"
    if not isinstance(identity, dict):
        return "'identity' is no group of options"
    given = about.get(SUM)
    if given is not None and given != description_sum({name: value for name, value in about.items() if name != SUM}):
        return "its checksum differs"
    return None


def is_number_type(value: Any) -> bool:
    """Whether a value is NumPy's name of a type of plain numbers."""
    try:
        return isinstance(value, str) and np.dtype(value).kind in "fiub" and np.dtype(value).itemsize <= 8
    except (TypeError, ValueError, SyntaxError):
        return False


def description_sum(content: dict[str, Any]) -> str:
    """A checksum of a description."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def describe_encoder(identity: dict[str, Any]) -> str:
    """``TextEncoder minilm, mean, float32``; of a damaged identity what can be read."""
    if "encoder" not in identity:
        return f"{identity.get('kind')} inputs of {str(identity.get('processor')).rpartition('.')[2]}"
    options = identity.get("options")
    options = options if isinstance(options, dict) else {}
    config = options.get("config")
    kind = config.get("model_type") if isinstance(config, dict) else None
    named = [options.get("name") or kind, options.get("pooling"), identity.get("dtype")]
    return ", ".join([str(identity["encoder"]).rpartition(".")[2], *(str(part) for part in named if part)])


def open_array_store(folder: Path) -> ArrayStore:
    """Opens the array store in a folder with the layout of its description.

    Raises:
        ConfigError: the description is damaged, or is not that of the arrays.
    """
    long, fixed, length = read_about(folder)["layout"]
    each = length * np.dtype(fixed).itemsize
    for index in folder.glob("*.index"):
        path = index.with_suffix(".fixed")
        size = path.stat().st_size if path.is_file() else 0
        if size and size < index.stat().st_size // RECORD.itemsize * each:
            raise ConfigError(f"{folder / ABOUT} or {path.name} is damaged: the layout does not fit the arrays")
    return ArrayStore(folder, long, fixed, length)


def record_use(folder: Path, content: dict[str, Any]) -> None:
    """Adds a line to an array store's record of uses; half a line that a kill has left stays one of its own."""
    path = folder / USES
    with naming(path), path.open("a+b") as file:
        if file.seek(0, 2):
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write((json.dumps({"when": utc_now(), **content}) + "\n").encode("utf-8", "surrogatepass"))


def read_uses(folder: Path) -> tuple[list[Use], list[int]]:
    """The uses in the record, and the numbers of the lines, from 1, that are damaged."""
    path = folder / USES
    uses, damaged = [], []
    try:
        refuse_special(path)
        lines = path.read_bytes().split(b"\n") if path.is_file() else []
    except OSError:
        return [], [1]
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line.decode("utf-8"))
            when = datetime.fromisoformat(content["when"])
            use = Use(when.astimezone(UTC), content["data"], content["reused"])
            if when.tzinfo is None or type(use.reused) is not int or not isinstance(use.data, str) or use.reused < 0:
                raise ValueError
            uses.append(use)
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            damaged.append(number)
    return uses, damaged
