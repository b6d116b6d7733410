"""Whether optional packages are there and work; tests that need them are skipped elsewhere."""

import importlib

import pytest


def works(name: str) -> bool:
    """Whether a package can be imported; CairoSVG also needs the system's library cairo."""
    try:
        importlib.import_module(name)
    except (ImportError, OSError):
        return False
    return True


def skip_without(name: str) -> None:
    """Skips the test, or the whole module that calls it."""
    if not works(name):
        pytest.skip(f"{name} is not installed, or does not work", allow_module_level=True)
