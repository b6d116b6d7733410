"""Cells with a tag for each word of a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mmbert.core.errors import DataError
from mmbert.data.tables.cells import cell_excerpt, cell_text
from mmbert.data.tables.written_lists import written_list

#: Names under which a cell that is an object holds its words and its tags.
WORDS_KEYS, TAGS_KEYS = ("words", "tokens"), ("tags", "ner_tags", "labels")
TAG_FORMS = '["O", "B-PER"], or O B-PER, or {"words": ["by", "Ann"], "tags": ["O", "B-PER"]}'


def tags_of_cell(cell: Any) -> tuple[list[str] | None, list[str]]:
    """The words that a cell names, None if it names none, and its tags.

    A cell is a list, the text of one (JSON, Python), tags joined by blanks, or an object with words and tags.

    Raises:
        DataError: it is none of these.
    """
    found = cell
    if isinstance(cell, str):
        text = cell.strip()
        if text.startswith("{"):
            try:
                found = json.loads(text)
            except ValueError:
                raise DataError(
                    f"'{cell_excerpt(text)}' looks like an object but is no JSON; write {TAG_FORMS}"
                ) from None
        else:
            found = written_list(text)
            if found is None and text.startswith(("[", "(")):
                raise DataError(f"'{cell_excerpt(text)}' looks like a list but is none; write {TAG_FORMS}")
            found = text.split() if found is None else found
    if isinstance(found, Mapping):
        words, tags = (next((found[key] for key in keys if key in found), None) for keys in (WORDS_KEYS, TAGS_KEYS))
        if not isinstance(tags, (list, tuple)) or not isinstance(words, (list, tuple, type(None))):
            raise DataError(f"'{cell_excerpt(cell)}' holds no list of tags; write {TAG_FORMS}")
        if words is not None and len(words) != len(tags):
            raise DataError(f"{len(tags)} tags for {len(words)} words in '{cell_excerpt(cell)}'")
        return None if words is None else [str(word) for word in words], checked_tags(tags, cell)
    if not isinstance(found, (list, tuple)):
        raise DataError(f"'{cell_excerpt(cell)}' is no list of tags; write {TAG_FORMS}")
    return None, checked_tags(found, cell)


def checked_tags(tags: Any, cell: Any) -> list[str]:
    """The tags as texts.

    Raises:
        DataError: one is empty, a list or an object.
    """
    for place, tag in enumerate(tags):
        if tag is None or isinstance(tag, (list, tuple, dict)) or not str(tag).strip():
            raise DataError(
                f"tag {place + 1} of '{cell_excerpt(cell)}' is {tag!r:.40}: every word needs one, such as O"
            )
    return [cell_text(tag) for tag in tags]
