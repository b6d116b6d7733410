"""Rows become samples; what is wrong with a row is told with its file and number, before training where possible."""

import json
import pickle
import traceback

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from torch import tensor

from mmbert.core.errors import DataError, InputError
from mmbert.core.types import UNLABELLED
from mmbert.data.loading.cached import StoredTokens
from mmbert.data.loading.collate import Collate
from mmbert.data.loading.dataset import SampleDataset
from mmbert.data.loading.samplers import LazyLoader
from mmbert.data.modalities.registry import modality_of
from mmbert.data.tables.row_checks import check_files, check_labels, check_rows
from mmbert.data.tables.table import Table
from mmbert.tasks.base import Task
from mmbert.tasks.classification import Classification
from mmbert.tasks.regression import Regression

COVERS = ("collate",)


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


TASKS = {"class": Classification(1, "label", ["a", "b"]), "size": Regression(1, "number")}


def dataset_of(table, rows=None, columns=NAMES, processors=TRIO, tasks=TASKS):
    return SampleDataset(table, range(len(table)) if rows is None else rows, columns, processors, tasks)


def test_a_row_becomes_a_sample_and_an_empty_cell_a_missing_modality_or_label(folder):
    table = table_of(folder, "unused,,,,", "four,files/a.png,files/a.wav,b,2.5", ",files/a.png,,,")
    dataset = dataset_of(table, rows=[2, 1])
    assert len(dataset) == 2
    first, second = dataset[0], dataset[1]
    assert (first.prepared, first.row) == ({"text": None, "image": 7.0, "audio": None}, 2)
    assert (second.prepared, second.row) == ({"text": 4.0, "image": 7.0, "audio": 4_000.0}, 1)  # half a second at 8 kHz
    assert first.targets == {"class": None, "size": None}
    assert second.targets == {"class": 1, "size": 2.5}


def test_samples_are_collated_by_each_processor(folder):
    table = table_of(folder, "four,files/a.png,files/a.wav,b,2.5", ",files/a.png,,,")
    dataset = dataset_of(table)
    batch = Collate(TRIO, tasks=TASKS)([dataset[1], dataset[0]])
    assert len(batch) == 2
    assert batch.rows.tolist() == [1, 0]
    assert batch.rows.dtype == torch.int64
    assert batch.inputs["text"]["mask"].tolist() == [[False], [True]]
    assert batch.inputs["image"]["values"].tolist() == [[7.0], [7.0]]
    assert batch.targets["class"]["label"].tolist() == [UNLABELLED, 1]
    assert batch.targets["class"]["label"].dtype == torch.int64
    assert batch.targets["size"]["label"].isnan().tolist() == [True, False] and batch.targets["size"]["label"][1] == 2.5
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
    assert dataset[0].targets == {"class": None, "size": None}


class Words(Task):
    """Labels the words of a text: a letter a word, given to each of its tokens."""

    aligned_to = ("text",)

    def encode(self, cells, prepared, draw=None):
        if cells["label"] is None or prepared["text"] is None:
            return None
        return [cells["label"][word] if word >= 0 else "-" for word in prepared["text"]["word_ids"].tolist()]


class Tokens(Plain):
    """A processor whose tokens are letters."""

    def alignment(self, raw):
        words = [raw[:i].count(" ") if letter != " " else -1 for i, letter in enumerate(raw)]
        return {"word_ids": tensor(words)}


def test_a_task_sees_which_token_is_which_word_also_when_its_tokens_are_stored(folder):
    class Store:
        def row(self, row):
            return "stored" if row == 1 else None

    table = table_of(folder, "ab c,,,xy,", "d ef,,,zw,", ",files/a.png,,xy,", "a,,,,")
    processors = {**TRIO, "text": Tokens("text")}
    dataset = SampleDataset(table, range(4), NAMES, processors, {"tags": Words(1, "label")}, sources={"text": Store()})
    assert [dataset[i].targets["tags"] for i in range(4)] == [["x", "x", "-", "y"], ["z", "-", "w", "w"], None, None]
    assert dataset[1].prepared["text"] == "stored"


def test_a_batch_of_nothing_but_copies_says_that_it_has_no_alignment(folder):
    """As the last batch of one of two processes may be."""
    table = table_of(folder, "ab c,,,xy,", "d ef,,,zw,")
    processors = {**TRIO, "text": Tokens("text")}
    dataset = SampleDataset(table, range(2), NAMES, processors, {"tags": Words(1, "label")})
    assert Collate(processors)([dataset[-1]]).alignments == {"text": [None]}
    mixed = Collate(processors)([dataset[1], dataset[-1]]).alignments["text"]
    assert mixed[0]["word_ids"].tolist() == [0, -1, 1, 1] and mixed[1] is None


def test_a_task_may_read_several_columns_or_none(folder):
    class Both(Task):
        columns = ("label", "number", "absent")

        def __init__(self):
            super().__init__(1)
            self.columns = Both.columns

        def encode(self, cells, prepared, draw=None):
            if cells["label"] == "c":
                raise DataError("no c")
            return dict(cells)

    table = table_of(folder, "x,,,a,2", "x,,,c,")
    dataset = dataset_of(table, tasks={"both": Both(), "none": Task(1)})
    assert dataset[0].targets == {"both": {"label": "a", "number": "2", "absent": None}, "none": True}
    assert dataset[-1].targets == {"both": None, "none": None}  # a copy that fills up a batch
    batch = Collate(TRIO, tasks={"none": Task(1)})([dataset[0], dataset[-1]])
    assert batch.targets["none"]["counted"].tolist() == [True, False]
    with pytest.raises(DataError, match=r"row 2 \(line 3\), columns 'label', 'number', 'absent': no c"):
        dataset[1]


def test_a_fault_in_a_task_keeps_its_traceback_and_names_the_row(folder):
    class Faulty(Task):
        def encode(self, cells, prepared, draw=None):
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError) as caught:
        dataset_of(table_of(folder, "x,,,a,"), tasks={"bad": Faulty(1, "label")})[0]
    assert "while encoding the label of" in caught.value.__notes__[0] and "row 1 (line 2), column 'label'" in str(
        caught.value.__notes__
    )


class MaskedLetters(Task):
    """Hides some texts' lengths and asks for them."""

    changes_inputs = ("text",)

    def change_inputs(self, inputs, draws, targets):
        hidden = torch.tensor([draw % 2 == 0 for draw in draws])
        values = inputs["text"]["values"]
        changed = {**inputs["text"], "values": values.masked_fill(hidden.unsqueeze(1), -1.0)}
        return {"text": changed}, {"hidden": hidden, "length": values.squeeze(1).clone()}


def test_a_task_may_change_what_encoders_read_and_the_draws_follow_from_seed_epoch_and_row(folder):
    table = table_of(folder, *[f"{'x' * (i + 1)},,,a," for i in range(12)])
    tasks = {"masked": MaskedLetters(1), "class": Classification(1, "label", ["a", "b"])}
    dataset = SampleDataset(table, range(12), NAMES, TRIO, tasks, seed=3, changing=True)
    collate = Collate(TRIO, tasks=tasks, changing=True)

    def batch_of(epoch, places):
        return collate([dataset[epoch, place] for place in places])

    first = batch_of(0, range(12))
    hidden = first.targets["masked"]["hidden"]
    assert first.targets["masked"]["length"].tolist() == list(range(1, 13)) and 0 < hidden.sum() < 12
    assert torch.equal(first.inputs["text"]["values"].squeeze(1) == -1, hidden)
    assert first.targets["masked"]["counted"].all() and first.targets["class"]["label"].tolist() == [0] * 12
    again = batch_of(0, [11, 4]).targets["masked"]["hidden"]
    assert again.tolist() == hidden[[11, 4]].tolist()
    assert batch_of(1, range(12)).targets["masked"]["hidden"].tolist() != hidden.tolist()
    plain = Collate(TRIO, tasks=tasks)([SampleDataset(table, range(12), NAMES, TRIO, tasks)[0]])
    assert plain.inputs["text"]["values"].tolist() == [[1.0]] and "hidden" not in plain.targets["masked"]


def test_a_dataset_travels_to_workers_without_the_tables_cells_and_the_heads_weights(folder):
    tasks = {"class": Classification(100_000, "label", ["a", "b"]).without_weights()}
    dataset = dataset_of(table_of(folder, *[f"{'x' * 1_000},,,," for _ in range(100)]), tasks=tasks)
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
    with pytest.raises(DataError, match=r"row 3 \(line 4\): every modality is missing \(text is empty\)\. Fill"):
        check_rows(table, [0, 2], {"text": "text"})


def test_the_first_bad_label_is_named_and_each_label_is_tried_once(folder):
    class Counting(Classification):
        def encode(self, cells, prepared, draw=None):
            tried.append(cells["label"])
            return super().encode(cells, prepared, draw)

    table = table_of(folder, *["x,,,a,"] * 50, "x,,,,", *["x,,,b,"] * 50, "x,,,c,", "x,,,c,")
    tried = []
    check_labels(table, range(101), {"class": Counting(1, "label", ["a", "b"])})
    assert tried == ["a", "b"]
    message = (
        r"row 102 \(line 103\), column 'label': the label 'c' is no class.*or say what.*"
        r"tasks.kind.classes=\[...\]\. data.on_error=skip leaves"
    )
    with pytest.raises(DataError, match=message):
        check_labels(table, range(103), {"kind": TASKS["class"]})
    with pytest.raises(
        DataError, match=r"row 1 .*'a' is no finite number\. Mend the cell, or empty it \(.*ordinary\)\. data"
    ):
        check_labels(table, range(103), {"size": Regression(1, "label")})
    check_labels(table, range(103), {"kind": Classification(1, "absent", ["a", "b"])})
    check_labels(table, range(103), {"tags": Words(1, "label")})  # no cell alone says whether its label is one


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
    class Lists(Task):
        def encode(self, cells, prepared, draw=None):
            if cells["tags"] == ["x"]:
                raise DataError("no x")

    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(json.dumps({"text": "t", "tags": tags}) for tags in (["a"], [], ["x"])))
    with pytest.raises(DataError, match=r"m.jsonl, row 3 \(line 3\), column 'tags': no x"):
        check_labels(Table(path), range(3), {"tags": Lists(1, "tags")})


class Moments(Task):
    """Counts the tokens of a sound; a label above their number is refused."""

    aligned_to = ("audio",)
    aligned_kinds = ("audio",)

    def encode(self, cells, prepared, draw=None):
        if cells["number"] is None or prepared["audio"] is None:
            return None
        count = len(prepared["audio"]["times"])
        if float(cells["number"]) > count:
            raise DataError(f"more than {count}")
        return count


class Ticks(Plain):
    """A processor with a token for every thousand samples, which knows this of what is prepared or stored too."""

    def __init__(self):
        super().__init__("audio")
        self.read = 0

    def alignment(self, raw):
        self.read += 1
        return self.alignment_of(self.prepare(raw))

    def alignment_of(self, prepared):
        return self.alignment_of_tokens(int(prepared) // 1000)

    def alignment_of_tokens(self, count):
        return {"times": torch.zeros(count, 2)}


def test_a_task_sees_when_tokens_are_without_reading_a_sound_again(folder):
    class Store:
        def row(self, row):
            tokens = {1: np.zeros((3, 2)), 2: None}
            return StoredTokens(tokens[row], np.zeros(2)) if row in tokens else None

    table = table_of(folder, *[",,files/a.wav,,1"] * 3, ",files/a.png,,,1")
    ticks = Ticks()
    processors = {**TRIO, "audio": ticks}
    dataset = SampleDataset(table, range(4), NAMES, processors, {"m": Moments(1, "number")}, sources={"audio": Store()})
    assert [dataset[i].targets["m"] for i in (0, 1)] == [8, 3] and ticks.read == 0
    assert dataset[2].targets["m"] == 8 and ticks.read == 1  # of the vector alone nothing can be told
    assert dataset[3].targets["m"] is None
