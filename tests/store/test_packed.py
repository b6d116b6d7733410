"""What is kept of preprocessing gives the same batch as preprocessing anew."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmbert.data.modalities.processor import Storable
from mmbert.data.modalities.registry import modality_of
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.processors.image import ImageProcessor
from mmbert.encoders.text import TextEncoder
from mmbert.store.packed import PackingProcessor

SPEECH = MelspecCNN(24, (4, 8), (2, 2), 16)


def round_trip(processor, raw):
    """Through bytes, as on disk: flat, read-only."""
    assert isinstance(processor, Storable)
    long, fixed = processor.pack(raw)
    kinds = np.dtype(processor.packed[0]), np.dtype(processor.packed[1])
    assert (np.asarray(long).dtype, np.asarray(fixed).dtype) == kinds
    assert fixed.size == processor.packed[2]
    return processor.unpack(
        *(np.frombuffer(np.asarray(a).tobytes(), k) for a, k in zip((long, fixed), kinds, strict=True))
    )


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@settings(max_examples=15, deadline=None)
@given(width=st.integers(1, 60), height=st.integers(1, 60), seed=st.integers(0, 9))
def test_pictures(fit, width, height, seed):
    processor = ImageProcessor((24, 32), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), fit=fit)
    raw = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))
    kept, fresh = round_trip(processor, raw), processor.prepare(raw)
    expected = processor.collate([fresh, None, fresh])
    for parts in ([kept, None, kept], [kept, None, fresh]):  # all from the store, and some of them
        batch = processor.collate(parts)
        assert torch.equal(batch["pixels"], expected["pixels"])
        assert torch.equal(batch["mask"], expected["mask"])
    assert not expected["pixels"][1].any()


@pytest.fixture(scope="module")
def words():
    return TextEncoder("tiny").processor


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(min_size=1).filter(str.strip)), min_size=1, max_size=5))
def test_texts(words, texts):
    fresh = words.collate([None if text is None else words.prepare(text) for text in texts])
    kept = words.collate([None if text is None else round_trip(words, text) for text in texts])
    mixed = words.collate([t if t is None or i % 2 else round_trip(words, t) for i, t in enumerate(texts)])
    assert fresh.keys() == kept.keys() == mixed.keys()
    for name, tensor in fresh.items():
        assert torch.equal(tensor, kept[name])
        assert torch.equal(tensor, mixed[name])
        assert tensor.dtype == kept[name].dtype == mixed[name].dtype


@settings(max_examples=15, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(1, 20_000)), min_size=1, max_size=4), st.integers(0, 9))
def test_log_mel_frames(lengths, seed):
    random, processor = np.random.default_rng(seed), SPEECH.processor
    raws = [None if n is None else (random.standard_normal(n).astype(np.float32), 16_000) for n in lengths]
    fresh = processor.collate([None if raw is None else processor.prepare(raw) for raw in raws])
    with torch.no_grad():
        expected = SPEECH.eval()(fresh)
        for every in (1, 2):  # all from the store, and some of them
            parts = [
                raw if raw is None else round_trip(processor, raw) if i % every == 0 else processor.prepare(raw)
                for i, raw in enumerate(raws)
            ]
            given_ = SPEECH(processor.collate(parts))
            assert torch.equal(given_.mask, expected.mask)
            torch.testing.assert_close(given_.tokens, expected.tokens, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(given_.pooled, expected.pooled, rtol=1e-4, atol=1e-5)


def test_a_packing_processor_prepares_what_is_written_to_disk():
    packing = PackingProcessor(ImageProcessor((2, 3), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), fit="stretch"))
    long, _ = packing.prepare(Image.new("RGB", (6, 4), (255, 0, 7)))
    assert long.dtype == np.uint8 and sorted(np.unique(long, return_counts=True)[1]) == [6, 6, 6]
    assert set(long.reshape(-1)) == {255, 0, 7}
    assert packing.modality is modality_of(packing.processor) and not hasattr(packing, "max_seconds")
