"""A vocabulary learnt from the references of the train split, for decoders whose own does not fit their language.

Pieces are learnt as WordPiece learns them (by merging), over words whose beginning is marked by ``▁``; punctuation and
characters of Chinese, Japanese, Thai, Lao, Khmer and Burmese stand alone. No spelling is changed, so that a text that
is cut and joined again is the same but for runs of white space; BERT's own tokenizers lose capitals or spaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PADDING, UNKNOWN, BEGIN, END = SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
#: Characters of Chinese and Japanese with their punctuation, for Python's regular expressions.
UNSPACED_LETTERS = "\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff0f\uff1a-\uff1f"
#: Scripts written without spaces, and their marks, as a regular expression of ``tokenizers``.
UNSPACED_CHARACTER = r"[\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*"


def learn_vocabulary(texts: Sequence[str], size: int) -> list[str]:
    """At most ``size`` pieces, special ones first; every character of the texts is one of them.

    Fewer than there are characters are never given: a text of the train split has no unknown piece.
    """
    from tokenizers import trainers

    tokenizer = word_pieces({piece: place for place, piece in enumerate(SPECIAL_PIECES)})
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=list(SPECIAL_PIECES), continuing_subword_prefix="", show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    pieces = tokenizer.get_vocab()
    return sorted(pieces, key=lambda piece: pieces[piece])


def word_pieces(vocabulary: dict[str, int]) -> Any:
    """A tokenizer of ``tokenizers``: the longest piece first, from each word's beginning."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            pre_tokenizers.Split(Regex(UNSPACED_CHARACTER), "isolated"),
            pre_tokenizers.Punctuation("isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return tokenizer


def learnt_tokenizer(vocabulary: Sequence[str]) -> PreTrainedTokenizerBase:
    """The tokenizer of a vocabulary that ``learn_vocabulary`` gave, with ``[CLS]`` and ``[SEP]`` around a text."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    ids = {piece: place for place, piece in enumerate(vocabulary)}
    tokenizer = word_pieces(ids)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", special_tokens=[(BEGIN, ids[BEGIN]), (END, ids[END])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PADDING, unk_token=UNKNOWN, cls_token=BEGIN, sep_token=END
    )
