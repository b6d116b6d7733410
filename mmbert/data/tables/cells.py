"""When a cell is empty, and when two cells are equal: one rule for labels, groups, strata, splits and shared samples.

Two cells are equal if their keys are. The key is the cell's text

- without white space at its ends, in Unicode's normal form NFC (an é may be written as one character or as two);
- of a whole number without ``.0``: 3, 3.0, "3" and "3.0" are equal, because a column with empty cells turns integers
  into floats in many tools. ``007``, ``1e3``, ``1.10`` and ``3.00`` stay what they are;
- of a truth value in small letters: True, "True", "TRUE" and "true" are equal.

Capitals count in any other word. An empty cell (null, NaN, the empty string, white space alone) has no key, and is
equal to nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mmbert.core.errors import DataError
from mmbert.data.modalities.text_pair import PAIR_CELL

#: Characters of the longest text that may be a number or a truth value; longer ones are not looked at for it.
LONGEST_NUMBER = 40
#: Writings of one value: what matches a pattern as a whole is compared as what stands beside it. Python's regular
#: expressions and Arrow's mean the same by them.
SAME = (
    (r"-?0\.0", "0"),
    (r"(-?[1-9][0-9]*)\.0", r"\1"),
    ("[Tt][Rr][Uu][Ee]", "true"),
    ("[Ff][Aa][Ll][Ss][Ee]", "false"),
)


def is_empty(value: Any) -> bool:
    """None, NaN, an empty or blank string, no bytes; of a picture or sound in the table, neither bytes nor a path."""
    if isinstance(value, dict):
        return all(part is None for part in value.values())
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or value == b"" or (isinstance(value, float) and value != value)


def is_blank(texts: Any) -> Any:
    """``is_empty`` for an Arrow array of texts; each is looked at up to its first letter, and none is copied."""
    return pc.or_kleene(pc.equal(texts, ""), pc.utf8_is_space(texts))


def cell_text(cell: Any) -> str:
    """How a cell is shown: 7.0 as ``7``, a text without white space at its ends and in the form NFC.

    Raises:
        DataError: the cell holds bytes that are no text.
    """
    if isinstance(cell, bytes):
        cell = decoded(cell)
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return unicodedata.normalize("NFC", str(cell).strip())


def decoded(content: bytes) -> str:
    """Bytes, as some programs write texts into Parquet files, as the text that they are in UTF-8.

    Raises:
        DataError: they are none.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"a text is needed, not {cell_excerpt(content)}, which are no text in UTF-8") from None


def cell_excerpt(cell: Any, characters: int = 60) -> str:
    """The beginning of a cell, for messages: of bytes only their number is shown."""
    if isinstance(cell, bytes):
        return f"{len(cell):,} bytes"
    if isinstance(cell, dict):
        cell = "{" + ", ".join(f"{name}: {cell_excerpt(part)}" for name, part in cell.items()) + "}"
    elif isinstance(cell, (list, tuple)):
        cell = f"[{', '.join(cell_excerpt(part) for part in cell[:characters])}]"
    text = str(cell)
    return text if len(text) <= characters else f"{text[:characters]}…"


def cell_key(cell: Any) -> str | None:
    """What a cell is compared by; None if it is empty."""
    if is_empty(cell):
        return None
    return text_key(cell_text(cell))


def text_key(text: str) -> str:
    """The key of what ``cell_text`` gave."""
    return text if len(text) > LONGEST_NUMBER else short_key(text)


@lru_cache(maxsize=2**16)
def short_key(text: str) -> str:
    """The key of a text that may be a number or a truth value."""
    for pattern, plain in SAME:
        found = re.fullmatch(pattern, text)
        if found is not None:
            return found.expand(plain)
    return text


def column_keys(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """``cell_key`` of a column of texts, numbers or truth values: texts, null where a cell is empty."""
    if pa.types.is_null(values.type):
        return pc.cast(values, pa.string())
    text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    kind = values.type if text else pa.string()
    chunks = []
    for chunk in values.chunks:
        encoded = chunk.dictionary_encode()  # labels and groups are a few words many times over
        words = encoded.dictionary
        keys = text_keys(words) if text else pa.array([cell_key(word) for word in words.to_pylist()], kind)
        chunks.append(keys.take(encoded.indices))
    return pa.chunked_array(chunks, kind)


def text_keys(texts: pa.Array) -> pa.Array:
    """``cell_key`` of texts, null where one is blank."""
    keys = pc.utf8_normalize(pc.utf8_trim_whitespace(texts), form="NFC")
    short = pc.less_equal(pc.utf8_length(keys), LONGEST_NUMBER)
    plain = keys.filter(short)
    for pattern, same in SAME:
        plain = pc.replace_substring_regex(plain, f"^(?:{pattern})$", same)
    return pc.replace_with_mask(keys, short, pc.if_else(pc.equal(plain, ""), pa.scalar(None, keys.type), plain))


def without_words(values: pa.ChunkedArray, words: Sequence[Any]) -> pa.ChunkedArray:
    """A column in which cells that are equal to one of the words, whatever their capitals, are empty.

    Chunks without such a cell are not copied. Columns of neither text nor numbers stay as they are.
    """
    keys = sorted({word_key(word) for word in words})
    text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if not (text or number and any(map(is_plain_number, keys))):
        return values
    chunks = []
    for chunk in values.chunks:
        small = pc.utf8_lower(column_keys(pa.chunked_array([chunk])).combine_chunks())
        gone = pc.is_in(small, pa.array(keys, small.type))
        chunks.append(pc.if_else(gone, pa.scalar(None, chunk.type), chunk) if pc.any(gone).as_py() else chunk)
    return pa.chunked_array(chunks, values.type)


def word_key(word: Any) -> str:
    """The key of an option's word in small letters; YAML's null and .nan stand for the words ``null`` and ``nan``."""
    if is_empty(word):
        return "null" if word is None else str(word).strip().lower()
    return str(cell_key(word)).lower()


def is_plain_number(text: str) -> bool:
    """Whether a text is a number in plain digits, such as ``-9`` or ``99.5``."""
    return re.fullmatch(r"-?[0-9]+(?:\.[0-9]+)?", text) is not None


def pair_cells(before: pa.ChunkedArray, text: pa.ChunkedArray, empty: pa.Array) -> pa.ChunkedArray:
    """Cells ``{"before": …, "text": …}``, none where ``empty`` (rows,) is true."""
    cells = pc.make_struct(before, text, field_names=list(PAIR_CELL))
    return pc.if_else(empty, pa.scalar(None, cells.type), cells)


def shown_pair(before: Any, text: Any) -> str:
    """Two texts for a reader, each on lines of its own; one alone where the other is missing."""
    return "\n".join(str(part) for part in (before, text) if part is not None)
