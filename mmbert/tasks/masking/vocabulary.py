"""What a masked language model must know of a tokenizer: its mask token, its special tokens, where words begin."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmbert.core.errors import ConfigError

#: What marks the pieces of the usual tokenizers: one that goes on with a word, or one that begins a word.
CONTINUES, BEGINS = "##", ("Ġ", "▁", "Ċ")


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer's pieces, as arrays that workers carry.

    Attributes:
        pieces: V strings by id; empty where an id has none.
        begins: (V,) bool, whether a piece begins a word.
        special: (V,) bool: [CLS], [SEP], [PAD], [MASK], [UNK] and the like, which are never hidden nor put in.
        mask_id: of [MASK].
    """

    pieces: list[str]
    begins: np.ndarray
    special: np.ndarray
    mask_id: int

    @property
    def size(self) -> int:
        """V."""
        return len(self.pieces)


def vocabulary_of(tokenizer: Any, size: int) -> Vocabulary:
    """The vocabulary of a tokenizer of transformers.

    Args:
        tokenizer: with or without a fast backend.
        size: V, rows of the network's word embeddings; ids without a piece are never put in.

    Raises:
        ConfigError: there is no mask token.
    """
    if tokenizer.mask_token_id is None:
        raise ConfigError(
            f"{type(tokenizer).__name__} has no mask token, so there is no masked language model of it: choose an "
            "encoder of the BERT family."
        )
    pieces = [""] * max(size, max(tokenizer.get_vocab().values()) + 1)
    for piece, number in tokenizer.get_vocab().items():
        pieces[number] = piece
    special = np.array([not piece for piece in pieces])
    special[list(tokenizer.all_special_ids)] = True
    if has_continuations(tokenizer):
        begins = [not piece.startswith(CONTINUES) for piece in pieces]
    else:
        begins = [piece.startswith(BEGINS) for piece in pieces]
    return Vocabulary(pieces, np.array(begins) | special, special, int(tokenizer.mask_token_id))


def has_continuations(tokenizer: Any) -> bool:
    """Whether pieces that go on with a word are marked (WordPiece), rather than those that begin one."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return any(piece.startswith(CONTINUES) for piece in tokenizer.get_vocab())
    return bool(json.loads(backend.to_str())["model"].get("type") == "WordPiece")
