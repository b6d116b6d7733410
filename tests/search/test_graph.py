"""A graph finds nearly what exact search finds, says how nearly, is kept, and is never used for other vectors."""

import importlib.util
import json

import numpy as np
import pytest

from mmbert.core.errors import ConfigError, InputError
from mmbert.search import graph as module
from mmbert.search.graph import Graph, build_graph, kept_graph, measured_recall
from mmbert.search.index import VectorIndex
from mmbert.search.items import Item

needs_faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is not installed")


def unit(size, width, seed):
    vectors = np.random.default_rng(seed).normal(size=(size, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@needs_faiss
def test_a_graph_finds_nearly_all_of_the_nearest_and_scores_are_cosines():
    vectors, queries = unit(2000, 8, 0), unit(30, 8, 1)
    items = [Item("image" if i % 2 else "text", str(i), "") for i in range(2000)]
    index = VectorIndex(items, vectors, {})
    graphs = {name: build_graph(vectors[index.of_modality(name)], vectors) for name in ("text", "image")}
    hits = 0
    for query in queries:
        for only in (None, "text"):
            near = index.nearest(query, 10, only, graphs)
            exact = index.nearest(query, 10, only)
            hits += len({m.item.name for m in near} & {m.item.name for m in exact})
            cosines = [float(vectors[int(m.item.name)] @ query) for m in near]
            np.testing.assert_allclose([m.score for m in near], cosines, atol=1e-6)
            assert cosines == sorted(cosines, reverse=True) and len(near) == 10
            assert only is None or {m.item.modality for m in near} == {only}
    assert hits >= 0.98 * 600
    assert all(graph.recall >= 0.98 and graph.queries == 200 for graph in graphs.values())


@needs_faiss
def test_the_recall_that_is_stated_is_that_of_brute_force():
    import faiss

    vectors, queries = unit(3000, 24, 3), unit(40, 24, 4)
    poor = faiss.IndexHNSWFlat(24, 2, faiss.METRIC_INNER_PRODUCT)  # two neighbours: many are missed
    poor.add(vectors)
    graph = Graph(poor, 0.0, 0)
    shares = []
    for query in queries:
        exact = set(np.argsort(-(vectors @ query), kind="stable")[:10].tolist())
        shares.append(len(exact & set(graph.nearest(query, 10)[0].tolist())) / 10)
    assert measured_recall(graph, vectors, queries) == pytest.approx(np.mean(shares))
    assert 0.05 < np.mean(shares) < 0.95
    copies = np.repeat(unit(3, 24, 5), 20, axis=0)  # every answer of 20 equal ones is right
    assert measured_recall(build_graph(copies, copies), copies, copies[::20]) == 1


@needs_faiss
def test_a_graph_is_kept_and_built_anew_where_its_vectors_have_changed(tmp_path, monkeypatch):
    vectors, said, built = unit(300, 6, 0), [], []
    plain = module.build_graph
    monkeypatch.setattr(module, "build_graph", lambda *given: built.append(len(given[0])) or plain(*given))

    def kept(of, **options):
        return kept_graph(tmp_path, "image", of, of, say=said.append, **options)

    first, second = kept(vectors), kept(vectors)
    assert built == [300] and "graph of 300 image built: recall@10" in said[0]
    assert said[1] == f"graph of 300 image, recall@10 {first.recall:.3f} of exact search"
    query = unit(1, 6, 9)[0]
    np.testing.assert_array_equal(first.nearest(query, 10)[0], second.nearest(query, 10)[0])
    for changed in (vectors[:-1], vectors[::-1], np.vstack([vectors[:-1], unit(1, 6, 7)])):
        found = kept(changed)
        assert "built anew, for its items have changed" in said[-1]
        expected = np.argsort(-(changed @ query), kind="stable")[:1]
        np.testing.assert_array_equal(found.nearest(query, 1)[0], expected)
    kept(changed, rebuild=True)
    assert built == [300, 299, 300, 300, 300]


@needs_faiss
@pytest.mark.parametrize("harm", ["flip", "short", "lost", "facts"])
def test_a_damaged_graph_is_said_and_built_anew_on_request(tmp_path, harm):
    vectors = unit(50, 4, 0)
    kept_graph(tmp_path, "text", vectors, vectors)
    file, facts = tmp_path / "graph_text.faiss", tmp_path / "graph_text.json"
    content = file.read_bytes()
    if harm == "lost":
        file.unlink()
    elif harm == "facts":
        facts.write_text(json.dumps({"vectors": json.loads(facts.read_text())["vectors"]}))
    else:
        file.write_bytes(content[:-9] if harm == "short" else content[:99] + bytes([content[99] ^ 1]) + content[100:])
    with pytest.raises(InputError, match=r"graph_text.faiss is damaged .*--rebuild"):
        kept_graph(tmp_path, "text", vectors, vectors)
    assert kept_graph(tmp_path, "text", vectors, vectors, rebuild=True).recall == 1


def test_without_faiss_an_approximate_search_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "has_faiss", lambda: False)
    with pytest.raises(ConfigError, match=r"pip install 'mmbert\[search\]'"):
        kept_graph(tmp_path, "text", unit(3, 3, 0), unit(3, 3, 0))
