"""mosi_csd, mosei_csd: CMU-MOSI and CMU-MOSEI in the SDK's computational sequences, one HDF5 file (.csd) a modality.

A labelled interval of a video is a sample: its words are those that overlap it, its features the frames whose middle
lies in it. The standard folds are read from the SDK's own ``cmu_mosi_std_folds.py`` or ``cmu_mosei_std_folds.py``, as
data.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import DataError
from mmbert.data.sets.base import DataCard, PreparedData, TableRow
from mmbert.data.sets.feature_rows import feature_file, made_finite, safe_name
from mmbert.data.sets.mmsa import polarity

FOLDS = {"standard_train_fold": "train", "standard_valid_fold": "val", "standard_test_fold": "test"}
PAUSE = "sp"  # what the SDK's words hold where nobody speaks
EMOTIONS_OF_MOSEI = ("happy", "sad", "anger", "surprise", "disgust", "fear")
SDK_PAGE = "https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK"


class Sequence:
    """A computational sequence: for each video intervals in seconds (n, 2) and vectors (n, D).

    Args:
        path: of the .csd file.

    Raises:
        ImportError: h5py is not installed.
        DataError: the file is no computational sequence.
    """

    def __init__(self, path: Path) -> None:
        try:
            import h5py
        except ImportError as error:
            raise ImportError("Files in .csd need h5py: pip install 'mmbert[csd]'") from error
        self.path = path
        try:
            self.file = h5py.File(path, "r")
            (self.name,) = self.file.keys()
            self.videos = self.file[self.name]["data"]
        except (OSError, KeyError, ValueError) as error:
            raise DataError(f"{path} is no computational sequence ({error}).") from error

    def names(self) -> list[str]:
        """The videos, in order of their names."""
        return sorted(self.videos)

    def of(self, video: str) -> tuple[np.ndarray, np.ndarray]:
        """Intervals (n, 2) and vectors (n, D) of a video; (0, 2) and (0, 0) if it is not there."""
        if video not in self.videos:
            return np.zeros((0, 2)), np.zeros((0, 0))
        group = self.videos[video]
        intervals, features = np.asarray(group["intervals"]), np.asarray(group["features"])
        if len(intervals) != len(features):
            raise DataError(f"{self.path}, {video}: {len(intervals)} intervals for {len(features)} vectors.")
        return intervals, features


class CsdFeatures(PreparedData):
    """A set in the SDK's files.

    Columns: ``text``, ``vision`` and ``acoustic`` (sequences of vectors), ``sentiment`` (a number), ``polarity``
    (negative, neutral, positive), ``video``, ``start`` and ``end`` in seconds, ``id``; of MOSEI also a number from 0
    to 3 for each of six emotions.

    Args:
        vision: the file of the face's features, without ``.csd``, as a pattern.
        acoustic: the same for the voice's.
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    def __init__(self, vision: str = "*Facet*", acoustic: str = "*COVAREP*", **options: Any) -> None:
        self.vision, self.acoustic = vision, acoustic
        super().__init__(built_with={"vision": vision, "acoustic": acoustic}, **options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The labelled intervals of the standard folds, by video."""
        labels = Sequence(only_file(raw, "*Labels*"))
        words = Sequence(only_file(raw, "*TimestampedWords"))
        features = {column: Sequence(only_file(raw, getattr(self, column))) for column in ("vision", "acoustic")}
        folds = read_folds(only_file(raw, "*std_folds", ".py"))
        outside = [video for video in labels.names() if video not in folds]
        if outside:
            self.note(f"{len(outside)} videos are in no fold and are left out")
        odd = 0
        for video in labels.names():
            if video in folds:
                for row, count in labelled_intervals(video, labels, words, features):
                    odd += count
                    yield {**row, "split": folds[video]}
        if odd:
            self.note(f"{odd:,} numbers of the features are infinite or none, and became 0")


def labelled_intervals(
    video: str, labels: Sequence, words: Sequence, features: Mapping[str, Sequence]
) -> Iterator[tuple[dict[str, Any], int]]:
    """The labelled intervals of a video in the order of time, each with how many of its numbers were not finite."""
    word_times, word_texts = words.of(video)
    times, values = labels.of(video)
    frames = {column: sequence.of(video) for column, sequence in features.items()}
    for place in np.argsort(times[:, 0], kind="stable"):
        start, end = (float(second) for second in times[place])
        row: dict[str, Any] = {"id": f"{video}[{place}]", "text": words_within(word_times, word_texts, start, end)}
        odd = 0
        for column, (intervals, vectors) in frames.items():
            middle = intervals.mean(1)
            finite, count = made_finite(vectors[(middle >= start) & (middle < end)])
            row[column] = feature_file(f"{column}/{safe_name(video)}_{place}", finite)
            odd += count
        numbers = np.atleast_1d(values[place]).astype(float)
        row |= {"sentiment": float(numbers[0]), "polarity": polarity(float(numbers[0]))}
        if len(numbers) > 1:
            row |= dict(zip(EMOTIONS_OF_MOSEI, numbers[1:].tolist(), strict=True))
        yield {**row, "video": video, "start": start, "end": end}, odd


def words_within(intervals: np.ndarray, words: np.ndarray, start: float, end: float) -> str:
    """The words whose interval overlaps a time, without pauses."""
    texts = []
    for (first, last), word in zip(intervals, words.reshape(len(words), -1), strict=True):
        if first < end and last > start:
            text = word[0].decode("utf-8") if isinstance(word[0], bytes) else str(word[0])
            texts += [text] if text != PAUSE else []
    return " ".join(texts)


def only_file(raw: Path, pattern: str, ending: str = ".csd") -> Path:
    """The one file of a folder that fits a pattern.

    Raises:
        DataError: there is none, or several.
    """
    found = sorted(raw.glob(f"{pattern}{ending}"))
    if len(found) == 1:
        return found[0]
    there = ", ".join(path.name for path in (found or sorted(raw.glob(f"*{ending}")))) or "none"
    raise DataError(
        f"{raw}: {'several files fit' if found else 'no file fits'} {pattern}{ending} ({there}). Name one with "
        "data.vision or data.acoustic."
    )


def read_folds(path: Path) -> dict[str, str]:
    """The split of each video, from the lists of the SDK's file, which is not run.

    Raises:
        DataError: it is no such file.
    """
    try:
        tree = ast.parse(path.read_text("utf-8"))
        folds: dict[str, str] = {}
        for node in tree.body:
            name = getattr(node.targets[0], "id", "") if isinstance(node, ast.Assign) else ""
            if name in FOLDS:
                folds |= dict.fromkeys(ast.literal_eval(node.value), FOLDS[name])  # type: ignore[attr-defined]
    except (SyntaxError, ValueError, TypeError) as error:
        raise DataError(f"{path} does not hold the lists {', '.join(FOLDS)} ({error}).") from error
    if set(folds.values()) != set(FOLDS.values()):
        raise DataError(f"{path} does not hold the lists {', '.join(FOLDS)}.")
    return folds


class MosiCsd(CsdFeatures):
    """CMU-MOSI in .csd files."""

    card = DataCard(
        name="mosi_csd",
        version=1,
        licence="CMU-MOSI's own terms: research",
        homepage=SDK_PAGE,
        holds=("CMU_MOSI_*Labels*.csd", "*std_folds.py"),
        fetch=f"Download the set with the SDK ({SDK_PAGE}), and put its cmu_mosi_std_folds.py into the same folder.",
        citation="Zadeh et al. 2016, MOSI: Multimodal Corpus of Sentiment Intensity, arXiv:1606.06259",
        metric="MAE and Pearson's correlation of the sentiment; Acc-2 and F1 of its sign",
        figure="MulT, words aligned: MAE 0.871, correlation 0.698, Acc-2 83.0 (Tsai et al. 2019, arXiv:1906.00295)",
    )


class MoseiCsd(CsdFeatures):
    """CMU-MOSEI in .csd files."""

    card = DataCard(
        name="mosei_csd",
        version=1,
        licence="CMU-MOSEI's own terms: research",
        homepage=SDK_PAGE,
        holds=("CMU_MOSEI_*Labels*.csd", "*std_folds.py"),
        fetch=f"Download the set with the SDK ({SDK_PAGE}), and put its cmu_mosei_std_folds.py into the same folder.",
        citation="Zadeh et al. 2018, Multimodal Language Analysis in the Wild: CMU-MOSEI Dataset, ACL",
        metric="MAE and Pearson's correlation of the sentiment; Acc-2 and F1 of its sign",
        figure="MulT, words aligned: MAE 0.580, correlation 0.703, Acc-2 82.5 (Tsai et al. 2019, arXiv:1906.00295)",
    )
