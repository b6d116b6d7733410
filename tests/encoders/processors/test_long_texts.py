"""A long text is cut before it is tokenised, and the tokens that are kept are the same as without the cut."""

import functools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.encoders.pretrained.transformers import model_source, tiny_bert
from mmbert.encoders.processors import long_texts
from mmbert.encoders.processors.text import TextProcessor

COVERS = ("text",)

WORDS = [
    *("the", "of", "a", "picture", "shows", "two", "dogs,", "running;", "don't", "3.14", "(e.g.)", "mañana"),
    *("über", "den", "Fluß", "été", "naïve", "東京都は", "日本の首都です", "🙂"),
]
SPACES = [" ", "  ", "\n", " \t", "\u00a0", "\r\n\r\n", "\u3000"]


def sentences(seed, words):
    """Ordinary text: words of several languages, signs, and white space of all kinds."""
    rng = np.random.default_rng(seed)
    return "".join(rng.choice(WORDS) + rng.choice(SPACES, p=[0.88, *[0.02] * 6]) for _ in range(words))


def trained(model, trainer, before, **normal):
    """A tokenizer of another family, trained on the spot."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = before
    tokenizer.train_from_iterator([sentences(seed, 400) for seed in range(4)], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", **normal)


@functools.cache
def tokenizer(family):
    """WordPiece, bytes, byte-level BPE as RoBERTa's, and Unigram as XLM-R's."""
    from tokenizers import models, pre_tokenizers, trainers
    from transformers import AutoTokenizer

    special = ["<pad>", "<unk>"]
    if family == "wordpiece":
        return AutoTokenizer.from_pretrained(model_source("minilm"))
    if family == "bytes":
        return tiny_bert({})[1]
    if family == "bpe":
        trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)
        return trained(models.BPE(unk_token="<unk>"), trainer, pre_tokenizers.ByteLevel(add_prefix_space=False))
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False, max_piece_length=8
    )
    return trained(models.Unigram(), trainer, pre_tokenizers.Metaspace())


FAMILIES = ["wordpiece", "bytes", "bpe", "unigram"]


def kept(family, text, max_tokens):
    """The tokens with and without the cut, and what was left of the text."""
    processor = TextProcessor(tokenizer(family), max_tokens)
    start = processor.prepare(text)
    cut, whole = (processor.collate([part])["input_ids"].tolist() for part in (start, text))
    return cut, whole, start


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("max_tokens", [3, 64, 200])
def test_a_long_text_gives_the_tokens_of_the_whole(family, max_tokens):
    for seed in range(2):
        text = sentences(seed, 2_000)
        cut, whole, start = kept(family, text, max_tokens)
        assert len(start) < len(text) / 3 and text.startswith(start)
        assert len(cut[0]) == max_tokens
        assert cut == whole


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=8, deadline=None)
@given(parts=st.lists(st.text(max_size=40) | st.sampled_from(["x" * 2_000, " " * 2_000, "東" * 1_500]), max_size=12))
def test_any_text_gives_the_tokens_of_the_whole(family, parts):
    text = " ".join(parts) * 5
    cut, whole, _ = kept(family, text, 16)
    assert cut == whole


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "text", ["a" * 20_000, "x,y" * 5_000, "東京" * 8_000, " " * 9_000 + "end", "ab" * 3_000 + " end"]
)
def test_texts_without_white_space_or_without_anything_else(family, text):
    cut, whole, _ = kept(family, text, 32)
    assert cut == whole


def test_a_text_that_is_cut_from_the_left_is_left_alone():
    left = tiny_bert({})[1]
    left.truncation_side = "left"
    text = sentences(0, 2_000)
    assert long_texts.beginning(text, left, 8) == text


@pytest.mark.parametrize("text", ["two dogs, running; ", "x", " "], ids=["words", "one word", "white space"])
def test_ten_megabytes_take_no_time(text):
    text = text * (10_000_000 // len(text))
    began = time.perf_counter()
    processor = TextProcessor(tokenizer("wordpiece"), 128)
    ids = processor.collate([processor.prepare(text)])["input_ids"]
    assert time.perf_counter() - began < 3  # the whole takes five times as long, and gigabytes
    assert ids.shape[1] == (128 if "dogs" in text else 3 if "x" in text else 2)
