"""Error messages for files that cannot be used: which file, why, and what to do about it."""

from __future__ import annotations

import os
from pathlib import Path

import soundfile
from PIL import Image as pil

from mmbert.core.errors import DataError
from mmbert.core.regular_files import SpecialFileError

#: What to do about a file that cannot be used.
REMEDY = "Replace the file, or leave its cell empty: a missing modality is ordinary."
NOT_ALLOWED = "this user may not read it (permission denied)"


def unusable_file(path: str | Path, noun: str, error: Exception) -> DataError:
    """The error to raise for a file: its name, why it cannot be used, and a remedy.

    Args:
        path: the file.
        noun: what should be in it, such as ``picture``.
        error: what its reader raised.

    Raises:
        MemoryError: ``error`` is one, which is no fault of the file.
    """
    if isinstance(error, MemoryError):
        raise error
    return DataError(f"{path}: {why_unusable(Path(path), noun, error)}. {REMEDY}")


def why_unusable(path: Path, noun: str, error: Exception) -> str:
    """Why a file cannot be used; arguments as those of ``unusable_file``."""
    if isinstance(error, PermissionError) or not may_read(path):
        return NOT_ALLOWED
    if isinstance(error, SpecialFileError):
        return str(error.strerror)
    if path.is_dir():
        return "this is a folder, not a file"
    if not path.exists():
        return "there is no such file"
    if not path.stat().st_size:
        return "the file is empty (0 bytes)"
    return why_no_content(noun, error)


def why_no_content(noun: str, error: Exception) -> str:
    """Why content that is there cannot be used; arguments as those of ``unusable_file``."""
    if isinstance(error, DataError):
        return f"the {noun} cannot be used: {str(error).rstrip('.')}"
    if isinstance(error, pil.DecompressionBombError):
        most = 2 * (pil.MAX_IMAGE_PIXELS or 0)
        return f"the {noun} has more than {most:,} pixels, which take half a gigabyte of memory and more: scale it down"
    if isinstance(error, soundfile.LibsndfileError):
        return f"this is no {noun} that can be read ({error.error_string or 'it is damaged'})"
    return f"this is no {noun} that can be read ({str(error) or type(error).__name__})"


def may_read(path: Path) -> bool:
    """Whether this user may read a file; True where there is none."""
    try:
        return not path.exists() or os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids)
    except PermissionError:  # of a folder above it
        return False
