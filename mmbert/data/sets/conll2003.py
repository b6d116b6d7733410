"""conll2003: 22,137 sentences of news with persons, places, organisations and others marked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmbert.core.errors import DataError
from mmbert.data.sets.base import DataCard, PreparedData, TableRow
from mmbert.data.sets.conll import iob2, read_sentences

CONLL_FILES = {
    "train": ("eng.train", "train.txt"),
    "val": ("eng.testa", "valid.txt", "dev.txt"),
    "test": ("eng.testb", "test.txt"),
}
NEW_DOCUMENT = "-DOCSTART-"


class Conll2003(PreparedData):
    """CoNLL-2003, English, with its own splits.

    The original files are tagged in IOB1, most copies in IOB2; the table has IOB2.

    Columns: ``text``, ``words`` and ``tags`` (JSON lists of one length), ``document``, ``id``.

    Args:
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    card = DataCard(
        name="conll2003",
        version=1,
        licence="Reuters Corpus: research, on request at NIST; the annotation is free",
        homepage="https://www.clips.uantwerpen.be/conll2003/ner/",
        holds=("*train*",),
        archives=("conll2003*.zip|conll2003*.tar.gz",),
        fetch="Build eng.train, eng.testa and eng.testb as the page says, or name a folder with train.txt, "
        "valid.txt and "
        "test.txt.",
        citation="Tjong Kim Sang and De Meulder 2003, Introduction to the CoNLL-2003 Shared Task, CoNLL",
        metric="entity F1 on test",
        figure="BERT base: 92.4 (Devlin et al. 2019, arXiv:1810.04805)",
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The sentences of the three files, in order."""
        for split, names in CONLL_FILES.items():
            path = next((raw / name for name in names if (raw / name).is_file()), None)
            if path is None:
                raise DataError(f"{raw} has none of the files {', '.join(names)} ({split}).")
            document = 0
            for number, sentence in enumerate(read_sentences(path)):
                if sentence.words[0] == NEW_DOCUMENT:
                    document += 1
                    continue
                yield {
                    "id": f"{split}-{number}",
                    "split": split,
                    "text": " ".join(sentence.words),
                    "words": json.dumps(sentence.words, ensure_ascii=False),
                    "tags": json.dumps(iob2(sentence.tags)),
                    "document": f"{split}-{document}",
                }
