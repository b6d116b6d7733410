"""``mmbert-check-data``: what it shows, and how it ends."""

import csv
import json
import shutil

import pytest

from mmbert.cli import check_data
from mmbert.core.errors import ConfigError


@pytest.fixture
def table(digits, tmp_path):
    """A copy of the tiny demo set whose rows may be changed: ``table(changes)`` with changes by row."""
    folder = tmp_path / "set"
    shutil.copytree(digits.parent, folder)

    def changed(changes=()):
        rows = list(csv.DictReader(digits.open()))
        for row, cells in dict(changes).items():
            rows[row].update(cells)
        with (folder / "my.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        return folder / "my.csv"

    return changed


def ended(words, monkeypatch, capsys, tmp_path):
    """Exit code, and what was printed and told."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["mmbert-check-data", *words])
    monkeypatch.setenv("COLUMNS", "120")
    try:
        check_data.main()
        code = 0
    except SystemExit as end:
        code = end.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def words(path, *more):
    return [
        "data=manifest",
        f"data.path={path}",
        "+task@tasks.asked=classification",
        "tasks.asked.column=operation",
        *more,
    ]


def test_warnings_alone_end_well(table, monkeypatch, capsys, tmp_path):
    code, out, _ = ended(words(table(), "--json", "found.json", "--html=page.html"), monkeypatch, capsys, tmp_path)
    assert code == 0, out
    assert "Classes of asked" in out and "audio seconds" in out and "no errors" in out
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["splits"]["train"]["rows"] == 48
    assert sum(found["splits"]["test"]["labels"]["asked"].values()) == 17
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_errors_in_the_data(table, monkeypatch, capsys, tmp_path):
    path = table({3: {"image": "nowhere.png"}, 70: {"operation": "divide"}})
    code, out, err = ended(words(path, "--html", "page.html"), monkeypatch, capsys, tmp_path)
    assert code == 1 and not err
    assert "image, column 'image': there is no such file (1 row): row 4 (line 5) nowhere.png" in out
    assert "'divide' is no class of the train split" in out and "2 errors" in out
    assert "nowhere.png" in (tmp_path / "page.html").read_text()


def test_numbers_that_are_none_are_findings(table, monkeypatch, capsys, tmp_path):
    path = table({0: {"value": "many"}})
    given = ["data=manifest", f"data.path={path}", "+task@tasks.size=regression", "tasks.size.column=value"]
    code, out, _ = ended(given, monkeypatch, capsys, tmp_path)
    assert code == 1 and "many" in out and "size, column 'value'" in out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["data=manifest", "data.path=nowhere.csv"], "nowhere.csv: there is no such file"),
        (["data=manifets"], "manifest"),
        (["--htlm", "x.html"], "'--htlm' is no flag"),
        (["--html"], "--html needs the name of a file"),
        (["--json=no/such/folder.json"], "there is no folder no/such"),
    ],
)
def test_what_cannot_be_checked(given, message, monkeypatch, capsys, tmp_path):
    code, _, err = ended(given, monkeypatch, capsys, tmp_path)
    assert code == 2 and message in err and "Traceback" not in err


def test_no_encoder_is_told():
    with pytest.raises(ConfigError, match="nothing to check"):
        check_data.data_to_check(check_data.compose_train_config(["text=none", "image=none", "audio=none"]))


def test_a_tokenizer_that_is_not_there_is_a_warning_and_no_end(table, tmp_path):
    name = f"encoders.text.name={tmp_path / 'none'}"
    cfg = check_data.compose_train_config(words(table(), name, "image=none", "audio=none"))
    _, encoders, _, (fault,) = check_data.data_to_check(cfg)
    assert encoders["text"].limit is None and fault.severity == "warning"
    assert fault.what.startswith("text: which rows are longer than max_tokens is not known. The text model")
    cfg.encoders.text.name = "tiny"
    _, encoders, _, faults = check_data.data_to_check(cfg)
    limit = encoders["text"].limit
    assert (limit.option, limit.most, limit.ceiling) == ("max_tokens", 128, 128) and not faults


def test_help(monkeypatch, capsys, tmp_path):
    code, out, _ = ended(["--help"], monkeypatch, capsys, tmp_path)
    assert code == 0 and out == check_data.CHECK_DATA_USAGE
