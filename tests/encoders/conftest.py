"""Tiny models of transformers in folders, built once for the tests of encoders."""

from __future__ import annotations

import pytest

from hub_folders import AUDIO_MODELS, IMAGE_MODELS, saved


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Models by name."""
    place = tmp_path_factory.mktemp("hub")
    return {name: saved(make, place / name) for name, make in (AUDIO_MODELS | IMAGE_MODELS).items()}
