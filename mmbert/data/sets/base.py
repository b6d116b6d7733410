"""``PreparedData``: the base of every real data set; a set is a card and a method that reads its rows.

    class Fsdd(PreparedData):
        card = DataCard(
            name="fsdd",
            version=1,
            licence="CC BY-SA 4.0",
            homepage="https://github.com/Jakobovski/free-spoken-digit-dataset",
            holds=("recordings/*.wav",),                      # how the set's folder is recognised
            archives=("fsdd*.tar.gz|free-spoken-digit-*.zip",),  # what is looked for in $MMBERT_HOME/sources
        )

        def __init__(self, split_by: str = "speaker", **loading):
            self.split_by = split_by
            super().__init__(built_with={"split_by": split_by}, **loading)

        def read_rows(self, raw: Path) -> Iterator[TableRow]:
            for path in sorted((raw / "recordings").glob("*.wav")):
                digit, speaker, _ = path.stem.split("_")
                yield {"audio": path, "digit": digit, "split": "test" if speaker == "theo" else "train"}

That is all: ``data.source=`` takes a folder, an archive (.tar.gz, .zip, ...), Debian packages, or several of them; null
looks in ``$MMBERT_HOME/sources``. On first use the rows become an ordinary manifest under ``$MMBERT_HOME``, in a folder
named by set, version, options, recipe and source, which is built beside its place and renamed when it is whole, one
process at a time. A set that was built once needs its source no more.

What a cell of a row may be:
    ``None`` or ``""``: a missing modality or label;
    a ``Path`` below ``raw``: the file becomes part of the set (or is named where it lies, ``data.copy_files=false``);
    a ``NewFile(name, content)``: a file that is made while building, such as a rendered drawing;
    anything else is written as ``str`` writes it.
Columns may differ from row to row; the table has them all. ``self.note("...")`` says what was left out: it is printed
at every start. Splits of whole groups are drawn by ``mmbert.data.sets.grouping``. What is wrong in the files is a
``DataError`` with file and row; other errors of reading are reported as "not the files that were expected".
Any option that changes rows belongs into ``built_with``; one that only chooses among columns does not.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmbert.core.errors import DataError
from mmbert.core.home import home
from mmbert.core.whole_files import building, whole_folder
from mmbert.data.datamodule import MultimodalData
from mmbert.data.sets.sources import (
    SOURCES,
    DataCard,
    NoSource,
    download_packages,
    find_sources,
    missing,
    sources_fingerprint,
    unpacked,
)
from mmbert.data.sets.table_files import SET_CARD, SET_TABLE, NewFile, TableRow, announce_build, write_set

__all__ = ["DataCard", "NewFile", "PreparedData", "TableRow"]


class PreparedData(MultimodalData):
    """A real data set, made into a table where it is missing.

    Args:
        source: the raw files: a folder, an archive, or several; None = looked for in ``$MMBERT_HOME/sources``, and
            Debian packages fetched by apt.
        folder: where the set is kept; None = under the environment variable MMBERT_HOME, else ~/.cache/mmbert.
        copy_files: pictures and sounds become part of the set; False = those of a source folder stay where they are.
        built_with: the options that the rows depend on, given by the set's own class.
        **loading: options of ``MultimodalData``.

    Raises:
        DataError: the source is not there, is something else, or the set cannot be written.
    """

    card: ClassVar[DataCard]

    def __init__(
        self,
        source: str | Path | Sequence[str | Path] | None = None,
        folder: str | Path | None = None,
        copy_files: bool = True,
        built_with: Mapping[str, Any] | None = None,
        **loading: Any,
    ) -> None:
        self.copy_files = copy_files
        self.built_with = dict(built_with or {})
        self._notes: list[str] = []
        table = self.prepare(source, home(folder))
        self.facts_of_set: dict[str, Any] = json.loads((table.parent / SET_CARD).read_text("utf-8"))
        super().__init__(table, **loading)

    @abstractmethod
    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The rows of the table, a dictionary by column each.

        Args:
            raw: the folder below which every pattern of ``card.holds`` has a match. Nothing is written there.
        """

    def note(self, sentence: str) -> None:
        """Adds what whoever uses the set should know about how it was built: what was left out, and why."""
        self._notes.append(sentence)

    @property
    def notes(self) -> list[str]:
        """What was left out as the set was built, and what ``MultimodalData`` says of the table."""
        return [*self.facts_of_set["notes"], *super().notes]

    def prepare(self, source: str | Path | Sequence[str | Path] | None, home_folder: Path) -> Path:
        """The set's table, built unless it is already there.

        Raises:
            DataError: see the class.
        """
        try:
            sources = find_sources(self.card, source, home_folder)
        except NoSource:
            if built := self.built_before(home_folder):
                return built
            where = home_folder / SOURCES
            sources = download_packages(self.card, where) or missing(self.card, where)
        folder = home_folder / f"{self.folder_beginning()}-{sources_fingerprint(sources)}"
        table = folder / SET_TABLE
        if not table.is_file():
            try:
                with building(folder):
                    if not table.is_file():  # else another process was quicker
                        self.build(folder, sources)
            except OSError as error:
                raise DataError(
                    f"The data set {self.card.name} cannot be made from {sources[0]} in {folder} "
                    f"({error.strerror or error}). Is there room? Name another place with data.folder=DIR or the "
                    "environment variable MMBERT_HOME."
                ) from error
        return table

    def build(self, folder: Path, sources: Sequence[Path]) -> None:
        """Makes the set's folder: its files, its table, and its card."""
        announce_build(self.card, sources)
        with whole_folder(folder) as scratch:
            raw = unpacked(self.card, sources, scratch.parent / "raw")  # goes with the scratch folder
            ours = scratch.parent in raw.parents
            try:
                write_set(self.read_rows(raw), raw, scratch, self.card, self.copy_files or ours, move=ours)
            except (KeyError, ValueError, IndexError, EOFError) as error:
                raise DataError(
                    f"The data set {self.card.name} cannot be made from {', '.join(map(str, sources))}: these are not "
                    f"the files that were expected ({type(error).__name__}: {error}). They are published at "
                    f"{self.card.homepage}"
                ) from error
            self.describe(scratch, sources)

    def describe(self, folder: Path, sources: Sequence[Path]) -> None:
        """Adds to the card what the set was made from."""
        path = folder / SET_CARD
        facts = json.loads(path.read_text("utf-8"))
        facts |= {
            "options": self.built_with,
            "made_from": [{"name": one.name, "bytes": one.stat().st_size} for one in sources],
            "notes": self._notes,
        }
        with path.open("w", encoding="utf-8") as file:
            file.write(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")

    def folder_beginning(self) -> str:
        """A name that changes with version, options and recipe, so that sets that differ are never mixed up."""
        options = {**self.built_with, "copy_files": self.copy_files}
        digest = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode())
        if recipe := inspect.getsourcefile(type(self)):
            digest.update(Path(recipe).read_bytes())
        return f"{self.card.name}-v{self.card.version}-{digest.hexdigest()[:8]}"

    def built_before(self, home_folder: Path) -> Path | None:
        """The newest set that was built with these options, from a source that is gone by now."""
        tables = home_folder.glob(f"{self.folder_beginning()}-*/{SET_TABLE}")
        return max(tables, key=lambda path: path.stat().st_mtime, default=None)
