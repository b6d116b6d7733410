"""Exports stored features as plain arrays into an .npz or .safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import ConfigError
from mmbert.core.whole_files import whole_file
from mmbert.data.datamodule import MultimodalData
from mmbert.data.loading.cached import StoredTokens, as_float
from mmbert.store.use_store import StoreUsage

EXPORT_FORMATS = (".npz", ".safetensors")


def arrays_of(data: MultimodalData, uses: dict[str, StoreUsage]) -> dict[str, np.ndarray]:
    """The stored features of a data set's rows.

    Args:
        data: whose ``sources`` were set by ``use_store``.
        uses: by encoder name; encoders whose tokens are stored are exported.

    Returns:
        ``row`` (R,) the rows' numbers in the table, from 0; ``split`` (R,) the number of each row's split in the order
        of ``data.rows``; and for each encoder NAME ``NAME.tokens`` (N, D) float32, the tokens of all rows concatenated,
        ``NAME.offsets`` (R + 1,) where each row's begin, and ``NAME.pooled`` (R, D). A row without the modality has no
        tokens and zeros for its vector.

    Raises:
        ConfigError: no encoder's tokens are stored.
    """
    names = [name for name, use in uses.items() if use.what == "tokens"]
    if not names:
        raise ConfigError(
            "No encoder is frozen, so no features are stored. Freeze one: encoders.text.frozen=true; or see why in the "
            "line above."
        )
    rows = np.concatenate(list(data.rows.values()))
    split = np.concatenate([np.full(len(part), n) for n, part in enumerate(data.rows.values())])
    arrays: dict[str, np.ndarray] = {"row": rows, "split": split}
    for name in names:
        kept = [data.sources[name].row(int(row)) for row in rows]
        arrays |= {f"{name}.{key}": array for key, array in concatenated(kept, name).items()}
    return arrays


def concatenated(kept: list[Any], name: str) -> dict[str, np.ndarray]:
    """Samples of one encoder as ``tokens``, ``offsets`` and ``pooled``; see ``arrays_of``.

    Raises:
        ConfigError: none of them is stored.
    """
    there = [value.tokens for value in kept if isinstance(value, StoredTokens) and value.tokens is not None]
    if not there:
        raise ConfigError(f"Nothing of '{name}' is stored: store.max_gib may be used up.")
    width = there[0].shape[1]
    lengths = [0 if value is None else len(value.tokens) for value in kept]
    pooled = np.zeros((len(kept), width), np.float32)
    for place, value in enumerate(kept):
        if value is not None:
            pooled[place] = as_float(value.pooled.copy()).numpy()
    tokens = np.concatenate([as_float(tokens.copy()).numpy() for tokens in there])
    return {"tokens": tokens, "offsets": np.concatenate([[0], np.cumsum(lengths)]), "pooled": pooled}


def write_arrays(arrays: dict[str, np.ndarray], path: Path, about: dict[str, str]) -> None:
    """Writes arrays into an .npz or .safetensors file, completely or not at all.

    Args:
        arrays: by name.
        path: of the file.
        about: metadata, which only a .safetensors file can hold.

    Raises:
        ConfigError: the file's name has another ending, or the file cannot be written.
    """
    if path.suffix not in EXPORT_FORMATS:
        raise ConfigError(f"out={path}: its name must end in {' or '.join(EXPORT_FORMATS)}.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"out={path}: it cannot be written (there is no folder {path.parent}).")
    try:
        with whole_file(path) as temporary:
            if path.suffix == ".npz":
                with temporary.open("wb") as file:
                    np.savez(file, allow_pickle=False, **arrays)
            else:
                from safetensors.numpy import save_file

                save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, about)
    except OSError as error:
        raise ConfigError(f"out={path}: it cannot be written ({error.strerror or error}).") from error
