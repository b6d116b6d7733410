"""The name of an encoder's numbers: of everything that its outputs depend on, but for the input.

Its class and options, its weights, its preprocessing, the code of both, and the versions of the libraries that decode
and compute. What is left out of the options (learning rates, where weights were loaded from) is in
``Encoder.NOT_IN_FINGERPRINT``.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mmbert.core import masks
from mmbert.core.init_args import class_path
from mmbert.data.modalities import read as media
from mmbert.encoders.base import Encoder
from mmbert.encoders.pretrained.fingerprint import weights_fingerprint

#: Changes with the format of what is kept.
FORMAT = 1
#: Libraries by the kind of input whose numbers they make.
LIBRARIES = {
    "text": ("torch", "transformers", "tokenizers"),
    "image": ("torch", "timm", "pillow"),
    "audio": ("torch", "torchaudio", "soundfile"),
}
#: Their code is known by their versions.
THEIRS = {"torch", "transformers", "timm", "torchaudio", "torchvision", "tokenizers", "peft", "typing", "abc"}
LENGTH = 16


def encoder_identity(encoder: Encoder) -> dict[str, Any]:
    """What an encoder's tokens depend on beside the input, as plain values."""
    return {
        **prepared_identity(encoder),
        "encoder": class_path(encoder),
        "options": plain(encoder.identity()),
        "weights": weights_fingerprint(encoder),
        "code": code_fingerprint({type(encoder.processor), *map(type, encoder.modules())}),
    }


def prepared_identity(encoder: Encoder) -> dict[str, Any]:
    """What an encoder's prepared inputs depend on beside the raw input, as plain values."""
    processor: Any = encoder.processor
    return {
        "format": FORMAT,
        "kind": encoder.kind,
        "processor": class_path(processor),
        "settings": plain(processor.settings()),
        "code": code_fingerprint([type(processor)]),
        "libraries": {name: version(name) for name in LIBRARIES.get(encoder.kind, ("torch",))},
    }


def name_of(identity: Mapping[str, Any]) -> str:
    """Sixteen letters that change with any value of an identity."""
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def code_fingerprint(classes: Iterable[type]) -> str:
    """Changes with the source of the files that define classes and their bases, libraries left out, and of decoding."""
    files = {Path(media.__file__), Path(masks.__file__)}
    for one in classes:
        for base in inspect.getmro(one):
            path = getattr(sys.modules.get(base.__module__), "__file__", None)
            if path and base.__module__.partition(".")[0] not in THEIRS:
                files.add(Path(path))
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:LENGTH]


def version(library: str) -> str:
    """Of an installed library."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def plain(value: Any) -> Any:
    """A value as JSON keeps it; tensors as lists, paths and types as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(part) for part in value]
    if isinstance(value, Tensor):
        return value.tolist()
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)
