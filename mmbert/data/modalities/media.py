"""Kinds of input whose cells name a file to decode, or hold its bytes, alone or in ``{"bytes": ..., "path": ...}``."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from mmbert.core.errors import DataError
from mmbert.core.file_names import named_file
from mmbert.core.regular_files import refuse_special
from mmbert.data.modalities.base import (
    WHOLE_INPUT,
    Modality,
    TimeSpan,
    bytes_and_name,
    content_digest,
    file_digest,
    span_of_cell,
)
from mmbert.data.modalities.errors import REMEDY, unusable_file, why_no_content
from mmbert.data.tables.cells import cell_excerpt

T = TypeVar("T")


class MediaModality(Modality):
    """A subclass implements ``decode``; finding the file and naming it in messages is done here."""

    def decode(
        self, source: str | Path | BinaryIO, max_seconds: float | None = None, part: TimeSpan = WHOLE_INPUT
    ) -> Any:
        """A file, or its bytes -> the raw value that ``Processor.prepare`` takes; errors as they come.

        Args:
            source: which.
            max_seconds: no more than this need be read, of inputs that last.
            part: what of an input that lasts is meant.
        """
        raise NotImplementedError

    def read(self, cell: Any, folder: str | Path, max_seconds: float | None = None) -> Any:
        """See ``Modality``."""
        return self.using(cell, folder, partial(self.decode, max_seconds=max_seconds, part=span_of_cell(cell)))

    def read_file(self, path: str | Path, max_seconds: float | None = None) -> Any:
        """A file -> the raw value that ``Processor.prepare`` takes.

        Raises:
            DataError: the file does not exist, or cannot be decoded.
        """
        return self._using_file(path, partial(self.decode, max_seconds=max_seconds))

    def using(self, cell: Any, folder: str | Path, use: Callable[[Any], T]) -> T:
        """What a function makes of the file that a cell names, or of the bytes that it holds.

        Raises:
            DataError: the cell names no file, or the function fails; the message names the file.
        """
        content, name = bytes_and_name(cell)
        if content is not None:
            return self._using_bytes(content, name, use)
        if isinstance(cell, dict) and not name:
            raise DataError(f"neither bytes nor a path of the {self.kind} are there: {list(cell)}")
        if not isinstance(name, str):
            raise DataError(f"a file name is needed, not {cell_excerpt(cell)}")
        return self._using_file(named_file(folder, name), use)

    def _using_file(self, path: str | Path, use: Callable[[Any], T]) -> T:
        try:
            refuse_special(path)
            return use(path)
        except Exception as error:  # decoders raise whatever a broken file makes them meet
            raise unusable_file(path, self.noun, error) from error

    def _using_bytes(self, content: bytes, name: str | None, use: Callable[[Any], T]) -> T:
        try:
            return use(io.BytesIO(content))
        except MemoryError:
            raise
        except Exception as error:  # as above
            named = f"the {self.noun} in the table" + (f" ('{name}')" if name else "")
            raise DataError(f"{named}: {why_no_content(self.noun, error)}. {REMEDY}") from error

    def file_name(self, cell: Any) -> str | None:
        """See ``Modality``; any other cell counts as the name of a file, which does not exist."""
        return bytes_and_name(cell)[1] if isinstance(cell, (dict, bytes)) else str(cell)

    def stored_digest(self, cell: Any, folder: Path) -> bytes:
        """Digest of the file that a cell names, or of the bytes that it holds."""
        content, name = bytes_and_name(cell)
        digest = file_digest(named_file(folder, str(name))) if content is None else content_digest(content)
        part = span_of_cell(cell)
        return digest if part == WHOLE_INPUT else content_digest(digest + repr(part).encode())


def data_uri(content: bytes, mime_type: str) -> str:
    """Bytes as an address that a page can hold: ``data:image/png;base64,...``."""
    return f"data:{mime_type};base64,{base64.b64encode(content).decode()}"
