"""mmbert-predict on a table: the answers of sample by sample, in either format, without labels; and its mistakes."""

import csv
import json

import pyarrow.parquet as pq
import pytest

from mmbert.cli.predict import main
from mmbert.core.errors import DataError
from mmbert.model import MultimodalModel
from mmbert.training.predict import predict_table, whole_table


@pytest.fixture(scope="module")
def unlabelled(digits, tmp_path_factory):
    """The test_missing rows with other column names, without a split and without labels; file names are absolute."""
    path = tmp_path_factory.mktemp("bare") / "bare.csv"
    rows = [row for row in csv.DictReader(digits.open()) if row["split"] == "test_missing"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["words", "image", "audio"])
        for row in rows:
            files = [str(digits.parent / row[name]) if row[name] else "" for name in ("image", "audio")]
            writer.writerow([row["text"], *files])
    return path


def test_words_for_a_missing_modality_are_no_text(finished_run, tmp_path):
    (tmp_path / "t.csv").write_text("text,image\nNA,a.png\nseven,\n")
    model = MultimodalModel.from_pretrained(finished_run / "model")
    (tmp_path / "a.png").write_bytes((finished_run / "config.yaml").read_bytes())  # never opened
    data, absent = whole_table(model, tmp_path / "t.csv", {}, {"na_values": ["NA"], "num_workers": 0})
    assert data.table.column("text") == [None, "seven"] and absent == ["audio"]


def predict(*words):
    try:
        main(list(words))
    except SystemExit as stop:
        return stop.code
    return 0


def test_a_table_gives_what_its_samples_give_in_both_formats(finished_run, unlabelled, tmp_path, capsys):
    rows = [
        {name: row[key] for name, key in (("text", "words"), ("image", "image"), ("audio", "audio")) if row[key]}
        for row in csv.DictReader(unlabelled.open())
    ]
    single = [MultimodalModel.from_pretrained(finished_run / "model").predict([row])[0] for row in rows]
    common = [f"model={finished_run}", f"table={unlabelled}", "columns.text=words", "num_workers=0", "batch_size=5"]
    assert predict(*common, f"out={tmp_path / 'a.jsonl'}") == 0
    assert f"{len(rows)} rows answered, 0 skipped" in capsys.readouterr().out
    assert predict(*common, f"out={tmp_path / 'new' / 'a.parquet'}", "device=cpu") == 0
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    table = pq.read_table(tmp_path / "new" / "a.parquet").to_pylist()
    assert [line["row"] for line in lines] == [item["row"] for item in table] == list(range(len(rows)))
    for said, line, item in zip(single, lines, table, strict=True):
        for task, answer in said.items():
            if isinstance(answer["prediction"], float):
                assert line[task]["prediction"] == pytest.approx(answer["prediction"], abs=1e-4)
            else:
                assert line[task]["prediction"] == item[f"{task}/prediction"] == answer["prediction"]
            if "probabilities" in answer:
                assert line[task]["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-5)
                assert item[f"{task}/probabilities"] == pytest.approx(answer["probabilities"], abs=1e-5)
    assert not list(tmp_path.glob("*.partial*"))


def test_what_the_table_lacks_is_missing(finished_run, tmp_path, capsys):
    (tmp_path / "texts.csv").write_text("text\nadd the two\nsubtract them\n")
    assert predict(f"model={finished_run}", f"table={tmp_path / 'texts.csv'}", f"out={tmp_path / 'o.jsonl'}") == 0
    assert "no column for image, audio" in capsys.readouterr().out
    (expected, _) = MultimodalModel.from_pretrained(finished_run / "model").predict(
        [{"text": "add the two"}, {"text": "subtract them"}]
    )
    first = json.loads((tmp_path / "o.jsonl").read_text().splitlines()[0])
    assert first["answer"]["prediction"] == expected["answer"]["prediction"]


def test_unreadable_rows_stop_or_are_listed_and_nothing_is_lost(finished_run, tmp_path, capsys):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    (tmp_path / "t.csv").write_text("text,audio\nadd,\nadd,\nadd,bad.wav\nadd,\n")
    words = [f"model={finished_run}", f"table={tmp_path / 't.csv'}", "batch_size=1", "num_workers=0"]
    assert predict(*words, f"out={tmp_path / 'o.jsonl'}") == 2
    assert "row 3 (line 4)" in capsys.readouterr().err
    assert len((tmp_path / "o.partial.jsonl").read_text().splitlines()) == 2
    assert predict(*words, f"out={tmp_path / 'o.jsonl'}", "on_error=skip") == 0
    assert [json.loads(line)["row"] for line in (tmp_path / "o.jsonl").read_text().splitlines()] == [0, 1, 3]
    listed = list(csv.DictReader((tmp_path / "o.skipped.csv").open()))
    assert [item["row"] for item in listed] == ["3"] and "no sound" in listed[0]["reason"]


def test_an_interrupted_parquet_file_can_be_read(finished_run, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    (tmp_path / "t.csv").write_text("text,audio\nadd,\nadd,bad.wav\n")
    model = MultimodalModel.from_pretrained(finished_run / "model")
    with pytest.raises(DataError):
        predict_table(model, tmp_path / "t.csv", tmp_path / "o.parquet", batch_size=1, num_workers=0)
    assert pq.read_table(tmp_path / "o.partial.parquet")["row"].to_pylist() == [0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Where shall the answers go"),
        (["out=a.csv"], "the ending says which"),
        (["out=a.jsonl", "batchsize=3"], "Did you mean 'batch_size'?"),
        (["out=a.jsonl", "batch_size=0"], "a whole number of at least 1"),
        (["out=a.jsonl", "on_error=ignore"], "raise or skip"),
        (["out=a.jsonl", "trusted=no"], "trusted=no: true or false"),
        (["out=a.jsonl", "columns.text=words", "trusted=false"], "lies outside the table's folder"),
        (["out=a.jsonl", "device=quantum"], "device=quantum cannot be used"),
        (["out=a.jsonl", "columns.text=wrds"], "Did you mean 'words'?"),
        (["out=a.jsonl", "columns.txt=words"], "the model has no such modality. Did you mean 'text'?"),
    ],
)
def test_mistakes_are_told(finished_run, unlabelled, capsys, monkeypatch, tmp_path, words, message):
    monkeypatch.chdir(tmp_path)
    assert predict(f"model={finished_run}", f"table={unlabelled}", *words) == 2
    assert message in capsys.readouterr().err
