"""Approximate search by a graph of each modality's vectors, built once and kept beside them.

Paper: Malkov and Yashunin 2018, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable
Small World graphs", arXiv:1603.09320, as faiss has it. When a graph is built, its recall is measured against exact
search and kept with it.

graph_MODALITY.faiss    the graph, as faiss writes it
graph_MODALITY.json     the fingerprints of the vectors that it was built of and of its file, and the measured recall
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from mmbert.core.errors import ConfigError, InputError
from mmbert.core.whole_files import write_whole_bytes, write_whole_text

#: Neighbours of each vector in the graph, candidates while it is built, and candidates that a query looks at.
NEIGHBOURS, BUILD_CANDIDATES, CANDIDATES = 32, 100, 128
#: What recall is measured on: so many of the vectors as queries, and so many matches of each.
RECALL_QUERIES, RECALL_DEPTH = 200, 10
#: Scores nearer than this are as good as each other.
SAME_SCORE = 1e-5


@dataclass(frozen=True)
class Graph:
    """A graph of vectors.

    Attributes:
        index: of faiss.
        recall: the share of the exact ``RECALL_DEPTH`` nearest that it finds, as measured when it was built.
        queries: on how many queries.
    """

    index: Any
    recall: float
    queries: int

    def nearest(self, query: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Places and cosines of about the nearest vectors, best first."""
        self.index.hnsw.efSearch = max(CANDIDATES, count)
        scores, places = self.index.search(np.ascontiguousarray(query[None]), count)
        found = places[0] >= 0
        return places[0][found], scores[0][found]


def has_faiss() -> bool:
    """Whether faiss is installed."""
    return find_spec("faiss") is not None


def kept_graph(
    folder: Path,
    modality: str,
    vectors: np.ndarray,
    queries: np.ndarray,
    rebuild: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Graph:
    """The graph of these very vectors: the one that the folder holds, or else one that is built now and kept there.

    Args:
        folder: of the index.
        modality: of the vectors; its graph is kept under this name.
        vectors: (N, E) float32 of length 1, at least one.
        queries: (Q, E) of length 1, what recall is measured with.
        rebuild: whatever the folder holds.
        say: is told in a line what was built, and the recall.

    Raises:
        ConfigError: faiss is not installed.
        InputError: the graph that is kept is damaged.
    """
    if not has_faiss():
        raise ConfigError("--approximate needs faiss: pip install 'mmbert[search]'. Without it the search is exact.")
    digest = xxhash.xxh3_128_hexdigest(np.ascontiguousarray(vectors).tobytes() + repr(vectors.shape).encode())
    file, facts_file = folder / f"graph_{modality}.faiss", folder / f"graph_{modality}.json"
    there = None if rebuild or not facts_file.is_file() else read_graph(file, facts_file, digest, len(vectors))
    if there is not None:
        say(f"graph of {len(vectors)} {modality}, recall@{RECALL_DEPTH} {there.recall:.3f} of exact search")
        return there
    stale = facts_file.is_file() and not rebuild
    made = build_graph(vectors, queries)
    write_graph(made, digest, file, facts_file)
    say(
        f"graph of {len(vectors)} {modality} built{' anew, for its items have changed' if stale else ''}: "
        f"recall@{RECALL_DEPTH} {made.recall:.3f} of exact search, on {made.queries} queries"
    )
    return made


def build_graph(vectors: np.ndarray, queries: np.ndarray) -> Graph:
    """A graph of vectors (N, E), and its recall on queries (Q, E)."""
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BUILD_CANDIDATES
    index.add(np.ascontiguousarray(vectors))
    chosen = queries[np.random.default_rng(0).permutation(len(queries))[:RECALL_QUERIES]]
    return Graph(index, measured_recall(Graph(index, 0.0, 0), vectors, chosen), len(chosen))


def measured_recall(graph: Graph, vectors: np.ndarray, queries: np.ndarray) -> float:
    """The share of the exact nearest that a graph finds; a vector as near as the last of them is as good."""
    depth = min(RECALL_DEPTH, len(vectors))
    found = 0
    for query in queries:
        worst = np.partition(vectors @ query, -depth)[-depth]
        places, _ = graph.nearest(query, depth)
        found += int((vectors[places] @ query >= worst - SAME_SCORE).sum())
    return found / (depth * len(queries))


def write_graph(graph: Graph, digest: str, file: Path, facts_file: Path) -> None:
    """Writes a graph, and then what says that it is whole."""
    import faiss

    facts_file.unlink(missing_ok=True)
    content = faiss.serialize_index(graph.index).tobytes()
    write_whole_bytes(file, content)
    facts = {"vectors": digest, "file": xxhash.xxh3_128_hexdigest(content)}
    write_whole_text(facts_file, json.dumps({**facts, "recall": graph.recall, "queries": graph.queries}))


def read_graph(file: Path, facts_file: Path, digest: str, count: int) -> Graph | None:
    """A graph that was kept; None where it is of other vectors.

    Raises:
        InputError: it is damaged.
    """
    import faiss

    try:
        facts: Any = json.loads(facts_file.read_text(encoding="utf-8"))
        if facts["vectors"] != digest:
            return None
        content = file.read_bytes()
        if xxhash.xxh3_128_hexdigest(content) != facts["file"]:
            raise ValueError("it has changed since it was written")
        index = faiss.deserialize_index(np.frombuffer(content, np.uint8))
        if index.ntotal != count:
            raise ValueError(f"it has {index.ntotal} of {count} vectors")
        return Graph(index, float(facts["recall"]), int(facts["queries"]))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"The graph {file} is damaged ({error}). Give --rebuild to build it anew.") from error
