"""Pickles of arrays, read without running code: numbers, text, lists, dictionaries and NumPy arrays, nothing else."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbert.core.errors import DataError

#: What NumPy writes into a pickle of arrays, in its old and its present modules.
NUMPY_MODULES = (
    "numpy.core.multiarray",
    "numpy._core.multiarray",
    "numpy.core.numeric",
    "numpy._core.numeric",
    "numpy",
)
NUMPY_NAMES = ("_reconstruct", "scalar", "_frombuffer", "ndarray", "dtype")


class PlainUnpickler(pickle.Unpickler):
    """Refuses every name but those of NumPy's arrays."""

    def find_class(self, module: str, name: str) -> Any:
        """See ``pickle.Unpickler``.

        Raises:
            UnpicklingError: for any other name: such a pickle may run code.
        """
        if (module in NUMPY_MODULES and name in NUMPY_NAMES) or (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array")


def read_plain_pickle(path: Path) -> Mapping[str, Any]:
    """The dictionary in a pickle of arrays.

    Raises:
        DataError: it is damaged, no dictionary, or holds more than plain values and arrays.
    """
    try:
        with path.open("rb") as file:
            found = PlainUnpickler(file).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, ValueError, TypeError) as error:
        raise DataError(f"{path} cannot be read as a pickle of arrays ({error}). Nothing of it was run.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} holds a {type(found).__name__}, where a dictionary of splits is needed.")
    return found
