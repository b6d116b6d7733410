"""mosi, mosei, ch_sims: CMU-MOSI, CMU-MOSEI and CH-SIMS as MMSA publishes them, one pickle of features each.

Words as text, vectors of face and voice as features; a number for the sentiment, in CH-SIMS also for each modality
alone. The pickle is read without running code (``plain_pickle``) and whole, so it must fit in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from mmbert.core.errors import DataError
from mmbert.core.ranges import OneOf
from mmbert.data.sets.base import DataCard, PreparedData, TableRow
from mmbert.data.sets.feature_rows import feature_file, made_finite, safe_name, unpadded
from mmbert.data.sets.plain_pickle import read_plain_pickle

MMSA_SPLITS = {"train": "train", "valid": "val", "test": "test"}
#: CH-SIMS has a number for each modality alone.
UNIMODAL_LABELS = {
    "regression_labels_T": "text_label",
    "regression_labels_A": "audio_label",
    "regression_labels_V": "vision_label",
}
MMSA_PAGE = "https://github.com/thuiar/MMSA"
FETCH_MMSA = f"Download the pickles that {MMSA_PAGE} links, and name their folder."


class MmsaFeatures(PreparedData):
    """A set in MMSA's pickle.

    Columns: ``text``, ``vision`` and ``acoustic`` (sequences of vectors), ``sentiment`` (a number), ``polarity``
    (negative, neutral, positive), ``video``, ``id``; of CH-SIMS also ``text_label``, ``audio_label`` and
    ``vision_label``.

    Args:
        alignment: which pickle: ``unaligned``, each modality at its own rate, or ``aligned`` to the words.
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    def __init__(self, alignment: Annotated[str, OneOf("unaligned", "aligned")] = "unaligned", **options: Any) -> None:
        self.alignment = alignment
        super().__init__(built_with={"alignment": alignment}, **options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The clips of train, valid and test, in the order of the pickle."""
        found = sorted(path for path in raw.glob("*.pkl") if path.name.startswith(f"{self.alignment}_"))
        if not found:
            there = ", ".join(sorted(path.name for path in raw.glob("*.pkl")))
            raise DataError(f"{raw} has no pickle called {self.alignment}_*.pkl; it has {there}. Set data.alignment.")
        content = read_plain_pickle(found[0])
        odd = 0
        for part, split in MMSA_SPLITS.items():
            if part not in content:
                raise DataError(f"{found[0]} lacks the split '{part}'; it has {', '.join(map(str, content))}.")
            for row, number in clips(content[part], split):
                odd += number
                yield row
        if odd:
            self.note(f"{odd:,} numbers of the features are infinite or none, and became 0")


def clips(part: Mapping[str, Any], split: str) -> Iterator[tuple[TableRow, int]]:
    """The rows of a split, each with how many of its numbers were not finite."""
    for place, name in enumerate(part["id"]):
        clip = str(name)
        row: dict[str, Any] = {
            "id": clip,
            "split": split,
            "text": str(part["raw_text"][place]).strip(),
            "sentiment": float(np.asarray(part["regression_labels"][place]).reshape(())),
        }
        row["polarity"] = polarity(row["sentiment"])
        odd = 0
        for modality, column in (("vision", "vision"), ("audio", "acoustic")):
            lengths = part.get(f"{modality}_lengths")
            length = None if lengths is None else int(np.asarray(lengths[place]).reshape(()))
            finite, count = made_finite(unpadded(part[modality][place], length))
            row[column] = feature_file(f"{column}/{split}/{safe_name(clip)}", unpadded(finite))
            odd += count
        for key, column in UNIMODAL_LABELS.items():
            if key in part:
                row[column] = float(np.asarray(part[key][place]).reshape(()))
        row["video"] = clip.rsplit("$_$", 1)[0]
        yield row, odd


def polarity(sentiment: float) -> str:
    """The class of a sentiment."""
    return "negative" if sentiment < 0 else "positive" if sentiment > 0 else "neutral"


class Mosi(MmsaFeatures):
    """CMU-MOSI: 2,199 clips of 93 videos; sentiment from -3 to 3."""

    card = DataCard(
        name="mosi",
        version=1,
        licence="CMU-MOSI's own terms: research",
        homepage=MMSA_PAGE,
        holds=("*aligned_*.pkl",),
        fetch=FETCH_MMSA,
        citation="Zadeh et al. 2016, MOSI: Multimodal Corpus of Sentiment Intensity, arXiv:1606.06259",
        metric="MAE and Pearson's correlation of the sentiment; Acc-2 and F1 of its sign",
        figure="MISA with BERT: MAE 0.783, correlation 0.761, Acc-2 81.8 / 83.4 (Hazarika et al. 2020, "
        "arXiv:2005.03545)",
    )


class Mosei(MmsaFeatures):
    """CMU-MOSEI: 22,856 clips; sentiment from -3 to 3."""

    card = DataCard(
        name="mosei",
        version=1,
        licence="CMU-MOSEI's own terms: research",
        homepage=MMSA_PAGE,
        holds=("*aligned_*.pkl",),
        fetch=FETCH_MMSA,
        citation="Zadeh et al. 2018, Multimodal Language Analysis in the Wild: CMU-MOSEI Dataset, ACL",
        metric="MAE and Pearson's correlation of the sentiment; Acc-2 and F1 of its sign",
        figure="MISA with BERT: MAE 0.555, correlation 0.756, Acc-2 83.6 / 85.5 (Hazarika et al. 2020, "
        "arXiv:2005.03545)",
    )


class ChSims(MmsaFeatures):
    """CH-SIMS: 2,281 clips in Mandarin; sentiment from -1 to 1, of all modalities together and of each alone."""

    card = DataCard(
        name="ch_sims",
        version=1,
        licence="CH-SIMS's own terms: research",
        homepage=MMSA_PAGE,
        holds=("*aligned_*.pkl",),
        fetch=FETCH_MMSA,
        citation="Yu et al. 2020, CH-SIMS: A Chinese Multimodal Sentiment Analysis Dataset, ACL",
        metric="MAE and Pearson's correlation of the sentiment; Acc-2 and F1 of its sign",
        figure="Self-MM: MAE 0.425, correlation 0.595, Acc-2 80.0 (Yu et al. 2021, arXiv:2102.04830)",
    )
