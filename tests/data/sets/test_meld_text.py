"""MELD's three tables: official splits, contexts within a dialogue alone, labels checked, quotes repaired."""

import csv
import io

import pandas as pd
import pytest

from mmbert.core.errors import DataError
from mmbert.data.sets.meld_text import MeldText, repaired
from raw_packages import real_sources, tar_bytes

HEAD = ["Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode"]
HEAD += ["StartTime", "EndTime"]
TRAIN = [
    [
        "1",
        "I\x92m here,  \x93fine\x94\x85",
        "Ross",
        "neutral",
        "neutral",
        "0",
        "0",
        "8",
        "21",
        "00:16:16,059",
        "0:16:21,7",
    ],
    ["2", "Hey!", "Joey", "joy", "positive", "0", "1", "8", "21", "00:16:21,940", "00:16:23,442"],
    [
        "3",
        'He said "no",\nthen left.',
        "Ross",
        "Anger",
        "negative",
        "0",
        "3",
        "8",
        "21",
        "00:16:23,442",
        "00:16:26,389",
    ],
    ["4", "Hey!", "All", "surprise", "positive", "1", "0", "9", "1", "00:00:01,000", "00:00:02,000"],
]


def csv_bytes(rows, head=HEAD, beginning=b""):
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerows([head, *rows])
    return beginning + buffer.getvalue().encode()


def files(**changed):
    parts = {
        "train": csv_bytes(TRAIN),
        "dev": csv_bytes(TRAIN[:2], beginning=b"\xef\xbb\xbf"),
        "test": csv_bytes(TRAIN[2:]),
    }
    return {f"MELD-master/data/MELD/{part}_sent_emo.csv": content for part, content in {**parts, **changed}.items()}


@pytest.fixture
def build(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBERT_HOME", str(tmp_path / "home"))

    def from_files(content, **options):
        path = tmp_path / "meld_text.tar.gz"
        path.write_bytes(tar_bytes(content))
        return pd.read_csv(MeldText(source=path, **options).path, keep_default_na=False)

    return from_files


def test_rows_are_the_tables_in_their_own_splits(build):
    table = build(files())
    assert list(table["split"]) == ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    assert list(table["id"])[:5] == ["train-0-0", "train-0-1", "train-0-3", "train-1-0", "val-0-0"]
    assert list(table["emotion"])[:4] == ["neutral", "joy", "anger", "surprise"]
    assert list(table["sentiment_level"])[:3] == [1, 2, 0]
    assert table["dialogue"].nunique() == 5  # numbers begin anew in each file


def test_odd_characters_become_the_ones_that_were_meant(build):
    table = build(files())
    assert table["text"][0] == "I’m here, “fine”…"
    assert table["text"][2] == 'He said "no", then left.'
    assert repaired("caf\u00e9 \x97 \x80") == "café — €"


def test_the_context_is_of_the_same_dialogue_and_as_long_as_asked(build):
    one = build(files())
    assert list(one["context"])[:4] == ["", "Ross: I’m here, “fine”…", "Joey: Hey!", ""]
    assert one["context_and_text"][1] == "Ross: I’m here, “fine”… Joey: Hey!"
    assert one["context_and_text"][3] == "All: Hey!"
    assert build(files(), context=2)["context"][2] == "Ross: I’m here, “fine”… Joey: Hey!"
    assert set(build(files(), context=0)["context"]) == {""}


def test_a_label_that_is_none_and_a_column_that_is_not_there_are_named(build):
    wrong = [*TRAIN[:2], [*TRAIN[2][:3], "angry", *TRAIN[2][4:]]]
    with pytest.raises(DataError, match=r"train_sent_emo.csv, row 4, column Emotion: 'angry' is none of neutral, joy"):
        build(files(train=csv_bytes(wrong)))
    with pytest.raises(DataError, match=r"dev_sent_emo.csv lacks the column Utterance; it has Sr No., Text"):
        build(files(dev=csv_bytes(TRAIN, ["Sr No.", "Text", *HEAD[2:]])))


def test_two_of_the_three_tables_are_not_the_set(build):
    content = {name: part for name, part in files().items() if "dev" not in name}
    with pytest.raises(DataError, match=r"without the files of meld_text: train_sent_emo.csv, dev_sent_emo.csv"):
        build(content)


def test_the_real_tables_have_the_published_counts(tmp_path):
    source = real_sources("meld_text*.tar.gz") / "meld_text.tar.gz"
    table = pd.read_csv(MeldText(source=source, folder=tmp_path).path, keep_default_na=False)
    assert dict(table["split"].value_counts()) == {"train": 9989, "test": 2610, "val": 1109}
    test = table[table["split"] == "test"]["emotion"].value_counts()
    assert dict(test) == {
        "neutral": 1256,
        "joy": 402,
        "anger": 345,
        "surprise": 281,
        "sadness": 208,
        "disgust": 68,
        "fear": 50,
    }
    assert table["id"].is_unique and not table["text"].str.contains("[\x00-\x1f\x7f-\x9f]", regex=True).any()
