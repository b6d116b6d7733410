"""``TextProcessor``: tokenises texts with a tokenizer of transformers."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from mmbert.core.errors import ConfigError, InputError
from mmbert.core.types import Inputs
from mmbert.data.modalities.length_limit import LengthLimit
from mmbert.encoders.processors.lengths import tokens_limit
from mmbert.encoders.processors.long_texts import beginning

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# loader workers fork after the tokenizer was used; its threads would not survive that and it warns about it
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


class TextProcessor:
    """Tokenises a batch in one call, padded to its longest text.

    Args:
        tokenizer: of transformers.
        max_tokens: longer texts are cut, special tokens included.
        most_tokens: positions of the network.
    """

    kind: str = "text"
    #: Token ids, followed by token type ids where the model has them.
    packed: ClassVar[tuple[str, str, int]] = ("int32", "int8", 0)

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_tokens: int, most_tokens: float = math.inf) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.most_tokens = most_tokens

    def prepare(self, raw: str) -> str:
        """The text itself, of a very long one the beginning; ``collate`` tokenises, which is faster batch by batch."""
        if not isinstance(raw, str):
            raise InputError(f"A text must be a str, not {type(raw).__name__} ({raw!r}).")
        return beginning(raw, self.tokenizer, self.max_tokens)

    def collate(self, prepared: list[Any]) -> Inputs:
        """Texts (None = missing) -> input_ids (B, L) int64, mask (B, L) bool, token_type_ids (B, L) where used."""
        if any(isinstance(text, np.ndarray) for text in prepared):
            return self._collate_packed(prepared)
        present = [i for i, text in enumerate(prepared) if text is not None]
        texts = [text for text in prepared if text is not None]
        names = {name for name in self.tokenizer.model_input_names if name in ("input_ids", "token_type_ids")}
        if not texts:
            blank = {name: torch.zeros(len(prepared), 1, dtype=torch.int64) for name in names}
            blank["input_ids"].fill_(self.tokenizer.pad_token_id)
            return {**blank, "mask": torch.zeros(len(prepared), 1, dtype=torch.bool)}
        encoding = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt", padding_side="right"
        )
        length = encoding["input_ids"].shape[1]
        inputs: Inputs = {"mask": torch.zeros(len(prepared), length, dtype=torch.bool)}
        inputs["mask"][present] = encoding["attention_mask"].bool()
        for name in sorted(names & set(encoding)):
            fill = self.tokenizer.pad_token_id if name == "input_ids" else 0
            inputs[name] = torch.full((len(prepared), length), fill)
            inputs[name][present] = encoding[name]
        return inputs

    @property
    def special_ends(self) -> tuple[int, int]:
        """How many special tokens stand before a text, and how many after it."""
        special = self.tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
        inner = [place for place, one in enumerate(special) if not one]
        return inner[0], len(special) - 1 - inner[-1]

    @property
    def length_limit(self) -> LengthLimit:
        """See ``Cutting``."""
        return tokens_limit(self.tokenizer, self.max_tokens, self.most_tokens)

    def settings(self) -> dict[str, Any]:
        """See ``Storable``."""
        return {"max_tokens": self.max_tokens, "tokenizer": tokenizer_fingerprint(self.tokenizer)}

    def pack(self, raw: str) -> tuple[np.ndarray, np.ndarray]:
        """A text -> token ids and, where used, token type ids (n, L)."""
        encoding = self.tokenizer(self.prepare(raw), truncation=True, max_length=self.max_tokens)
        return np.array([encoding[name] for name in self._names() if name in encoding], np.int32), np.zeros(0, np.int8)

    def unpack(self, long: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        """See ``Storable``: -> (n, L)."""
        return long.reshape(len(self._names()), -1)

    def _names(self) -> list[str]:
        return sorted({"input_ids", "token_type_ids"} & set(self.tokenizer.model_input_names))

    def _collate_packed(self, prepared: list[str | np.ndarray | None]) -> Inputs:
        """As ``collate``, where some texts have been tokenised before."""
        rows = [self.unpack(*self.pack(text)) if isinstance(text, str) else text for text in prepared]
        length = max(row.shape[1] for row in rows if row is not None)
        inputs: Inputs = {"mask": torch.zeros(len(rows), length, dtype=torch.bool)}
        for number, name in enumerate(self._names()):
            fill = self.tokenizer.pad_token_id if name == "input_ids" else 0
            numbers = np.full((len(rows), length), fill, np.int64)
            for place, row in enumerate(rows):
                if row is not None:
                    numbers[place, : row.shape[1]] = row[number]
                    inputs["mask"][place, : row.shape[1]] = True
            inputs[name] = torch.from_numpy(numbers)
        return inputs

    def alignment(self, raw: str) -> dict[str, Any]:
        """See ``Aligned``; words are what white space separates.

        Raises:
            ConfigError: the tokenizer is one in Python alone, which knows no offsets.
        """
        if not self.tokenizer.is_fast:
            raise ConfigError(f"{type(self.tokenizer).__name__} cannot say which token is which word: take a fast one.")
        text = self.prepare(raw)
        encoding = self.tokenizer(
            text,
            truncation=True,
            max_length=self.max_tokens,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        offsets = np.array(encoding["offset_mapping"], np.int64).reshape(-1, 2)
        words = word_of_each(text, offsets[:, 0])
        words[np.array(encoding["special_tokens_mask"], bool)] = -1
        return {
            "input_ids": torch.tensor(encoding["input_ids"]),
            "word_ids": torch.from_numpy(words),
            "offsets": torch.from_numpy(offsets),
            "text": raw,
        }

    def mask_tokens(self, inputs: Inputs, share: float, generators: Sequence[np.random.Generator]) -> Inputs:
        """A batch in which some tokens are the mask token; special tokens and padding stay.

        Args:
            inputs: what ``collate`` returned.
            share: chance of each token.
            generators: one a sample.

        Raises:
            ConfigError: the tokenizer has no mask token.
        """
        if self.tokenizer.mask_token_id is None:
            raise ConfigError("augment.text.mask: this tokenizer has no mask token.")
        ids = inputs["input_ids"]
        draws = np.stack([generator.random(ids.shape[1]) for generator in generators])
        special = torch.isin(ids, torch.tensor(self.tokenizer.all_special_ids))
        chosen = torch.from_numpy(draws < share) & inputs["mask"] & ~special
        return {**inputs, "input_ids": ids.masked_fill(chosen, self.tokenizer.mask_token_id)}


def word_of_each(text: str, positions: np.ndarray) -> np.ndarray:
    """The word that the character at each position is in, counted from 0; of white space the next one, -1 = none.

    Args:
        text: words are what white space separates.
        positions: (L,) int64.

    Returns:
        (L,) int64.
    """
    space = np.fromiter((character.isspace() for character in text), bool, len(text))
    begins = ~space & np.concatenate([[True], space[:-1]])[: len(text)]
    begun = np.append(begins.cumsum(), begins.sum())  # words that have begun, of each position and of the end
    space = np.append(space, True)
    positions = positions.clip(max=len(text))
    words = np.where(space[positions], begun[positions], begun[positions] - 1)
    return np.where(words < begins.sum(), words, -1)


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash of everything that decides which tokens a text becomes."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        content: Any = [type(tokenizer).__name__, sorted(tokenizer.get_vocab().items()), repr(tokenizer)]
    else:
        content = json.loads(backend.to_str())
        for name in ("truncation", "padding"):  # what the last call was given
            content.pop(name, None)
    text = json.dumps([content, sorted(map(str, tokenizer.model_input_names))], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
