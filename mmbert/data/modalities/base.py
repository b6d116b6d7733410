"""``Modality``: what a kind of input is. How its cells are read, measured, checked, corrupted, augmented and shown.

One object for each kind, one file for each object in this folder; nothing else in mmbert asks which kind an input is.
A kind of your own is a subclass in your own file, see docs/your_own_encoder.md.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from mmbert.core.file_names import named_file
from mmbert.core.regular_files import refuse_special
from mmbert.core.types import ShownAs
from mmbert.data.augment.base import InputAugmentation
from mmbert.data.augment.corruptions import Degradation
from mmbert.data.modalities.processor import Processor
from mmbert.data.tables.cells import cell_excerpt

#: Characters of a cell that an example shows.
EXAMPLE_CELL_CHARACTERS = 80


@dataclass(frozen=True)
class CellFacts:
    """What ``mmbert-check-data`` knows of one cell.

    Attributes:
        fault: why the cell cannot be used; None = it can.
        digest: of its content; equal for equal contents; empty = it is ordinary that rows are alike.
        quantities: numbers by name, with their unit where it is not plain: ``{"seconds": 1.5, "hertz": 16000}``.
        width: D of a sequence of vectors, which must be the same in all rows; None = of no interest.
        look: perceptual hash of a picture (64 bits); None = of no interest.
        remarks: what training reads otherwise than one may think, such as one frame of an animation.
    """

    fault: str | None = None
    digest: bytes = b""
    quantities: Mapping[str, float] = field(default_factory=dict)
    width: int | None = None
    look: int | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class TimeSpan:
    """Which part of an input that lasts is meant, in seconds from its beginning.

    Attributes:
        start: where it begins.
        end: where it ends; None = with the input.
    """

    start: float = 0.0
    end: float | None = None

    def seconds(self, whole: float) -> float:
        """How long the part of an input of a known length is."""
        return max(0.0, (whole if self.end is None else min(whole, self.end)) - self.start)


WHOLE_INPUT = TimeSpan()


class Modality:
    """One kind of input. Stateless; what is written here is right for a kind whose cells name files.

    Attributes:
        kind: its name, that of its file in ``mmbert.data.modalities`` if it lies there.
        noun: what messages call one input, such as ``picture``.
        names_files: whether cells name files; else they are the inputs themselves.
        shown_as: what a page or a tracker makes of a cell.
        length_unit: the unit of ``length``; None = inputs are all alike, or too dear to measure.
        logs_padding: whether ``padding/ENCODER``, the share of padding in a batch, is worth logging.
        code: modules, besides that of the class, whose code decides what is read; part of the store's fingerprint.
        libraries: those whose versions decide what encoders of this kind compute; part of the store's fingerprint.
        python_example: Python source of a value, as the model card shows it.
        reads_columns: whether one input is made of cells of several columns, ``{column: cell}``.
        learns_of_train: whether ``mmbert-check-data`` holds cells against what encoders learn of train.
        lasts: whether inputs have a length in seconds, so that a part of a file can be asked for (``TimeSpan``).
        looks_at_parts: whether ``has_nothing`` is about the part of a file that is meant, rather than all of it.
        lacking: wording of the finding that a cell's file has nothing of this kind, of one file and of several.
        augmentation: the options of ``augment.KIND``, and what they do; None = there are none.
        duplicates: wording of the finding that rows share an input with the split ``{0}``.
    """

    kind: ClassVar[str]
    noun: ClassVar[str] = "input"
    names_files: ClassVar[bool] = True
    shown_as: ClassVar[ShownAs] = "none"
    length_unit: ClassVar[str | None] = None
    logs_padding: ClassVar[bool] = True
    code: ClassVar[tuple[str, ...]] = ()
    libraries: ClassVar[tuple[str, ...]] = ("torch",)
    python_example: ClassVar[str] = "..."
    reads_columns: ClassVar[bool] = False
    learns_of_train: ClassVar[bool] = False
    lasts: ClassVar[bool] = False
    looks_at_parts: ClassVar[bool] = False
    lacking: ClassVar[tuple[str, str]] = ("file has nothing of this kind", "files have nothing of this kind")
    augmentation: ClassVar[type[InputAugmentation] | None] = None
    duplicates: ClassVar[str] = "whose content is in '{0}' too, byte for byte"

    def read(self, cell: Any, folder: str | Path, max_seconds: float | None = None) -> Any:
        """A table's cell -> the raw value that ``Processor.prepare`` takes.

        Args:
            cell: not empty.
            folder: of the table; files are named relative to it.
            max_seconds: no more than this need be read, of inputs that last.

        Raises:
            DataError: the cell, or the file that it names, cannot be used.
        """
        raise NotImplementedError

    def from_python(self, value: Any, processor: Processor) -> Any:
        """A value as people hold it in Python, such as a path -> the raw value that ``Processor.prepare`` takes.

        Raises:
            DataError: the value, or the file that it names, cannot be used.
        """
        if self.names_files and isinstance(value, (str, Path)):
            return self.read(str(value), "", getattr(processor, "max_seconds", None))
        return value

    @property
    def variant(self) -> str:
        """What ``has_nothing`` depends on besides the file and the kind: options of an encoder's own object."""
        return ""

    def may_lack(self, name: str) -> bool:
        """Whether a file of this name may be whole and hold nothing of this kind; such are looked into before use."""
        return False

    def has_nothing(self, cell: Any, folder: str | Path) -> bool:
        """Whether the file that a cell names can be read and holds nothing of this kind, as a clip without sound.

        The sample then lacks the modality. What cannot be read is an error when it is read, and False here.
        """
        return False

    def labelled_part(self, raw: Any) -> Any:
        """Of a raw value the part that labels such as tags and answers are about; by itself, all of it."""
        return raw

    def file_name(self, cell: Any) -> str | None:
        """The file that a cell names, relative to the table's folder; None = the cell is the input itself."""
        return bytes_and_name(cell)[1] if self.names_files else None

    def content(self, cell: Any, folder: str | Path) -> bytes | str | None:
        """The content that the store hashes to recognise an input: bytes, or the path of a file; None = unknown."""
        content, name = bytes_and_name(cell)
        if content is not None:
            return content
        if not self.names_files:
            return repr(cell).encode("utf-8", "surrogatepass")
        return None if name is None else named_file(folder, name)

    def length(self, cell: Any, folder: str | Path) -> float:
        """Length of the input in ``length_unit``, found cheaply, for batches of like length; 0 where unreadable."""
        return 0.0

    def size(self, cell: Any, folder: str | Path) -> int:
        """How much there is of the input, in a unit of its own (bytes of a file, numbers of a list), found cheaply."""
        content, name = bytes_and_name(cell)
        if content is not None:
            return len(content)
        if name is not None:
            try:
                return os.stat(named_file(folder, name)).st_size
            except OSError:  # whoever reads it will say what is wrong with it
                return 0
        return int(np.size(np.asarray(cell, dtype=object))) if isinstance(cell, list) else 0

    def vector_width(self, cell: Any, folder: str | Path, options: Mapping[str, Any]) -> int | None:
        """D of the vectors in a cell, for an encoder whose ``width`` is null; None = the kind has no such width.

        Raises:
            DataError: the cell cannot be used.
        """
        return None

    def made_up(self, processor: Processor, random: np.random.Generator) -> tuple[list[Any], list[Any]]:
        """Raw values on which ``mmbert.testing.check_encoder`` tries an encoder.

        Args:
            processor: of the encoder.
            random: for their content.

        Returns:
            Ordinary values of different sizes, at least two; and values that real tables hold and that are easily
            forgotten, such as an empty text. None of either = whoever checks an encoder passes samples.
        """
        return [], []

    def inspect(self, cell: Any, folder: Path, options: Mapping[str, Any]) -> CellFacts:
        """Reads a cell as training would and measures it, for ``mmbert-check-data``.

        Args:
            cell: not empty.
            folder: of the table.
            options: the encoder's config.

        Raises:
            DataError: the cell cannot be used.
        """
        self.read(cell, folder)
        content = self.content(cell, folder)
        if content is None:
            content = repr(cell).encode("utf-8", "surrogatepass")
        return CellFacts(digest=file_digest(content) if isinstance(content, str) else content_digest(content))

    def corrupted(
        self, raw: Any, processor: Processor, level: float, random: np.random.Generator, options: Degradation
    ) -> Any:
        """A raw value -> what ``processor.prepare`` gives for a damaged one; by itself, noise on the prepared numbers.

        Args:
            raw: see ``Processor``; it is left as it is.
            processor: of the encoder.
            level: above 0, at most 1.
            random: the sample's own; the draws must be the same at every level.
            options: the config node ``robustness.noise``.
        """
        numbers = torch.as_tensor(processor.prepare(raw))
        noise = torch.from_numpy(random.standard_normal(tuple(numbers.shape), np.float32))
        return numbers + level * numbers.std(correction=0) * noise

    def example_html(self, cell: Any, folder: Path) -> str:
        """A cell as HTML, small, for the examples of ``mmbert-check-data --html``.

        Raises:
            DataError: the cell cannot be used.
        """
        self.read(cell, folder)
        return f"<small>{escape(cell_excerpt(cell, EXAMPLE_CELL_CHARACTERS))}</small>"


def bytes_and_name(cell: Any) -> tuple[bytes | None, str | None]:
    """The bytes that lie in a cell, or in its ``{"bytes": ..., "path": ...}``, and the file that it names."""
    if isinstance(cell, bytes):
        return cell, None
    if isinstance(cell, dict):
        return cell.get("bytes"), cell.get("path")
    return None, cell if isinstance(cell, str) else None


def span_of_cell(cell: Any) -> TimeSpan:
    """The part of an input that a cell means, see ``mmbert.data.tables.derived_columns.Span``; by itself all of it."""
    if not isinstance(cell, dict):
        return WHOLE_INPUT
    return TimeSpan(cell.get("start") or 0.0, cell.get("end"))


def content_digest(content: bytes) -> bytes:
    """Sixteen bytes that differ between contents that differ."""
    return hashlib.blake2b(content, digest_size=16).digest()


def file_digest(path: str | Path) -> bytes:
    """``content_digest`` of a file, which is not read whole at once."""
    refuse_special(path)
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
