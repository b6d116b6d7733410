"""``data=huggingface``: a set saved by the datasets library gives the samples that a table of the same files gives.

The library is imported by the tests one by one: it must not choose its cache before they have one of their own.
"""

import csv
import io

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.huggingface import HuggingFaceData, HuggingFaceTable
from mmbert.data.modalities.registry import modality_named
from mmbert.data.quality.check import EncoderInput, check_data


@pytest.fixture(scope="module")
def saved(digits, tmp_path_factory):
    """The tiny demo set as ``save_to_disk`` leaves it: bytes inside, classes as numbers, val called validation."""
    import datasets

    rows = list(csv.DictReader(digits.open()))
    names = sorted({row["operation"] for row in rows})
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "image": datasets.Image(decode=False),
            "audio": datasets.Audio(decode=False),
            "operation": datasets.ClassLabel(names=names),
            "properties": datasets.List(
                datasets.ClassLabel(names=["even", "odd", "prime", "square", "above_nine", "negative"])
            ),
        }
    )
    kinds = features["properties"].feature.names
    splits = {}
    for split, called in (
        ("train", "train"),
        ("val", "validation"),
        ("test", "test"),
        ("test_missing", "test_missing"),
    ):
        cells = [
            {
                "text": row["text"] or None,
                **{kind: stored(digits.parent, row[kind]) for kind in ("image", "audio")},
                "operation": names.index(row["operation"]),
                "properties": [kinds.index(name) for name in row["properties"].split("|") if name],
            }
            for row in rows
            if row["split"] == split
        ]
        # not from_list, which would import torchcodec for sounds
        splits[called] = datasets.Dataset(pa.Table.from_pylist(cells, schema=features.arrow_schema))
    folder = tmp_path_factory.mktemp("hf") / "set"
    datasets.DatasetDict(splits).save_to_disk(folder)
    return folder


def stored(folder, name):
    return {"bytes": (folder / name).read_bytes(), "path": name} if name else None


SPLITS = {"train": "train", "val": "validation", "test": "test", "test_missing": "test_missing"}


@pytest.fixture(scope="module")
def table(saved):
    return HuggingFaceTable(saved)


def test_cells_are_those_of_the_manifest(digits, table):
    rows = list(csv.DictReader(digits.open()))
    assert len(table) == len(rows)
    for row in (0, 1, 50, 70, len(rows) - 1):
        assert table.cell(row, "text") == (rows[row]["text"] or None)
        assert table.cell(row, "operation") == rows[row]["operation"]
        assert table.cell(row, "split") == rows[row]["split"].replace("val", "validation")
        assert table.cell(row, "properties") == rows[row]["properties"].split("|")
        for kind in ("image", "audio"):
            cell, expected = table.cell(row, kind), rows[row][kind]
            assert (cell is None) == (not expected)
            if expected:
                read = modality_named(kind).read
                got, wanted = read(cell, ""), read(expected, digits.parent)
                assert np.array_equal(
                    np.asarray(got[0] if kind == "audio" else got), np.asarray(wanted[0] if kind == "audio" else wanted)
                )
    for kind in ("text", "image", "audio"):
        assert table.empty(kind).tolist() == [not row[kind] for row in rows]


def test_rows_are_named_by_split(table, saved):
    assert table.where(0) == f"{saved}, split 'train', row 1"
    assert table.where(48) == f"{saved}, split 'validation', row 1"


def test_the_fingerprint_follows_the_content_alone(saved, tmp_path, table):
    import datasets

    again = datasets.load_from_disk(str(saved))
    again.save_to_disk(tmp_path / "other", num_shards={name: 3 if name == "train" else 1 for name in again})
    assert HuggingFaceTable(tmp_path / "other").fingerprint() == table.fingerprint()
    changed = again["test"].map(
        lambda row, place: {"text": "another" if place == 3 else row["text"]}, with_indices=True
    )
    datasets.DatasetDict({**again, "test": changed}).save_to_disk(tmp_path / "changed")
    assert HuggingFaceTable(tmp_path / "changed").fingerprint() != table.fingerprint()


def test_chosen_rows_keep_their_order(saved, tmp_path):
    import datasets

    part = datasets.load_from_disk(str(saved))["train"].select([5, 3, 9])
    part.save_to_disk(tmp_path / "part")
    whole, few = HuggingFaceTable(saved), HuggingFaceTable(tmp_path / "part")
    assert [few.cell(row, "text") for row in range(3)] == [whole.cell(row, "text") for row in (5, 3, 9)]


def test_the_worker_processes_get_the_same_cells(table):
    import pickle

    copy = pickle.loads(pickle.dumps(table))
    assert len(pickle.dumps(table)) < 5000
    assert copy.cell(3, "operation") == table.cell(3, "operation") and copy.where(50) == table.where(50)


def test_a_run_on_it_ends_with_the_manifests_numbers(compose_tiny, saved, tmp_path):
    import json

    from omegaconf import open_dict

    from mmbert.training.run import run

    metrics = []
    for kind in ("manifest", "huggingface"):
        cfg = compose_tiny("trainer.max_epochs=1")
        with open_dict(cfg):
            cfg.tasks = {"operation": cfg.tasks.operation}
            if kind == "huggingface":
                cfg.data._target_ = "mmbert.data.huggingface.HuggingFaceData"
                cfg.data.path = str(saved)
                cfg.data.splits.val = "validation"
        folder = tmp_path / kind
        folder.mkdir()
        run(cfg, folder)
        found = json.loads((folder / "metrics.json").read_text())
        metrics.append({key: value for key, value in found.items() if "/" in key})
    assert metrics[0] == metrics[1] and metrics[0]


def test_a_folder_of_pictures_with_metadata(tmp_path):
    folder = tmp_path / "pictures"
    for split in ("train", "validation"):
        (folder / split).mkdir(parents=True)
        lines = ["file_name,text,label"]
        for number in range(4):
            Image.new("RGB", (8, 6), (60 * number, 10, 20)).save(folder / split / f"{number}.png")
            lines.append(f"{number}.png,picture {number},{'dark' if number < 2 else 'light'}")
        (folder / split / "metadata.csv").write_text("\n".join(lines) + "\n")
    data = HuggingFaceData(folder, splits={"train": "train", "val": "validation", "test": None}, num_workers=0)
    assert sorted(data.column_names) == ["image", "label", "split", "text"]
    assert {name: len(rows) for name, rows in data.rows.items()} == {"train": 4, "val": 4}
    picture = modality_named("image").read(data.table.cell(2, "image"), data.path.parent)
    assert picture.getpixel((0, 0)) == (120, 10, 20)
    report = check_data(data, {kind: EncoderInput(modality_named(kind)) for kind in ("image", "text")}, {})
    assert [finding.what for finding in report.findings] == [
        "image: rows of 'val' whose content is in 'train' too, byte for byte",
        "text: rows of 'val' whose text is in 'train' too",
    ] or len(report.findings) == 2


def test_broken_bytes_are_told_with_their_row(tmp_path):
    import datasets

    features = datasets.Features({"image": datasets.Image(decode=False), "split": datasets.Value("string")})
    good = io.BytesIO()
    Image.new("RGB", (4, 4)).save(good, "PNG")
    cells = [{"image": {"bytes": content, "path": "x.png"}, "split": "a"} for content in (good.getvalue(), b"broken")]
    datasets.Dataset.from_list(cells, features=features).save_to_disk(tmp_path / "set")
    table = HuggingFaceTable(tmp_path / "set")
    with pytest.raises(DataError, match="the picture in the table \\('x.png'\\): this is no picture that can be read"):
        modality_named("image").read(table.cell(1, "image"), "")
    sound = io.BytesIO()
    soundfile.write(sound, np.zeros(0), 8000, format="WAV")
    with pytest.raises(DataError, match="the sound in the table: .*it has no samples"):
        modality_named("audio").read({"bytes": sound.getvalue(), "path": None}, "")
    with pytest.raises(DataError, match="neither bytes nor a path"):
        modality_named("audio").read({"bytes": None, "path": None}, "")


@pytest.mark.parametrize(
    ("path", "message"),
    [("nobody/nothing", "name of a data set on the hub"), ("empty", "The folder must be one of save_to_disk")],
)
def test_what_is_not_there(path, message, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message) as told:
        HuggingFaceData(path)
    assert f"data.path={path}: " in str(told.value)


def test_splits_can_be_drawn(saved):
    data = HuggingFaceData(
        saved, splits={"train": "train", "val": "drawn", "test": "test"}, split={"val": 0.25}, num_workers=0
    )
    assert {name: len(rows) for name, rows in data.rows.items()} == {"train": 36, "val": 12, "test": 17}
    assert isinstance(data, MultimodalData)


def test_splits_whose_class_names_stand_in_another_order_are_decoded_each_with_its_own(tmp_path):
    import datasets

    splits = {}
    for split, names in (("train", ["neg", "pos"]), ("test", ["pos", "neg"]), ("extra", ["pos", "mixed", "neg"])):
        texts = ["bad", "good", "bad"]
        features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
        codes = [names.index({"bad": "neg", "good": "pos"}[text]) for text in texts]
        splits[split] = datasets.Dataset.from_dict({"text": texts, "label": codes}, features=features)
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "set")
    table = HuggingFaceTable(tmp_path / "set")
    # a model that says neg of bad and pos of good is right on every row: with train's names for all, on none of test
    answers = ["neg" if text == "bad" else "pos" for text in table.column("text")]
    assert table.column("label") == answers and table.column("split") == [split for split in splits for _ in range(3)]


def test_splits_of_other_types_and_columns_are_one_table(tmp_path):
    import datasets

    splits = {
        "train": {"text": ["a", "b"], "label": [0, 1], "meta": [{"n": 1}, {"n": 2}]},
        "validation": {"text": ["c", None], "label": [0.0, None], "meta": ["x", "y"]},
        "test": {"text": ["d"], "label": ["1"]},
    }
    for split, columns in splits.items():
        datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "set" / split)
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "validation", "test"]}')
    table = HuggingFaceTable(tmp_path / "set")
    assert table.column("label") == ["0", "1", "0", None, "1"] and table.column("text")[2:] == ["c", None, "d"]
    with pytest.raises(DataError, match="'meta' cannot be read: its type is struct<n: int64> in split 'train', string"):
        table.column("meta")


@pytest.mark.parametrize(
    ("tables", "folder"),
    [(["train.csv", "test.csv"], "."), (["data/train.csv"], "data"), (["train/a.csv", "test/b.csv"], ".")],
)
def test_files_named_in_tables_are_relative_to_the_folder_of_the_tables(tmp_path, tables, folder):
    for name in tables:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text("image,text\na.png,x\n")
    assert HuggingFaceTable(tmp_path / "set").folder == tmp_path / "set" / folder
