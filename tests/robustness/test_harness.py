"""The harness itself: every way in which a reader may end is told apart, and the same seed does the same damage."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from random import Random

import pytest

from damage_harness import runner
from damage_harness.mutate_bytes import damage_file_bytes, damaged_bytes
from damage_harness.mutate_media import damage_media
from damage_harness.mutate_tables import damage_table
from damage_harness.mutate_trees import damage_json, damage_yaml, damaged_tree
from damage_harness.runner import FAULTS, GOOD, all_subjects, counts, markdown, run_cases
from damage_harness.subject import Lost, Subject
from mmbert.core.errors import DataError

#: How the reader below ends, by seed.
ENDINGS = (
    "success",
    "error",
    "traceback",
    "hang",
    "nonsense",
    "memory",
    "much",
    "lost",
    "dies",
    "prints",
    "no file",
    "exit",
    "last",
)


class Endings(Subject):
    """Nothing is damaged but a number, which says how the reader ends."""

    name = "endings"
    seconds = 1.0

    def make(self, folder):
        (folder / "number").write_text("0")

    def damage(self, draw, folder):
        drawn = draw.random()
        number = next(n for n in range(len(ENDINGS)) if Random(f"endings {n}").random() == drawn)
        (folder / "number").write_text(str(number))
        return ENDINGS[number]

    def use(self, folder):
        ending = ENDINGS[int((folder / "number").read_text())]
        if ending == "error":
            raise DataError(f"{folder / 'number'} is no number.")
        if ending == "no file":
            raise DataError("something is wrong.")
        if ending == "traceback":
            raise KeyError("x")
        if ending == "lost":
            raise Lost("another file is gone")
        if ending == "exit":
            raise SystemExit(1)
        if ending == "hang":
            time.sleep(60)
        if ending == "memory":
            bytearray(2**36)  # beyond the limit of the process
        if ending == "much":
            b"x" * 2**27
        if ending == "dies":
            os.kill(os.getpid(), 9)
        if ending == "prints":
            os.write(2, b"Traceback (most recent call last)\n")
        return ending

    def wrong(self, found, whole, what):
        return "another answer" if found == "nonsense" else ""


def test_every_ending_is_told_apart(monkeypatch):
    monkeypatch.setattr(runner, "MEMORY_LIMIT", 2**26)
    found = {outcome.what: outcome.kind for outcome in run_cases(Endings(), range(len(ENDINGS)))}
    assert found == {
        **{kind: kind for kind in (*GOOD, *FAULTS)},
        "much": "memory",
        "dies": "traceback",
        "prints": "traceback",
        "no file": "nonsense",
        "exit": "traceback",
        "last": "success",  # after those that hung and died
    }


def test_a_reader_that_fails_with_whole_files_is_no_reader():
    class Broken(Endings):
        def use(self, folder):
            raise KeyError("x")

    with pytest.raises(AssertionError, match="KeyError"):
        run_cases(Broken(), [0])


def test_counts_add_up():
    table = counts(run_cases(Endings(), [0, 1, 2, 2]))
    assert table["endings"] == {"inputs": 4, "success": 1, "error": 1, "traceback": 2} | dict.fromkeys(FAULTS[1:], 0)
    assert markdown(table).splitlines()[-1] == "| **all** | 4 | 1 | 1 | 2 | 0 | 0 | 0 | 0 |"


def written(folder: Path) -> list[Path]:
    """A file of each kind that is damaged."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = [{"text": f"word {number}", "label": "ab"[number % 2], "size": number / 2} for number in range(8)]
    files = {
        "a.bin": bytes(range(256)),
        "a.json": json.dumps({"a": [1, 2.5, "x"], "b": {"c": None, "d": True}}).encode(),
        "a.csv": b"text,label\n" + b"".join(f"word {number},{'ab'[number % 2]}\n".encode() for number in range(8)),
        "a.tsv": b"text\tlabel\nx\ta\ny\tb\n",
        "a.jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in rows),
    }
    files["a.yaml"] = files["a.json"]
    for name, content in files.items():
        (folder / name).write_bytes(content)
    parquet.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("suffix", [".bin", ".json", ".yaml", ".csv", ".tsv", ".jsonl", ".parquet"])
def test_damage_follows_from_the_seed_and_is_never_the_same_for_long(tmp_path, suffix):
    path = next(path for path in written(tmp_path) if path.suffix == suffix)
    damage = {".bin": damage_file_bytes, ".json": damage_json, ".yaml": damage_yaml}.get(suffix, damage_table)
    whole = path.read_bytes()
    found = []
    for seed in [*range(60), *range(60)]:
        path.write_bytes(whole)
        what = damage(Random(seed), path)
        found.append((what, path.read_bytes()))
    assert found[:60] == found[60:]
    assert len(set(found)) > 30 and sum(content != whole for _, content in found) > 80


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.wav", "a.npy"])
def test_damage_to_media_follows_from_the_seed(tmp_path, name):
    import numpy as np
    from PIL import Image

    path = tmp_path / name
    if name == "a.png":
        Image.new("RGB", (9, 9), (1, 2, 3)).save(path)
    elif name == "a.npy":
        np.save(path, np.arange(6.0))
    else:
        path.write_bytes(b'<svg width="9" height="9"/>' if name == "a.svg" else bytes(range(200)))
    whole, found = path.read_bytes(), []
    for seed in [*range(60), *range(60)]:
        path.write_bytes(whole)
        found.append((damage_media(Random(seed), path), path.read_bytes()))
    assert found[:60] == found[60:]
    assert len(set(found)) > 30 and sum(content != whole for _, content in found) > 80


def test_bytes_that_are_not_there_can_be_damaged_too():
    assert damaged_bytes(Random(0), b"")[1]


def test_the_whole_tree_is_left_as_it_is():
    tree = {"a": [1, {"b": 2}]}
    changed = [damaged_tree(Random(seed), tree)[1] for seed in range(50)]
    assert tree == {"a": [1, {"b": 2}]} and sum(one != tree for one in changed) > 40


def test_subjects_have_names_of_their_own():
    names = [subject.name for subject in all_subjects()]
    assert len(set(names)) == len(names)
