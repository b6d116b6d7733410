"""``mmbert-check-data model=RUN`` as it is typed: its files, privacy, and how mistakes end."""

import json
import shutil
import sys

import pandas as pd
import pytest
import yaml

from mmbert.analysis.data_quality import folds
from mmbert.cli import check_data
from mmbert.core.errors import ConfigError


def ended(given, monkeypatch, capsys, folder):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["mmbert-check-data", *map(str, given)])
    try:
        check_data.main()
        code = 0
    except SystemExit as end:
        code = end.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


FILES = ("--html", "page.html", "--json", "found.json", "--csv", "rows.csv")
WORDS = ("folds=2", "trainer.max_epochs=1", "data.num_workers=0", "trust_custom_code=true")


def test_the_worst_are_shown(finished_run, monkeypatch, capsys, tmp_path):
    code, out, err = ended([f"model={finished_run}", *WORDS, *FILES], monkeypatch, capsys, tmp_path)
    assert code == 0, err
    found = json.loads((tmp_path / "found.json").read_text())
    assert "label errors of answer" in out and "AUROC of planted mismatches" in out
    assert set(found["contradictions"]) == {"answer", "seen", "heard", "operation", "properties"}
    assert found["label_errors"]["answer"]["scored"] + found["label_errors"]["answer"]["class_not_met"] == found["rows"]
    page = (tmp_path / "page.html").read_text()
    assert "data:image/" in page and "data:audio/wav" in page and "odd one out" in page
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == found["rows"] + 1


def test_a_run_whose_task_was_guessed_is_checked(tmp_path, monkeypatch, capsys):
    """The plainest run: a table with a column called label, no word on tasks."""
    from mmbert.cli import train

    colours = ["blue" if number % 3 else "red" for number in range(36)]
    splits = ["train"] * 24 + ["val"] * 6 + ["test"] * 6
    texts = [f"{colour} thing number {number}" for number, colour in enumerate(colours)]
    pd.DataFrame({"split": splits, "text": texts, "label": colours}).to_csv(tmp_path / "my.csv", index=False)
    words = ["data=manifest", f"data.path={tmp_path / 'my.csv'}", "logger=none", "trainer=cpu"]
    words += [
        "text=tiny",
        "image=none",
        "audio=none",
        "fusion=concat",
        "trainer.max_epochs=1",
        "data.num_workers=0",
        "plots=false",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mmbert-train", *words])
    train.main()
    capsys.readouterr()
    given = [f"model={tmp_path / 'run'}", "folds=2", *FILES]
    code, out, err = ended(given, monkeypatch, capsys, tmp_path)
    assert code == 0, err
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["rows"] == 36 and found["label_errors"]["label"]["scored"] == 36
    assert list(pd.read_csv(tmp_path / "rows.csv")["label/given"].value_counts()) == [24, 12]


@pytest.mark.slow
def test_a_private_run_shows_numbers_alone(finished_run, monkeypatch, capsys, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["privacy"] = {"samples": False, "mask": []}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    code, out, err = ended([f"model={run}", *WORDS, *FILES], monkeypatch, capsys, tmp_path)
    assert code == 0, err
    page = (tmp_path / "page.html").read_text()
    assert 'src="' not in page and "suggested" not in page and "given" not in out
    assert "/given" not in (tmp_path / "rows.csv").read_text()
    assert '"given"' not in (tmp_path / "found.json").read_text()


def test_folds_are_made_of_the_runs_groups_and_classes(finished_run, digits, monkeypatch, capsys, tmp_path):
    """Rows of a group that lay on both sides of a fold would let its model know what it is asked."""
    seen = {}

    def stop(rows, strata, groups, count, seed):
        seen.update(rows=rows, strata=strata, groups=groups, count=count, seed=seed)
        raise ConfigError("that is enough")

    monkeypatch.setattr(folds, "make_folds", stop)
    words = [f"model={finished_run}", "folds=3", "seed=7", "data.split.group=wording", "trust_custom_code=true"]
    code, _, err = ended(words, monkeypatch, capsys, tmp_path)
    assert code == 2 and "that is enough" in err
    assert (seen["count"], seen["seed"]) == (3, 7)
    table = pd.read_csv(digits, dtype=str, keep_default_na=False).iloc[seen["rows"]]
    for column, codes in {"wording": seen["groups"], "answer": seen["strata"]}.items():
        pairs = set(zip(table[column], codes.tolist(), strict=True))
        assert len(pairs) == table[column].nunique() == len(set(codes.tolist())) > 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["folds=1"], "folds=1: a whole number from 2 to 50"),
        (["fold=3"], "folds"),
        (["--htm", "a.html"], "--html, --json, --csv"),
        (["data.batchsize=3"], "batch_size"),
    ],
)
def test_mistakes_end_with_a_line(finished_run, words, told, monkeypatch, capsys, tmp_path):
    code, _, err = ended([f"model={finished_run}", *words], monkeypatch, capsys, tmp_path)
    assert code == 2 and told in err and "Traceback" not in err
