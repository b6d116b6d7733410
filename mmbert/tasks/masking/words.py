"""Which word each token of a text belongs to, so that whole words are hidden.

Words are made of pieces as the tokenizer marks them (Devlin et al. 2019, its later release with whole-word masking): in
most languages what white space and punctuation separate. BERT's tokenizers give every Chinese character a piece of its
own, so that a word is a character unless a segmentation says more: a column with the words, or the segmenter jieba
(Cui et al. 2021, "Pre-Training with Whole Word Masking for Chinese BERT", arXiv:1906.08101, who use LTP).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmbert.core.errors import ConfigError, DataError
from mmbert.tasks.masking.vocabulary import CONTINUES, Vocabulary


def words_of_pieces(ids: np.ndarray, known: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """The word of each token, as the tokenizer marks its pieces.

    Args:
        ids: (L,) int64.
        known: (L,) bool, True at real tokens that are not special.
        vocabulary: of the tokenizer.

    Returns:
        (L,) int64, words counted from 0 in order; -1 where ``known`` is False.
    """
    after_special = known & ~np.concatenate([[False], known[:-1]])
    begins = known & (vocabulary.begins[ids] | after_special)
    return np.where(known, begins.cumsum() - 1, -1)


def words_of_segmenter(ids: np.ndarray, known: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """As ``words_of_pieces``, with runs of Chinese characters joined to the words that jieba finds in them.

    Raises:
        ConfigError: jieba is not installed.
    """
    words = words_of_pieces(ids, known, vocabulary)
    pieces = [vocabulary.pieces[number].removeprefix(CONTINUES) for number in ids]
    place = 0
    while place < len(ids):
        end = place
        while end < len(ids) and known[end] and is_chinese(pieces[end]):
            end += 1
        if end - place > 1:
            first = place
            for word in segmenter().cut("".join(pieces[place:end]), HMM=True):
                words[first : first + len(word)] = words[first]
                first += len(word)
        place = end + 1
    return words


def words_of_lengths(widths: Sequence[int], known: np.ndarray, text: str) -> np.ndarray:
    """The word of each token by a segmentation that somebody has written down.

    Args:
        widths: (L,) how many characters of the raw text each token stands for.
        known: (L,) bool, True at tokens that are not special.
        text: the same text with white space between its words.

    Returns:
        (L,) int64, -1 where ``known`` is False; a token that spans two words belongs to the first.

    Raises:
        DataError: the segmentation has fewer characters than the tokens stand for.
    """
    word_of = np.repeat(np.arange(len(text.split())), [len(word) for word in text.split()])
    ends = np.where(known, widths, 0).cumsum()
    if len(ends) and ends[-1] > len(word_of):
        raise DataError(
            f"the segmentation has {len(word_of)} characters, white space left out, and the text {ends[-1]} or more: "
            "it must be the same text with white space between its words"
        )
    begins = np.minimum(ends - np.where(known, widths, 0), max(len(word_of) - 1, 0))
    return np.where(known, word_of[begins] if len(word_of) else 0, -1)


def is_chinese(piece: str) -> bool:
    """Whether a piece is one character that BERT's tokenizers set apart as Chinese (the common blocks)."""
    return len(piece) == 1 and any(
        low <= ord(piece) <= high for low, high in ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))
    )


def segmenter() -> Any:
    """jieba, with its remarks on loading switched off.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import jieba
    except ImportError as error:
        raise ConfigError(
            "segmenter=jieba needs jieba: pip install 'mmbert[chinese]'. Without it, name a column whose texts have "
            "white space between words (segmentation=COLUMN), or let every character be a word (segmenter=null)."
        ) from error
    jieba.setLogLevel(logging.WARNING)
    return jieba
