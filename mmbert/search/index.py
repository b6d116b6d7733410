"""The vectors of what is searched, kept in a folder; what is unchanged is never encoded twice.

index.json      version, the model's and the vectors' fingerprints, and what each vector is of
vectors.npy     (N, E) float32, of length 1
graph_*         what an approximate search keeps (``mmbert.search.graph``)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from mmbert.core.errors import DataError, InputError
from mmbert.core.whole_files import whole_folder
from mmbert.search.embedder import Embedder
from mmbert.search.graph import Graph, has_faiss
from mmbert.search.items import Item, item_value

#: Of the format; indexes of others are built anew.
VERSION = 1
FACTS, VECTORS = "index.json", "vectors.npy"


@dataclass(frozen=True)
class Match:
    """What was found.

    Attributes:
        item: which.
        score: its cosine with the query.
    """

    item: Item
    score: float


@dataclass(frozen=True)
class VectorIndex:
    """Vectors and what they are of.

    Attributes:
        items: N of them.
        vectors: (N, E) float32, of length 1.
        unreadable: what could not be encoded, and why.
    """

    items: list[Item]
    vectors: np.ndarray
    unreadable: Mapping[Item, str]

    def nearest(
        self, query: np.ndarray, count: int, modality: str | None = None, graphs: Mapping[str, Graph] | None = None
    ) -> list[Match]:
        """The items nearest to a query, best first; those as near as each other in the order of the index.

        Args:
            query: (E,) of length 1.
            count: how many at most.
            modality: of which alone; None = of all.
            graphs: by modality, of ``of_modality``: an approximate search, faster for millions, that may miss some.
        """
        if graphs is not None:
            found = [
                hit for name in graphs if modality in (None, name) for hit in self._near(name, graphs, query, count)
            ]
            order = sorted(found)[:count]
            return [Match(self.items[place], -score) for score, place in order]
        chosen = np.array([place for place, item in enumerate(self.items) if modality in (None, item.modality)], int)
        if not len(chosen):
            return []
        places, scores = exact_nearest(self.vectors[chosen], query, min(count, len(chosen)))
        order = sorted(zip((-scores).tolist(), chosen[places].tolist(), strict=True))
        return [Match(self.items[place], -score) for score, place in order]

    def of_modality(self, modality: str) -> np.ndarray:
        """(n,) the places of its items."""
        return np.array([place for place, item in enumerate(self.items) if item.modality == modality], int)

    def _near(self, name: str, graphs: Mapping[str, Graph], query: np.ndarray, count: int) -> list[tuple[float, int]]:
        """Scores, turned round, and places of what one graph finds."""
        chosen = self.of_modality(name)
        places, scores = graphs[name].nearest(query, min(count, len(chosen)))
        return list(zip((-scores).tolist(), chosen[places].tolist(), strict=True))


def exact_nearest(vectors: np.ndarray, query: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and cosines of the nearest vectors, by faiss, or by NumPy where it is not installed."""
    if not has_faiss():
        scores = vectors @ query
        places = np.argsort(-scores, kind="stable")[:count]
        return places, scores[places]
    import faiss

    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(np.ascontiguousarray(vectors))
    scores, places = flat.search(np.ascontiguousarray(query[None]), count)
    return places[0], scores[0]


def open_index(
    folder: Path,
    embedder: Embedder,
    place: Path,
    items: Sequence[Item],
    rebuild: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> VectorIndex:
    """The index of the items: what the folder holds of them, and the rest encoded now and kept there.

    Args:
        folder: of the index; it is made, or replaced as a whole.
        embedder: makes vectors.
        place: the folder or the table that the items lie in.
        items: what there is now.
        rebuild: whatever the folder holds.
        say: is told in a line what was encoded.

    Raises:
        InputError: the folder holds something else, or is damaged.
        DataError: no item can be read.
    """
    model = embedder.fingerprint()
    known, refused = ({}, {}) if rebuild else read_index(folder, model)
    new = [item for item in items if item not in known and item not in refused]
    gone = len((known.keys() | refused.keys()) - set(items))
    vectors, unreadable = encode_items(embedder, place, new)
    known, refused = {**known, **vectors}, {**refused, **unreadable}
    kept = [item for item in items if item in known]
    if not kept:
        raise DataError(f"Nothing in {place} can be read. {next(iter(refused.values()), '')}")
    left = {item: refused[item] for item in items if item in refused}
    index = VectorIndex(kept, np.stack([known[item] for item in kept]), left)
    if new or gone:
        write_index(folder, index, model, place)
    say(f"{len(vectors)} encoded, {len(kept) - len(vectors)} known, {gone} gone, {len(left)} unreadable")
    return index


def encode_items(
    embedder: Embedder, place: Path, items: Sequence[Item]
) -> tuple[dict[Item, np.ndarray], dict[Item, str]]:
    """The vectors of items, and of those that cannot be read the reason."""
    vectors: dict[Item, np.ndarray] = {}
    unreadable: dict[Item, str] = {}
    for modality in embedder.modalities:
        own = [item for item in items if item.modality == modality]
        for start in range(0, len(own), embedder.batch_size):
            some = own[start : start + embedder.batch_size]
            try:
                values = [item_value(item, place, embedder.encoders) for item in some]
                vectors |= dict(zip(some, embedder.vectors(modality, values), strict=True))
            except (DataError, InputError):  # one of them is at fault: which?
                for item in some:
                    try:
                        value = item_value(item, place, embedder.encoders)
                        vectors[item] = embedder.vectors(modality, [value])[0]
                    except (DataError, InputError) as error:
                        unreadable[item] = str(error)
    return vectors, unreadable


def write_index(folder: Path, index: VectorIndex, model: str, place: Path) -> None:
    """Writes the folder, whole or not at all."""
    with whole_folder(folder) as new:
        np.save(new / VECTORS, index.vectors)
        facts = {
            "version": VERSION,
            "model": model,
            "place": str(place.absolute()),
            "vectors": xxhash.xxh3_128_hexdigest((new / VECTORS).read_bytes()),
            "items": [asdict(item) for item in index.items],
            "unreadable": [[asdict(item), reason] for item, reason in index.unreadable.items()],
        }
        (new / FACTS).write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")


def read_index(folder: Path, model: str) -> tuple[dict[Item, np.ndarray], dict[Item, str]]:
    """Vectors by item, and why others have none; empty where there is no index, or one of another model or version.

    Raises:
        InputError: the folder holds something else, or is damaged.
    """
    if not folder.exists():
        return {}, {}
    remedy = "Give --rebuild to build it anew, or --index with another folder."
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / FACTS).is_file()):
        raise InputError(
            f"{folder} is no index of mmbert-search, and is left as it is. Give --index with another folder."
        )
    if not (folder / FACTS).is_file():
        return {}, {}
    try:
        facts: Any = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        if facts["version"] != VERSION or facts["model"] != model:
            return {}, {}
        items = [Item(**item) for item in facts["items"]]
        unreadable = {Item(**item): str(reason) for item, reason in facts["unreadable"]}
        content = (folder / VECTORS).read_bytes()
        if xxhash.xxh3_128_hexdigest(content) != facts["vectors"]:
            raise ValueError("its vectors have changed since they were written")
        vectors = np.load(folder / VECTORS, allow_pickle=False)
        if len(vectors) != len(items):
            raise ValueError(f"it has {len(vectors)} vectors of {len(items)} items")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"The index {folder} is damaged ({error}). {remedy}") from error
    return dict(zip(items, vectors, strict=True)), unreadable
