"""Which pieces begin a word, by the kind of tokenizer, and which are special."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from mmbert.core.errors import ConfigError
from mmbert.encoders.text import TextEncoder
from mmbert.tasks.masking.vocabulary import vocabulary_of


def wordpiece(words, **special):
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", **special)


def test_of_wordpiece_pieces_with_two_signs_go_on_with_a_word():
    vocabulary = vocabulary_of(wordpiece(["[PAD]", "[UNK]", "[MASK]", "dog", "##s", "狗"], mask_token="[MASK]"), 8)
    assert vocabulary.pieces == ["[PAD]", "[UNK]", "[MASK]", "dog", "##s", "狗", "", ""]
    assert vocabulary.special.tolist() == [True, True, True, False, False, False, True, True]  # ids without a piece
    assert vocabulary.begins.tolist() == [True, True, True, True, False, True, True, True]
    assert (vocabulary.mask_id, vocabulary.size) == (2, 8)


def test_of_byte_level_pieces_those_with_a_blank_begin_a_word():
    vocabulary = vocabulary_of(TextEncoder("tiny").processor.tokenizer, 261)
    named = np.array(vocabulary.pieces)[vocabulary.begins & ~vocabulary.special]
    assert named.tolist() == ["Ċ", "Ġ"]


def test_a_tokenizer_without_a_mask_token_is_refused():
    with pytest.raises(ConfigError, match="has no mask token"):
        vocabulary_of(wordpiece(["[PAD]", "[UNK]", "dog"]), 3)
