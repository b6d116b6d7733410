"""How long inputs are before an encoder cuts them: tokens, seconds, vectors."""

import numpy as np
import pytest
import soundfile
import torch

from mmbert.data.modalities.processor import Cutting
from mmbert.encoders.conformer import ConformerEncoder
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.processors import lengths
from mmbert.encoders.processors.lengths import seconds_limit, token_counts, tokens_limit, vectors, vectors_limit
from mmbert.encoders.text import TextEncoder


@pytest.fixture(scope="module")
def text():
    torch.manual_seed(0)
    return TextEncoder("tiny", max_tokens=16)


def test_tokens_are_those_of_the_tokenizer(text):
    texts = ["", "abc", "a longer text", "ü 🙂", "x" * 40]
    sizes = [len(each.encode().replace(b" ", b"")) + each.count(" ") + 2 for each in texts]  # a token a byte, two ends
    assert token_counts(texts, text.processor.tokenizer) == sizes
    cells = [*texts, 7, b"abc", {"bytes": b"abc"}, b"\xff"]
    assert text.processor.length_limit.measure(cells, None) == [*sizes, 3, 5, 2, 2]
    assert tokens_limit(text.processor.tokenizer, 16, 128).ceiling == 128 == text.processor.length_limit.ceiling
    assert token_counts([], text.processor.tokenizer) == []


def test_very_long_texts_are_estimated_from_their_beginning(text, monkeypatch):
    monkeypatch.setattr(lengths, "MOST_CHARACTERS", 100)
    assert token_counts(["ab" * 500], text.processor.tokenizer) == [1020]  # (100 + 2) · 1000 / 100


def test_seconds_are_those_of_the_header(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(12_345), 8_000)
    assert seconds_limit(1.0).measure(["a.wav", "gone.wav"], tmp_path) == [1.543, 0.0]


def test_vectors_are_those_of_files_and_lists(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 2)))
    np.savez(tmp_path / "a.npz", x=np.zeros((6, 2)), y=np.zeros(2))
    cells = ["a.npy", "gone.npy", [[1.0], [2.0], [3.0]], [1.0, 2.0]]
    assert vectors_limit(4, None).measure(cells, tmp_path) == [5, 0, 3, 1]
    assert [vectors("a.npz", tmp_path, key) for key in ("x", "y", "z")] == [6, 1, 0]


def test_encoders_say_where_they_cut_without_being_built(text):
    for encoder, options in (
        (text, {"name": "tiny", "max_tokens": 16}),
        (MelspecCNN(max_seconds=3.0), {"max_seconds": 3.0}),
        (ConformerEncoder(8, 1, 2, 8, 3), {}),
        (FeatureEncoder(2, max_tokens=7), {"max_tokens": 7}),
    ):
        assert isinstance(encoder.processor, Cutting)
        own, unbuilt = encoder.processor.length_limit, type(encoder).length_limit(options)
        named = ("option", "most", "quantity", "ceiling")
        assert [getattr(own, name) for name in named] == [getattr(unbuilt, name) for name in named]
    assert ImageEncoder.length_limit({"name": "tiny"}) is None
