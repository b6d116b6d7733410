"""Texts as a decoder's tokens, and tokens as texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmbert.core.errors import DataError
from mmbert.tasks.text_generation.decoder import special_ids
from mmbert.tasks.text_generation.vocabulary import UNSPACED_LETTERS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: White space that BERT's tokenizers put beside characters of Chinese and Japanese.
LOOSE = re.compile(rf"(?<=[{UNSPACED_LETTERS}])\s+|\s+(?=[{UNSPACED_LETTERS}])")


class TextTokens:
    """Writes and reads what one decoder gives.

    Args:
        tokenizer: of the decoder.
        learnt: whether its vocabulary was learnt from the references, and so keeps their spelling.
        max_length: tokens of the longest text, the one that ends it included.

    Raises:
        ConfigError: the tokenizer has no token that begins or ends a text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, learnt: bool, max_length: int) -> None:
        self.tokenizer, self.learnt, self.max_length = tokenizer, learnt, max_length
        self.special = special_ids(tokenizer)

    def ids(self, text: str) -> Tensor:
        """A text -> (T,) int64, from the token that begins it to the one that ends it; if it is cut, without that.

        Raises:
            DataError: nothing of it is in the vocabulary.
        """
        inner = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        if not inner or not self.learnt and set(inner) == {self.tokenizer.unk_token_id}:
            raise DataError(
                f"nothing of the reference '{text:.60}' is in the decoder's vocabulary: choose a decoder of its "
                "language, or learn a vocabulary (vocab_size=2000)"
            )
        return torch.tensor([self.special.begin, *inner, self.special.end][: 1 + self.max_length])

    def texts(self, ids: Tensor) -> list[str]:
        """(B, T) token ids -> B texts."""
        return [self.text(row) for row in ids.tolist()]

    def text(self, ids: list[int]) -> str:
        """Token ids -> a text."""
        text = str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=not self.learnt))
        return (text if self.learnt else LOOSE.sub("", text)).strip()

    @property
    def has_capitals(self) -> bool:
        """Whether the vocabulary tells A from a."""
        first, second = (self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("A", "a"))
        return bool(first != second)
