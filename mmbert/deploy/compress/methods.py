"""The words of ``methods=``: what is done to a model, and in what it is run; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from mmbert.core.errors import ConfigError, nearest

#: What makes another model; each but the last two can follow on another.
CHANGES = ("magnitude", "structured", "layers", "distil", "student")
#: Those that cut a model, which is then trained on; and those that train a student.
PRUNINGS, TAUGHT = {"magnitude", "structured", "layers"}, {"distil", "student"}
#: What a model is run in, other than PyTorch in float32.
RUNTIMES = ("onnx", "int8_onnx", "int8_torchao")
#: Rows of the model as it is, and one for each modality that is taken away.
ORIGINAL, WITHOUT = "original", "without"
DEFAULT = ("original", "onnx", "int8_onnx", "structured", "structured+int8_onnx", "without")


@dataclass(frozen=True)
class Method:
    """One word of ``methods=``.

    Attributes:
        word: as it was written.
        changes: those of ``CHANGES``, one after the other.
        runtime: one of ``RUNTIMES``; None = PyTorch.
    """

    word: str
    changes: tuple[str, ...]
    runtime: str | None


def parse_methods(words: list[str]) -> list[Method]:
    """The methods by their words, ``original`` first.

    Raises:
        ConfigError: a word is unknown, comes twice, or does not go with another.
    """
    found = []
    for word in dict.fromkeys([ORIGINAL, *words]):
        parts = word.split("+")
        known = [*CHANGES, *RUNTIMES, ORIGINAL, WITHOUT]
        for part in parts:
            if part not in known:
                raise ConfigError(f"methods: '{part}' is unknown. {nearest(part, known)}")
        if len(parts) > 1 and (ORIGINAL in parts or WITHOUT in parts):
            raise ConfigError(f"methods: '{word}': {ORIGINAL} and {WITHOUT} stand alone.")
        runtime = parts[-1] if parts[-1] in RUNTIMES else None
        changes = tuple(part for part in (parts[:-1] if runtime else parts) if part not in (ORIGINAL, WITHOUT))
        late = [part for part in changes if part in RUNTIMES] + [p for p in changes[1:] if p in ("distil", "student")]
        if late or len(set(changes)) < len(changes):
            raise ConfigError(
                f"methods: '{word}': first at most one of distil and student, then pruning (magnitude, structured, "
                f"layers), each once, and one of {', '.join(RUNTIMES)} at the end."
            )
        found.append(Method(word, changes, runtime))
    return found
