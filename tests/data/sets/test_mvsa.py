"""MVSA: the published rule, case by case; three annotators; mixed encodings; equal tweets in one split."""

import pytest
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.sets.mvsa import Mvsa, agreed, merged
from prepared_sets import built

# the table of Xu and Mao's page: numbers of positive, neutral and negative labels of words and picture -> label
RULE = {
    ("positive", "positive"): "positive",
    ("positive", "neutral"): "positive",
    ("neutral", "negative"): "negative",
    ("negative", "negative"): "negative",
    ("neutral", "neutral"): "neutral",
    ("positive", "negative"): None,
}


@pytest.mark.parametrize(("annotated", "label"), RULE.items())
def test_the_published_table_either_way_round(annotated, label):
    assert merged(*annotated) == merged(*reversed(annotated)) == label


def test_two_of_three_must_agree():
    assert agreed(["neutral", "positive", "neutral"]) == "neutral"
    assert agreed(["neutral", "positive", "negative"]) is None
    assert agreed(["negative"]) == "negative"
    assert merged(None, "positive") is merged("neutral", None) is None


def write(folder, lines, texts):
    (folder / "data").mkdir(parents=True)
    for number, content in texts.items():
        (folder / "data" / f"{number}.txt").write_bytes(content)
        Image.new("RGB", (2, 2)).save(folder / "data" / f"{number}.jpg")
    (folder / "labelResultAll.txt").write_text("\n".join(["ID\ttext,image", *lines]) + "\n")


def test_single_and_encodings(tmp_path):
    texts = {n: f"tweet {n % 30}".encode() for n in range(1, 61)}
    texts[1], texts[2] = "caf\xe9 \n good".encode("latin-1"), "caf\xe9".encode()
    labels = ["positive,positive", "neutral,positive", "positive,negative"] * 20
    write(tmp_path / "raw", [f"{n}\t{labels[n - 1]}" for n in texts], texts)
    data, rows = built(Mvsa, tmp_path / "raw", tmp_path / "home")
    assert len(rows) == 40 and {row["sentiment"] for row in rows} == {"positive"}
    assert rows[0]["text"] == "café good" and rows[1]["text"] == "café"
    assert any("20 tweets are left out: one is positive, the other negative" in note for note in data.notes)
    by_text = {}
    for row in rows:
        by_text.setdefault(row["text"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in by_text.values())
    assert {row["split"] for row in rows} == {"train", "val", "test"}


def test_multiple(tmp_path):
    lines = [
        "5\tneutral,positive\tneutral,positive\tpositive,negative",
        "6\tneutral,positive\tpositive,positive\tnegative,negative",
    ]
    write(tmp_path / "raw", lines, {5: b"a", 6: b"b"})
    data, rows = built(Mvsa, tmp_path / "raw", tmp_path / "home", only=["all"])
    assert [(row["id"], row["sentiment"], row["text_sentiment"]) for row in rows] == [("5", "positive", "neutral")]
    assert any("1 tweets are left out: no two annotators agree" in note for note in data.notes)


def test_another_line_is_named(tmp_path):
    write(tmp_path / "raw", ["5\tgood,bad"], {5: b"a"})
    with pytest.raises(DataError, match="labelResultAll.txt, line 2: '5\tgood,bad' is no number with pairs"):
        built(Mvsa, tmp_path / "raw", tmp_path / "home")
