"""An index finds what brute force finds, encodes nothing twice, sees what has changed, and says when it is damaged."""

import importlib.util
import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.errors import DataError, InputError
from mmbert.search import index as module
from mmbert.search.embedder import Embedder
from mmbert.search.index import VectorIndex, open_index
from mmbert.search.items import Item, items_in
from retrieval_model import fill_folder, retrieval_model

COVERS = ("embedder",)
FAISS = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is not installed")


@pytest.fixture(scope="module")
def embedder():
    return Embedder(retrieval_model())


@pytest.fixture
def photos(tmp_path):
    fill_folder(tmp_path / "photos")
    return tmp_path / "photos"


def opened(embedder, photos, folder, said=None, **options):
    items = items_in(photos, embedder.encoders, {})
    return open_index(folder, embedder, photos, items, say=(said if said is not None else []).append, **options)


def unit(size, width, seed):
    vectors = np.random.default_rng(seed).normal(size=(size, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@FAISS
@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 99))
def test_matches_are_those_of_brute_force_with_and_without_faiss(size, count, seed):
    vectors = unit(size, 5, seed)
    items = [Item("image" if i % 3 else "text", f"{i}.png", "") for i in range(size)]
    index, query = VectorIndex(items, vectors, {}), unit(1, 5, seed + 1000)[0]
    for only in (None, "image"):
        chosen = [i for i, item in enumerate(items) if only in (None, item.modality)]
        scores = vectors[chosen].astype(np.float64) @ query.astype(np.float64)
        expected = [items[chosen[i]].name for i in np.argsort(-scores, kind="stable")[:count]]
        found = index.nearest(query, count, only)
        assert [match.item.name for match in found] == expected
        np.testing.assert_allclose([m.score for m in found], np.sort(scores)[::-1][:count], atol=1e-6)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "has_faiss", lambda: False)
            assert [match.item.name for match in index.nearest(query, count, only)] == expected


def test_what_is_unchanged_is_encoded_once_and_what_has_changed_anew(embedder, photos, tmp_path):
    said = []
    folder = tmp_path / "index"
    first = opened(embedder, photos, folder, said)
    opened(embedder, photos, folder, said)
    os.utime(photos / "picture0.png", ns=(1, 1))
    (photos / "picture2.png").unlink()
    (photos / "broken.png").write_bytes(b"no picture")
    third = opened(embedder, photos, folder, said)
    opened(embedder, photos, folder, said)
    assert said == [
        "7 encoded, 0 known, 0 gone, 0 unreadable",
        "0 encoded, 7 known, 0 gone, 0 unreadable",
        "1 encoded, 5 known, 2 gone, 1 unreadable",
        "0 encoded, 6 known, 0 gone, 1 unreadable",
    ]
    assert "broken.png" in next(iter(third.unreadable.values()))
    by_name = dict(zip([item.name for item in first.items], first.vectors, strict=True))
    for item, vector in zip(third.items, third.vectors, strict=True):
        np.testing.assert_allclose(vector, by_name[item.name], atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(vector), 1, atol=1e-5)


def test_another_model_has_other_vectors(embedder, photos, tmp_path):
    said, other = [], Embedder(retrieval_model(seed=1))
    first = opened(embedder, photos, tmp_path / "index")
    second = opened(other, photos, tmp_path / "index", said)
    assert said == ["7 encoded, 0 known, 0 gone, 0 unreadable"]
    assert not np.allclose(first.vectors, second.vectors)


@pytest.mark.parametrize("harm", ["flip", "short", "json", "items", "lost"])
def test_a_damaged_index_is_said_and_built_anew_on_request(embedder, photos, tmp_path, harm):
    folder = tmp_path / "index"
    whole = opened(embedder, photos, folder)
    vectors, facts = folder / "vectors.npy", folder / "index.json"
    content, told = vectors.read_bytes(), json.loads(facts.read_text())
    if harm == "flip":
        vectors.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    elif harm == "short":
        vectors.write_bytes(content[:-8])
    elif harm == "lost":
        vectors.unlink()
    else:
        facts.write_text(json.dumps({**told, "items": told["items"][1:]}) if harm == "items" else "{")
    with pytest.raises(InputError, match=r"index .*index is damaged .*--rebuild"):
        opened(embedder, photos, folder)
    np.testing.assert_allclose(opened(embedder, photos, folder, rebuild=True).vectors, whole.vectors, atol=1e-6)


def test_somebody_elses_folder_is_left_as_it_is(embedder, photos, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="is no index of mmbert-search"):
        opened(embedder, photos, tmp_path / "thesis")


def test_nothing_readable_is_an_error(embedder, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match="Nothing in .*bad can be read"):
        opened(embedder, tmp_path / "bad", tmp_path / "index")
