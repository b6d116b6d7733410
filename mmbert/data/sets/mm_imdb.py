"""mm_imdb: 25,959 films with plot, poster and genres."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from mmbert.core.errors import DataError
from mmbert.core.ranges import OneOf
from mmbert.data.sets.base import DataCard, PreparedData, TableRow

IMDB_SPLITS = {"train": "train", "dev": "val", "test": "test"}
#: Four of the 27 genres are too rare, and the figures leave them out.
RARE_GENRES = ("Adult", "News", "Reality-TV", "Talk-Show")


class MmImdb(PreparedData):
    """MM-IMDb with its own splits.

    Columns: ``text`` (the plot), ``image`` (the poster), ``genres`` (23, joined by ``|``), ``title``, ``year``, ``id``.

    Args:
        plot: which of a film's plots: ``first`` or ``longest``.
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    card = DataCard(
        name="mm_imdb",
        version=1,
        licence="terms of IMDb: research",
        homepage="https://github.com/johnarevalo/gmu-mmimdb",
        holds=("split.json", "dataset/*.json", "dataset/*.jpeg"),
        archives=("mmimdb.tar.gz",),
        fetch="Download mmimdb.tar.gz, which https://github.com/johnarevalo/gmu-mmimdb links.",
        citation="Arevalo et al. 2017, Gated Multimodal Units for Information Fusion, arXiv:1702.01992",
        metric="F1 weighted, by samples, micro and macro over 23 genres",
        figure="GMU: F1 0.617 weighted, 0.630 by samples, 0.630 micro, 0.541 macro (Arevalo et al. 2017)",
    )

    def __init__(self, plot: Annotated[str, OneOf("first", "longest")] = "first", **options: Any) -> None:
        self.plot = plot
        super().__init__(built_with={"plot": plot}, **options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The films of train, dev and test, in the order of ``split.json``."""
        splits = json.loads((raw / "split.json").read_text("utf-8"))
        without = 0
        for part, split in IMDB_SPLITS.items():
            for name in splits[part]:
                film = json.loads((raw / "dataset" / f"{name}.json").read_text("utf-8"))
                genres = [genre for genre in film.get("genres", []) if genre not in RARE_GENRES]
                if not genres:
                    without += 1
                    continue
                yield {
                    "id": name,
                    "split": split,
                    "text": self.plot_of(film, name),
                    "image": raw / "dataset" / f"{name}.jpeg",
                    "genres": "|".join(genres),
                    "title": film.get("title"),
                    "year": film.get("year"),
                }
        if without:
            self.note(f"{without} films with none of the 23 genres are left out")

    def plot_of(self, film: dict[str, Any], name: str) -> str | None:
        """One of a film's plots; None if it has none.

        Raises:
            DataError: they are no texts.
        """
        plots = film.get("plot") or []
        plots = [plots] if isinstance(plots, str) else plots
        if not all(isinstance(plot, str) for plot in plots):
            raise DataError(f"dataset/{name}.json: 'plot' is no list of texts.")
        return (plots[0] if self.plot == "first" else max(plots, key=len)) if plots else None
