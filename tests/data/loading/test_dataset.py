"""Rows become samples; what is wrong with a row is told with its file and number, before training where possible."""

import json
import pickle
import traceback

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from PIL import Image
from torch import tensor

from mmbert.core.errors import DataError, InputError
from mmbert.core.types import UNLABELLED
from mmbert.data.labels import ClassLabels, NumberLabels
from mmbert.data.loading.collate import Collate
from mmbert.data.loading.dataset import SampleDataset
from mmbert.data.loading.samplers import LazyLoader
from mmbert.data.modalities.registry import modality_of
from mmbert.data.tables.row_checks import check_files, check_labels, check_rows
from mmbert.data.tables.table import Table


class Plain:
    """A processor that prepares a value as a number: a text's length, a picture's red, a sound's length."""

    def __init__(self, kind, max_seconds=None):
        self.kind = kind
        if max_seconds is not None:
            self.max_seconds = max_seconds

    def prepare(self, raw):
        if raw == "refused":
            raise InputError("this text is refused.")
        if raw == "bug":
            raise ZeroDivisionError("a bug")
        if self.kind == "text":
            return float(len(raw))
        return float(raw.getpixel((0, 0))[0]) if self.kind == "image" else float(len(raw[0]))

    def collate(self, prepared):
        values = tensor([0.0 if value is None else value for value in prepared])
        return {"values": values.unsqueeze(1), "mask": tensor([[value is not None] for value in prepared])}


TRIO = {"text": Plain("text"), "image": Plain("image"), "audio": Plain("audio", max_seconds=0.5)}
NAMES = {name: name for name in TRIO}


def table_of(folder, *rows, header="text,image,audio,label,number"):
    path = folder / "m.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return Table(path)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "files").mkdir()
    Image.new("RGB", (2, 2), (7, 8, 9)).save(tmp_path / "files" / "a.png")
    soundfile.write(tmp_path / "files" / "a.wav", np.zeros(8_000), 8_000)
    return tmp_path


def dataset_of(table, rows=None, columns=NAMES, processors=TRIO, labels=None):
    codecs = {"class": ("label", ClassLabels(["a", "b"])), "size": ("number", NumberLabels())}
    return SampleDataset(table, range(len(table)) if rows is None else rows, columns, processors, labels or codecs)


def test_a_row_becomes_a_sample_and_an_empty_cell_a_missing_modality_or_label(folder):
    table = table_of(folder, "unused,,,,", "four,files/a.png,files/a.wav,b,2.5", ",files/a.png,,,")
    dataset = dataset_of(table, rows=[2, 1])
    assert len(dataset) == 2
    first, second = dataset[0], dataset[1]
    assert (first.prepared, first.row) == ({"text": None, "image": 7.0, "audio": None}, 2)
    assert (second.prepared, second.row) == ({"text": 4.0, "image": 7.0, "audio": 4_000.0}, 1)  # half a second at 8 kHz
    assert (int(first.targets["class"]), int(second.targets["class"])) == (UNLABELLED, 1)
    assert torch.isnan(first.targets["size"])
    assert second.targets["size"] == 2.5


def test_samples_are_collated_by_each_processor(folder):
    table = table_of(folder, "four,files/a.png,files/a.wav,b,2.5", ",files/a.png,,,")
    dataset = dataset_of(table)
    batch = Collate(TRIO)([dataset[1], dataset[0]])
    assert len(batch) == 2
    assert batch.rows.tolist() == [1, 0]
    assert batch.rows.dtype == torch.int64
    assert batch.inputs["text"]["mask"].tolist() == [[False], [True]]
    assert batch.inputs["image"]["values"].tolist() == [[7.0], [7.0]]
    assert batch.targets["class"].tolist() == [UNLABELLED, 1]
    assert batch.targets["class"].dtype == torch.int64
    assert batch.targets["size"][1] == 2.5
    assert list(batch.inputs) == list(TRIO)


def test_an_encoder_reads_the_column_it_is_given(folder):
    table = table_of(folder, "four,files/a.png,,,", "sixsix,,,,")
    processors = {"caption": Plain("text"), "scan": Plain("image")}
    dataset = dataset_of(table, columns={"caption": "text", "scan": "image"}, processors=processors)
    assert [dataset[i].prepared for i in (0, 1)] == [{"caption": 4.0, "scan": 7.0}, {"caption": 6.0, "scan": None}]


def test_a_table_without_the_label_column_is_unlabelled(folder):
    dataset = dataset_of(
        table_of(folder, "x", header="text"), columns={"text": "text"}, processors={"text": Plain("text")}
    )
    assert int(dataset[0].targets["class"]) == UNLABELLED


def noting(codec, asked):
    """The same codec, which notes the cells that it is asked for."""

    class Noting(type(codec)):
        def encode(self, cell):
            asked.append(cell)
            return super().encode(cell)

    codec.__class__ = Noting
    return codec


def test_a_label_that_is_met_again_is_not_encoded_again_up_to_a_limit(folder, monkeypatch):
    monkeypatch.setattr("mmbert.data.loading.dataset.REMEMBERED", 2)
    table = table_of(folder, *[f"x,,,{label},{i}" for i, label in enumerate(["a", "b", "c", "a", "", "c", "b"])])
    asked = []
    labels = {"class": ("label", noting(ClassLabels(["a", "b", "c"]), asked)), "size": ("number", NumberLabels())}
    dataset = dataset_of(table, labels=labels)
    targets = [dataset[i].targets for i in range(7)]
    assert [int(target["class"]) for target in targets] == [0, 1, 2, 0, UNLABELLED, 2, 1]
    assert [float(target["size"]) for target in targets] == [0, 1, 2, 3, 4, 5, 6]
    assert asked == ["a", "b", "c", None, "c"]  # a and b are remembered, and then there is no more room


def test_numbers_that_are_missing_take_the_room_of_one(folder, monkeypatch):
    monkeypatch.setattr("mmbert.data.loading.dataset.REMEMBERED", 2)
    nan = float("nan")
    columns = {"text": ["x"] * 6, "number": [nan, nan, nan, 1.0, nan, 1.0]}
    pq.write_table(pa.table(columns), folder / "numbers.parquet")  # NaN, where a CSV file has an empty cell
    asked = []
    labels = {"size": ("number", noting(NumberLabels(), asked))}
    dataset = dataset_of(Table(folder / "numbers.parquet"), processors={"text": TRIO["text"]}, labels=labels)
    values = [float(dataset[i].targets["size"]) for i in range(6)]
    np.testing.assert_array_equal(values, columns["number"])
    assert asked == [None, 1.0]


def test_a_dataset_travels_to_workers_without_the_tables_cells(folder):
    dataset = dataset_of(table_of(folder, *[f"{'x' * 1_000},,,," for _ in range(100)]))
    copy = pickle.dumps(dataset)
    assert len(copy) < 5_000
    assert pickle.loads(copy)[99].prepared["text"] == 1_000.0


# what goes wrong with one row, here or in a worker


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("row", "kind", "message"),
    [
        (
            "x,gone.png,,,",
            DataError,
            r"m.csv, row 2 \(line 3\), column 'image': .*gone.png: there is no such file.*Replace",
        ),
        ("x,,m.csv,,", DataError, r"m.csv, row 2 \(line 3\), column 'audio': .*this is no sound that can be read"),
        ("x,,,c,", DataError, r"m.csv, row 2 \(line 3\), column 'label': the label 'c' is no class.*Choices: a, b"),
        ("refused,,,,", InputError, r"m.csv, row 2 \(line 3\), column 'text': this text is refused\."),
    ],
)
def test_a_bad_row_is_named_and_its_message_is_no_traceback(row, kind, message, workers, folder):
    dataset = dataset_of(table_of(folder, "fine,,,,", row))
    loader = LazyLoader(dataset, batch_size=1, num_workers=workers, collate_fn=Collate(TRIO))
    with pytest.raises(kind, match=message) as caught:
        list(loader)
    assert type(caught.value) is kind
    told = str(caught.value)
    assert told.startswith(str(folder))
    assert "Traceback" not in told
    assert "Caught" not in told
    assert "\n" not in told


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_in_a_processor_keeps_its_traceback_and_says_which_row_met_it(workers, folder):
    dataset = dataset_of(table_of(folder, "fine,,,,", "bug,,,,"))
    loader = LazyLoader(dataset, batch_size=1, num_workers=workers, collate_fn=Collate(TRIO))
    with pytest.raises(ZeroDivisionError) as caught:
        list(loader)
    told = "".join(traceback.format_exception(caught.value))
    assert "a bug" in told
    assert f"while preparing {folder / 'm.csv'}, row 2 (line 3), column 'text'" in told


# checks before training


def test_rows_without_any_modality_are_refused_and_counted(folder):
    table = table_of(folder, "x,,,,", ",,,a,1", ",files/a.png,,,", ",,,,")
    check_rows(table, [0, 2], NAMES)
    with pytest.raises(
        DataError, match=r"m.csv, row 2 \(line 3\): every modality is missing \(text, image, audio are"
    ) as e:
        check_rows(table, range(4), NAMES)
    assert "(2 rows are like that.) Fill in one of them or remove the row." in str(e.value)
    with pytest.raises(DataError, match=r"row 3 \(line 4\): every modality is missing \(text are empty\)\. Fill"):
        check_rows(table, [0, 2], {"text": "text"})


def test_the_first_bad_label_is_named_and_each_label_is_tried_once(folder):
    class Counting(ClassLabels):
        def encode(self, cell):
            tried.append(cell)
            return super().encode(cell)

    table = table_of(folder, *["x,,,a,"] * 50, "x,,,,", *["x,,,b,"] * 50, "x,,,c,", "x,,,c,")
    tried = []
    check_labels(table, range(101), {"class": ("label", Counting(["a", "b"]))})
    assert tried == ["a", "b"]
    message = (
        r"row 102 \(line 103\), column 'label': the label 'c' is no class.*or say what.*tasks.kind.classes=\[...\]\.$"
    )
    with pytest.raises(DataError, match=message):
        check_labels(table, range(103), {"kind": ("label", ClassLabels(["a", "b"]))})
    with pytest.raises(
        DataError, match=r"row 1 .*'a' is no finite number\. Mend the cell, or empty it \(.*ordinary\)\.$"
    ):
        check_labels(table, range(103), {"size": ("label", NumberLabels())})
    check_labels(table, range(103), {"kind": ("absent", ClassLabels(["a"]))})


def test_missing_and_empty_files_are_found_before_they_are_read(folder):
    (folder / "zero.png").touch()
    rows = ["gone.png is text,files/a.png,,,", ",gone.png,,,", ",zero.png,,,", ",,files,,", "x,,,,"]
    table = table_of(folder, *rows)
    inputs = {name: modality_of(processor) for name, processor in TRIO.items()}
    check_files(table, [0, 4], NAMES, inputs)
    message = r"row 2 \(line 3\), column 'image': there is no file .*gone.png. \(2 files of this column are"
    with pytest.raises(DataError, match=message):
        check_files(table, range(5), NAMES, inputs)
    with pytest.raises(DataError, match=r"row 3 .*zero.png is empty \(0 bytes\)\. Paths are relative to the table"):
        check_files(table, [0, 2], NAMES, inputs)
    with pytest.raises(DataError, match=r"row 4 \(line 5\), column 'audio': .*files is no file"):
        check_files(table, [0, 3], NAMES, inputs)


def test_labels_that_are_lists_are_checked_too(tmp_path):
    class Lists:
        def encode(self, cell):
            if cell == ["x"]:
                raise DataError("no x")
            return tensor(0)

    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(json.dumps({"text": "t", "tags": tags}) for tags in (["a"], [], ["x"])))
    with pytest.raises(DataError, match=r"m.jsonl, row 3 \(line 3\), column 'tags': no x"):
        check_labels(Table(path), range(3), {"tags": ("tags", Lists())})
