"""Words of tokens: by pieces, by jieba, and by a segmentation that is written down."""

import builtins

import numpy as np
import pytest

from mmbert.core.errors import ConfigError, DataError
from mmbert.tasks.masking.vocabulary import Vocabulary
from mmbert.tasks.masking.words import words_of_lengths, words_of_pieces, words_of_segmenter

PIECES = ["[CLS]", "[SEP]", "play", "##ing", "the", ".", *"使用语言模型来预测"]
SPECIAL = np.array([True, True, *[False] * (len(PIECES) - 2)])
VOCABULARY = Vocabulary(PIECES, np.array([not piece.startswith("##") for piece in PIECES]), SPECIAL, 1)


def tokens(*pieces):
    ids = np.array([PIECES.index(piece) for piece in pieces])
    return ids, ~SPECIAL[ids]


def test_pieces_of_a_word_have_its_number_and_special_tokens_none():
    ids, known = tokens("[CLS]", "the", "play", "##ing", ".", "[SEP]", "##ing")
    assert words_of_pieces(ids, known, VOCABULARY).tolist() == [-1, 0, 1, 1, 2, -1, 3]  # after a gap a new one begins


def test_chinese_characters_are_words_unless_a_segmenter_joins_them():
    ids, known = tokens("[CLS]", *"使用语言模型", "play", "##ing", *"来预测", "[SEP]")
    assert words_of_pieces(ids, known, VOCABULARY).tolist() == [-1, *range(6), 6, 6, 7, 8, 9, -1]
    # jieba: 使用 语言 模型 / playing / 来 预测
    assert words_of_segmenter(ids, known, VOCABULARY).tolist() == [-1, 0, 0, 2, 2, 4, 4, 6, 6, 7, 8, 8, -1]


def test_without_jieba_the_message_says_what_else_there_is(monkeypatch):
    real = builtins.__import__

    def gone(name, *args, **kwargs):
        if name == "jieba":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", gone)
    with pytest.raises(ConfigError, match=r"pip install 'mmbert\[chinese\]'.*segmentation=COLUMN"):
        words_of_segmenter(*tokens(*"使用"), VOCABULARY)


def test_a_written_segmentation_is_laid_over_the_tokens():
    # [CLS] 使 用 语言 [UNK of three characters] [SEP] against 使用 语言模 型来: a token belongs to where it begins
    known = np.array([False, True, True, True, True, False])
    assert words_of_lengths([0, 1, 1, 2, 3, 0], known, "使用 语言模  型来").tolist() == [-1, 0, 0, 1, 1, -1]


def test_a_segmentation_of_another_text_is_refused():
    with pytest.raises(DataError, match=r"the segmentation has 2 characters, white space left out, and the text 3"):
        words_of_lengths([1, 1, 1], np.array([True] * 3), "使 用")
