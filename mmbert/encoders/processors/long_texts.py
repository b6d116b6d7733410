"""Cuts very long texts before tokenisation, without changing the tokens that are kept.

A tokenizer with truncation still processes the whole text: ten megabytes take seconds, and gigabytes of memory. Here
the text itself is cut first, with a margin so that the first tokens are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: Characters tried first for each token wanted; a token of ordinary text has two to six.
CHARACTERS_PER_TOKEN = 16
#: Tokens beyond those wanted. A cut can change only the text's last word, and WordPiece makes at most 100
#: tokens of a word (longer ones are unknown as a whole), other tokenizers fewer of ordinary words.
MARGIN = 128
#: Never more than this many characters are tokenised: what has so few tokens in them is no text.
MOST_CHARACTERS = 2**18


def beginning(text: str, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> str:
    """As much of a long text as its first ``max_tokens`` tokens need.

    Tokenizers split a text into words before all else, so a text that ends between two words begins with the same
    tokens as its continuation. Where no white space is near, the margin keeps the cut word away from what is wanted.
    """
    if tokenizer.truncation_side != "right":
        return text
    length = max(CHARACTERS_PER_TOKEN * max_tokens, 8 * MARGIN)
    while length < len(text):
        start = text[:length]
        words = start.rsplit(maxsplit=1)
        start = words[0] if len(words) == 2 else start
        if len(tokenizer(start, add_special_tokens=False, verbose=False)["input_ids"]) >= max_tokens + MARGIN:
            return start
        if length >= MOST_CHARACTERS:
            return text[:length]
        length *= 4  # few tokens: white space, or a word of thousands of letters
    return text
