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
from mmbert.data.modalities.text_pair import TextPair
from mmbert.encoders.processors.lengths import tokens_limit
from mmbert.encoders.processors.long_texts import beginning
from mmbert.encoders.processors.text_pairs import MAX_BEFORE, check_room, cut_before, is_second, tokens_before

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
        max_before: of a pair of texts the first is cut after so many tokens.
        window: tokens of the windows that long texts are run in; None = whole. It is checked to have room for pairs.
        overlap: tokens that a window shares with the next.
    """

    kind: str = "text"
    #: Token ids, followed by token type ids where the model has them.
    packed: ClassVar[tuple[str, str, int]] = ("int32", "int8", 0)
    reads_pairs: ClassVar[bool] = True

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_tokens: int,
        most_tokens: float = math.inf,
        max_before: int = MAX_BEFORE,
        window: int | None = None,
        overlap: int = 0,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.most_tokens = most_tokens
        self.max_before, self.window, self.overlap = max_before, window, overlap

    def prepare(self, raw: str | TextPair) -> str | TextPair:
        """The text itself, of a very long one the beginning; ``collate`` tokenises, which is faster batch by batch.

        Raises:
            InputError: it is no text.
            ConfigError: there would be no room for the second of two texts.
        """
        if isinstance(raw, TextPair):
            self._check_room()
            before = cut_before(raw.before, self.tokenizer, self.max_before)
            return TextPair(before, beginning(raw.text, self.tokenizer, self.max_tokens))
        if not isinstance(raw, str):
            raise InputError(f"A text must be a str, not {type(raw).__name__} ({raw!r}).")
        return beginning(raw, self.tokenizer, self.max_tokens)

    @property
    def has_room_for_pairs(self) -> bool:
        """Whether pairs of texts can be read with these options."""
        try:
            self._check_room()
        except ConfigError:
            return False
        return bool(self.tokenizer.is_fast)

    def _check_room(self) -> None:
        """See ``check_room``."""
        check_room(self.tokenizer, self.max_tokens, "max_tokens", self.max_before, 0)
        if self.window is not None:
            check_room(self.tokenizer, self.window, "window", self.max_before, self.overlap)

    def collate(self, prepared: list[Any]) -> Inputs:
        """Texts (None = missing) -> input_ids (B, L) int64, mask (B, L) bool, token_type_ids (B, L) where used.

        Where some are pairs also ``before`` (B, L) bool, their tokens up to the second text.
        """
        if any(isinstance(text, (np.ndarray, TextPair)) for text in prepared):
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
        found = {"max_tokens": self.max_tokens, "tokenizer": tokenizer_fingerprint(self.tokenizer)}
        return found if self.max_before == MAX_BEFORE else {**found, "max_before": self.max_before}

    def _encoding(self, prepared: str | TextPair, **wanted: bool) -> Any:
        """What the tokenizer makes of one prepared text or pair; the second text alone is cut.

        Raises:
            ConfigError: a pair, and the tokenizer is one in Python alone, which cannot say where the second begins.
        """
        if not isinstance(prepared, TextPair):
            return self.tokenizer(prepared, truncation=True, max_length=self.max_tokens, **wanted)
        self._require_fast()
        texts = (prepared.before, prepared.text)
        return self.tokenizer(*texts, truncation="only_second", max_length=self.max_tokens, **wanted)

    def _require_fast(self) -> None:
        if not self.tokenizer.is_fast:
            raise ConfigError(f"{type(self.tokenizer).__name__} cannot say which token is which word: take a fast one.")

    def pack(self, raw: str | TextPair) -> tuple[np.ndarray, np.ndarray]:
        """A text -> token ids and, where used, token type ids (n, L); of a pair's ids up to the second text -1 - id.

        So what is kept of texts alone is the same whether or not pairs are read.
        """
        prepared = self.prepare(raw)
        encoding = self._encoding(prepared)
        found = np.array([encoding[name] for name in self._names() if name in encoding], np.int32)
        if isinstance(prepared, TextPair):
            first = tokens_before(encoding, self.special_ends[1])
            found[0, :first] = -1 - found[0, :first]
        return found, np.zeros(0, np.int8)

    def unpack(self, long: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        """See ``Storable``: -> (n, L)."""
        return long.reshape(len(self._names()), -1)

    def _names(self) -> list[str]:
        return sorted({"input_ids", "token_type_ids"} & set(self.tokenizer.model_input_names))

    def _collate_packed(self, prepared: list[str | TextPair | np.ndarray | None]) -> Inputs:
        """As ``collate``, where some texts have been tokenised before, or are pairs."""
        rows = [self.unpack(*self.pack(text)) if isinstance(text, (str, TextPair)) else text for text in prepared]
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
        before = inputs["input_ids"] < 0
        if before.any():
            inputs |= {
                "before": before,
                "input_ids": torch.where(before, -1 - inputs["input_ids"], inputs["input_ids"]),
            }
        return inputs

    def alignment(self, raw: str | TextPair) -> dict[str, Any]:
        """See ``Aligned``; words are what white space separates. Of a pair all is about the second text.

        Raises:
            ConfigError: the tokenizer is one in Python alone, which knows no offsets.
        """
        self._require_fast()
        prepared = self.prepare(raw)
        encoding = self._encoding(prepared, return_offsets_mapping=True, return_special_tokens_mask=True)
        offsets = np.array(encoding["offset_mapping"], np.int64).reshape(-1, 2)
        other = np.array(encoding["special_tokens_mask"], bool)
        if isinstance(prepared, TextPair):
            other |= ~is_second(encoding)
            offsets[other] = 0
        words = word_of_each(prepared.text if isinstance(prepared, TextPair) else prepared, offsets[:, 0])
        words[other] = -1
        return {
            "input_ids": torch.tensor(encoding["input_ids"]),
            "word_ids": torch.from_numpy(words),
            "offsets": torch.from_numpy(offsets),
            "text": raw.text if isinstance(raw, TextPair) else raw,
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
