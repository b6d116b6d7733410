"""``data=text``: splits are drawn with equal texts together, and the data module is one like any other."""

from mmbert.data.plain_text.data import PlainText

SPLIT = {"val": 0.2, "test": 0.2, "stratify": None, "group": "same"}


def texts_of(data):
    return {split: data.table.column("text", rows) for split, rows in data.rows.items()}


def test_equal_texts_are_in_one_split_and_equal_seeds_draw_equal_splits(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text("".join(f"line {i % 60}\n" for i in range(100)))
    first, again = (PlainText(tmp_path, folder=tmp_path / "home", split=SPLIT, num_workers=0) for _ in range(2))
    texts = texts_of(first)
    assert sorted(len(set(part)) for part in texts.values()) == [12, 12, 36]
    assert sum(map(len, texts.values())) == 200
    assert not set(texts["train"]) & set(texts["val"]) and not set(texts["test"]) & set(texts["train"] + texts["val"])
    assert texts_of(again) == texts
    other = PlainText(tmp_path, folder=tmp_path / "home", split={**SPLIT, "seed": 1}, num_workers=0)
    assert texts_of(other) != texts


def test_splits_by_file(tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.txt").write_text(f"{name} 1\n{name} 2\n")
    data = PlainText(tmp_path, folder=tmp_path / "home", split={**SPLIT, "group": "file"}, num_workers=0)
    files = [set(data.table.column("file", rows)) for rows in data.rows.values()]
    assert sorted(map(len, files)) == [1, 1, 3] and len(set.union(*files)) == 5
