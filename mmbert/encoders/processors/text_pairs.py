"""How a pair of texts becomes tokens: ``[CLS] before [SEP] text [SEP]``, the first cut to a few tokens if it is long.

As BERT's authors did for SQuAD (Devlin et al. 2019, arXiv:1810.04805, ``run_squad.py``: ``max_query_length`` of 64).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmbert.core.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: Tokens of the first text, where no option says otherwise.
MAX_BEFORE = 64


def cut_before(before: str, tokenizer: PreTrainedTokenizerBase, most: int) -> str:
    """The longest beginning of a text that has at most so many tokens."""
    if len(before.encode("utf-8", "surrogatepass")) <= most or count_tokens(before, tokenizer) <= most:
        return before
    low, high = 0, len(before)  # the beginning of ``low`` characters fits, that of ``high`` does not
    while high - low > 1:
        middle = (low + high) // 2
        fits = count_tokens(before[:middle], tokenizer) <= most
        low, high = (middle, high) if fits else (low, middle)
    return before[:low]


def count_tokens(text: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens of a text, special ones left out."""
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def check_room(tokenizer: PreTrainedTokenizerBase, size: int, option: str, max_before: int, overlap: int) -> None:
    """Refuses a sequence in which a first text of the full length would leave no room for the second.

    Args:
        tokenizer: of transformers.
        size: tokens of the sequence.
        option: what the size is called: ``max_tokens``, ``window``.
        max_before: tokens of the first text.
        overlap: tokens of the second that a window shares with the next.

    Raises:
        ConfigError: says what would fit.
    """
    special = tokenizer.num_special_tokens_to_add(pair=True)
    if size - special - max_before - overlap < 1:
        shared = f" and overlap={overlap}" if overlap else ""
        least = special + max_before + overlap + 1
        raise ConfigError(
            f"{option}={size} leaves no room for the second of two texts, beside {special} special tokens, "
            f"max_before={max_before}{shared}: choose {option} of at least {least}, or lower the others."
        )


def tokens_before(encoding: Any, trailing: int) -> int:
    """How many tokens of an encoded pair, special ones included, stand before the second text.

    Args:
        encoding: what a fast tokenizer gave.
        trailing: special tokens at the end.
    """
    parts = encoding.sequence_ids(0)
    return parts.index(1) if 1 in parts else len(parts) - trailing


def is_second(encoding: Any) -> np.ndarray:
    """(L,) bool: the tokens of the second text of an encoded pair."""
    return np.array([part == 1 for part in encoding.sequence_ids(0)], bool)
