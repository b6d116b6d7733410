"""Bad input, 2 of 4: tables and their cells. Each ends with code 2 and names the file, the row and what to do."""

import json

import numpy as np
import pytest
from omegaconf import OmegaConf

from mmbert.training.build import build

ROWS = [("red one", "a", "train"), ("blue two", "b", "train"), ("red three", "a", "val"), ("blue four", "b", "test")]
HEADER = ("text", "label", "split")


def table(*rows, header=HEADER, sign=",", end="\n"):
    return end.join(sign.join(row) for row in (header, *rows)) + end


REGRESSION = ["+task@tasks.score=regression", "tasks.score.column=label"]

TABLES = [
    # the file
    ("gone", None, [], "my.csv: there is no such file"),
    ("empty", "", [], "my.csv is empty (0 bytes)"),
    ("header alone", "text,label,split\n", [], "my.csv has no rows"),
    ("a cell too many", table(*ROWS, ("x", "a", "train", "?")), [], "row 5 (line 6) has 4 cells, but the header has 3"),
    ("another encoding", table(*ROWS).encode("utf-16"), [], "my.csv is not UTF-8"),
    ("latin-1", table(*ROWS, ("café", "a", "train")).encode("latin-1"), [], "my.csv is not UTF-8"),
    ("two columns alike", table(*ROWS, header=("text", "text", "split")), [], "two columns called 'text'"),
    # columns
    ("no text", table(*ROWS, header=("txt", *HEADER[1:])), [], "no column 'text'. Did you mean 'txt'?"),
    ("no label", table(*ROWS, header=("text", "lable", "split")), [], "no column 'label'"),
    ("no split", table(*ROWS, header=(*HEADER[:2], "fold")), [], "no column 'split'"),
    ("column option", table(*ROWS), ["data.columns.text=texts"], "no column 'texts'. Did you mean 'text'?"),
    ("task column", table(*ROWS), [*REGRESSION[:1], "tasks.score.column=lable"], "Did you mean 'label'?"),
    # labels
    ("a word for a number", table(*ROWS), REGRESSION, "'a' is no finite number"),
    (
        "no number among numbers",
        table(*[(t, str(i), s) for i, (t, _, s) in enumerate(ROWS)], ("x", "much", "test")),
        REGRESSION,
        "row 5 (line 6), column 'label': 'much' is no finite number. Mend the cell, or empty it",
    ),
    (
        "no number among those of training",
        table(("x", "much", "train"), *[(t, str(i), s) for i, (t, _, s) in enumerate(ROWS)]),
        REGRESSION,
        "row 1 (line 2), column 'label': 'much' is no finite number. Mend the cell, or empty it",
    ),
    (
        "a class unseen in training",
        table(*ROWS, ("green", "bb", "test")),
        [],
        "row 5 (line 6), column 'label': the label 'bb' is no class of the train split. Did you mean 'b'?",
    ),
    ("one class", table(*[(t, "a", s) for t, _, s in ROWS]), [], "'label' has the same label 'a' throughout"),
    ("no labels", table(*[(t, " ", s) for t, _, s in ROWS]), [], "'label' has no label in the train split"),
    # texts
    (
        "text of spaces only",
        table(*ROWS, ("  \t ", "a", "train")),
        [],
        "row 5 (line 6): every modality is missing (text is empty)",
    ),
    ("nobody is in train", table(*[(t, y, "test") for t, y, _ in ROWS]), [], "'train'"),
]


@pytest.mark.parametrize(("content", "words", "message"), [c[1:] for c in TABLES], ids=[c[0] for c in TABLES])
def test_a_table_that_cannot_be_used(stopped, here, content, words, message):
    (here / "my.csv").unlink()
    if content is not None:
        (here / "my.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    said = stopped(*words)
    assert message in said and "my.csv" in said


def test_a_path_that_is_a_folder(refused, here):
    (here / "set.csv").mkdir()
    assert "set.csv is a folder; data.path must name a table (.csv, .tsv, " in refused("data.path=set.csv")


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "byte-order mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["\\n", "Windows line ends"])
def test_byte_order_marks_and_windows_line_ends_are_read(passed, here, ending, mark, end):
    if ending == "jsonl":
        text = end.join(json.dumps(dict(zip(HEADER, row, strict=True))) for row in ROWS) + end
    else:
        text = table(*ROWS, sign="\t" if ending == "tsv" else ",", end=end)
    (here / f"t.{ending}").write_bytes(mark + text.encode())
    folder = passed(f"data.path=t.{ending}", "trainer.fast_dev_run=true")
    config = json.loads((folder / "model" / "config.json").read_text())
    assert config["tasks"]["label"]["args"]["classes"] == ["a", "b"]  # and not "b\r"


def test_a_text_of_spaces_beside_another_modality_is_a_missing_text(passed, here):
    np.save(here / "f.npy", np.ones((2, 3), np.float32))
    rows = [(*row, "f.npy") for row in ROWS]
    rows[0] = ("   ", *rows[0][1:])
    (here / "my.csv").write_text(table(*rows, header=(*HEADER, "face")))
    folder = passed("+features@encoders.face=sequence", "trainer.fast_dev_run=true")
    data = build(OmegaConf.load(folder / "config.yaml")).data
    samples = [data.dataset("train")[place].prepared for place in range(2)]
    assert [sample["text"] is None for sample in samples] == [True, False]
    assert all(sample["face"] is not None for sample in samples)


def test_a_text_of_ten_megabytes_is_cut_and_costs_no_time(passed, here):
    (here / "my.csv").write_text(table(*ROWS, ("word and " * 1_200_000, "a", "train")))
    folder = passed("encoders.text.max_tokens=64")
    assert json.loads((folder / "metrics.json").read_text())["fit_seconds"] < 20
