"""Identity of an encoder for the store: everything but the input that its outputs depend on, hashed to a folder's name.

That is its class and options, its weights, its preprocessing, the code of both, and the versions of the libraries that
decode and compute. Options that are left out (learning rates, where weights were loaded from) are listed in
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
from mmbert.data.modalities.registry import modality_of
from mmbert.encoders.base import Encoder
from mmbert.encoders.pretrained.fingerprint import weights_fingerprint

#: Version of the format of stored arrays.
STORE_FORMAT = 1
#: Packages whose code is identified by a version, and is not hashed.
THEIRS = {"torch", "transformers", "timm", "torchaudio", "torchvision", "tokenizers", "peft", "typing", "abc"}
HASH_LENGTH = 16


def encoder_identity(encoder: Encoder) -> dict[str, Any]:
    """What an encoder's tokens depend on besides the input, as JSON values."""
    return {
        **prepared_identity(encoder),
        "encoder": class_path(encoder),
        "options": json_value(encoder.identity()),
        "weights": weights_fingerprint(encoder),
        "code": code_fingerprint(
            {type(modality_of(encoder)), type(encoder.processor), *map(type, encoder.modules())},
            modality_of(encoder).code,
        ),
    }


def prepared_identity(encoder: Encoder) -> dict[str, Any]:
    """What an encoder's prepared inputs depend on besides the raw input, as JSON values."""
    processor: Any = encoder.processor
    modality = modality_of(encoder)
    return {
        "format": STORE_FORMAT,
        "kind": modality.kind,
        "processor": class_path(processor),
        "settings": json_value(processor.settings()),
        "code": code_fingerprint([type(modality), type(processor)], modality.code),
        "libraries": {name: version(name) for name in modality.libraries},
    }


def identity_hash(identity: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of an identity's SHA-256."""
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


def code_fingerprint(classes: Iterable[type], modules: Iterable[str] = ()) -> str:
    """A hash of the source files that define classes and their bases, without libraries, and of further modules.

    It depends neither on where the files lie nor on the order in which a process happens to meet them, of files of the
    same name neither.
    """
    files = {Path(masks.__file__), *(Path(str(sys.modules[name].__file__)) for name in modules)}
    for one in classes:
        for base in inspect.getmro(one):
            path = getattr(sys.modules.get(base.__module__), "__file__", None)
            if path and base.__module__.partition(".")[0] not in THEIRS:
                files.add(Path(path))
    digest = hashlib.sha256()
    for _, code in sorted((path.name, path.read_bytes()) for path in files):
        digest.update(code)
    return digest.hexdigest()[:HASH_LENGTH]


def version(library: str) -> str:
    """The version of an installed library, or ``none``."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def json_value(value: Any) -> Any:
    """A value as JSON can hold it; tensors as lists, paths and types as text."""
    if isinstance(value, Mapping):
        return {str(key): json_value(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_value(part) for part in value]
    if isinstance(value, Tensor):
        return value.tolist()
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)
