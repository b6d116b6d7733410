"""docs/your_own_data.md, done as it is written, on a folder of files such as it describes."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "your_own_data.md"
SPEAKERS = ("anna", "berta", "cem", "dora", "emil", "fei", "gita", "hugo", "iris", "jan")


def blocks():
    """The page's indented blocks, in order."""
    found = re.findall(r"(?m)(?:^(?: {4}.*)?\n)+", PAGE.read_text(encoding="utf-8"))
    return [re.sub(r"(?m)^ {4}", "", block).strip("\n") for block in found if block.strip()]


@pytest.fixture
def recordings(digits, tmp_path):
    """``recordings/CLASS/SPEAKER/NAME.*`` made from the demo set, some files missing."""
    rows = [row for row in csv.DictReader(digits.open()) if row["heard"] and row["split"] != "test_missing"]
    for number, row in enumerate(rows):
        label = "odd" if int(row["heard"]) % 2 else "even"
        folder = tmp_path / "recordings" / label / SPEAKERS[number % len(SPEAKERS)]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:04}.txt").write_text(row["text"], encoding="utf-8")
        for name, ending in (("image", "png"), ("audio", "wav")):
            if row[name] and number % 7:
                shutil.copy(digits.parent / row[name], folder / f"{number:04}.{ending}")
    return tmp_path


def do(command, folder):
    """Runs one line of the page."""
    program, *words = shlex.split(command)
    start = [sys.executable]
    if program != "python":
        start += ["-m", f"mmbert.cli.{program.removeprefix('mmbert-').replace('-', '_')}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*start, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=500)


@pytest.mark.slow
def test_the_page_does_what_it_says(recordings):
    ran = []
    for block in blocks():
        if match := re.match(r"# (\S+\.(?:py|yaml))\n", block):
            target = recordings / match[1]
            target.parent.mkdir(exist_ok=True)
            target.write_text(block + "\n", encoding="utf-8")
        elif block.startswith(("mmbert-", "python ")):
            done = do(block, recordings)
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
            ran.append(block.split()[0] if block.startswith("mmbert") else block)
    assert ran == [
        "python make_table.py",
        *("mmbert-check-data", "mmbert-train", "mmbert-report", "mmbert-evaluate", "mmbert-predict"),
        "python use_it.py",
    ]
    table = list(csv.DictReader((recordings / "my.csv").open()))
    assert len(list((recordings / "multirun" / "first").glob("*/metrics.json"))) == 4
    results = list(csv.DictReader((recordings / "report" / "results.csv").open()))
    assert sorted(row["fusion"] for row in results) == ["concat", "concat", "mean", "mean"]
    assert (recordings / "report" / "report.md").is_file()
    evaluated = json.loads((recordings / "without_audio" / "evaluation.json").read_text())
    assert evaluated["dropped_modalities"] == ["audio"]
    assert len((recordings / "answers.jsonl").read_text().splitlines()) == len(table)
    speakers = [{table[row]["speaker"] for row in rows} for rows in split_rows(recordings)]
    assert not speakers[0] & speakers[1] and all(speakers)


def split_rows(folder):
    """The rows of val and of test, as the first run's predictions name them."""
    import pyarrow.parquet as pq

    predictions = folder / "multirun" / "first" / "0" / "predictions"
    return [pq.read_table(predictions / f"{split}.parquet")["row"].to_pylist() for split in ("val", "test")]


def test_the_pages_own_config_is_found_and_its_commands_are_right(tmp_path, monkeypatch):
    import hydra

    from mmbert.cli.app import flags_first
    from mmbert.cli.options.check import check_words
    from mmbert.cli.sweep.search_path import PACKAGE, add_working_folder

    commands = [shlex.split(block)[1:] for block in blocks() if block.startswith("mmbert-train")]
    (block,) = [block for block in blocks() if block.startswith("# data/mine.yaml")]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text(block + "\n")
    monkeypatch.chdir(tmp_path)
    add_working_folder()
    with hydra.initialize_config_module(PACKAGE, version_base="1.3"):
        for words in commands:
            check_words([word for word in flags_first(words) if not word.startswith("-")], "train", sweep="-m" in words)
        cfg = check_words(["data=mine"], "train")
    assert commands
    assert cfg.data.path == "my.csv" and cfg.data.split.group == "speaker" and cfg.data.batch_size == 32
