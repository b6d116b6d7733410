"""What tests in several folders share: a tiny copy of the demo set and runs on it, and pages of docs/ to be run."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from absl import logging as absl_logging

# before torch or wandb are imported: tests share two cores, and nothing of theirs leaves the machine or lands at home
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# datasets reads this as it is imported, which a test file may do before any fixture runs
DATASETS_CACHE = tempfile.TemporaryDirectory(prefix="mmbert-tests-")
os.environ["HF_DATASETS_CACHE"] = DATASETS_CACHE.name

# tests import rouge-score while pytest stands in for the standard error: see mmbert/tasks/text_metrics/rouge_library.py
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory):
    """Caches of the tests' own, so that nothing found at home can make a test pass."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MMBERT_HOME", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
            patch.setenv(name, str(folder / name.lower()))
        yield folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """manifest.csv of a tiny talking_digits: 48 train, 16 val, 17 test and 12 test_missing rows."""
    from mmbert.data.digits.build import TalkingDigitsOptions, build_talking_digits

    options = TalkingDigitsOptions(train=48, val=16, test=17, test_missing=12, train_voices=3, test_voices=2)
    return build_talking_digits(tmp_path_factory.mktemp("digits") / "set", options)


@pytest.fixture(scope="session")
def tiny_run_words(digits):
    """The words of a run of seconds, tiny encoders on the tiny demo set."""
    # so few rows do not show every class in train
    numbers = [str(n) for n in range(13)]
    classes = {
        "answer": [str(n) for n in range(-12, 25)],
        "seen": numbers,
        "heard": numbers,
        "operation": ["add", "distance", "larger", "smaller", "subtract", "subtract_from"],
        "properties": ["even", "odd", "prime", "square", "above_nine", "negative"],
    }
    return [
        "data=manifest",
        f"data.path={digits}",
        "tasks=talking_digits",
        "text=tiny",
        "image=tiny",
        "audio=tiny",
        "logger=csv",
        "trainer=cpu",
        "plots=false",  # they cost more than everything else of so small a run
        "trainer.max_epochs=2",
        "data.num_workers=0",
        "data.batch_size=16",
        "fusion.out_dim=16",
        *(f"tasks.{task}.classes={names}" for task, names in classes.items()),
    ]


@pytest.fixture(scope="session")
def compose_tiny(tiny_run_words):
    """``compose_tiny("fusion=mean", ...)``: the config of a run of seconds, tiny encoders on the tiny demo set."""
    from hydra import compose, initialize_config_module

    def make(*overrides: str):
        with initialize_config_module("mmbert.conf", version_base="1.3"):
            return compose("train", overrides=[*tiny_run_words, *overrides])

    return make


@pytest.fixture(scope="session")
def finished_run(compose_tiny, tmp_path_factory):
    """The folder of a finished tiny run with the default strategy, measured on test and test_missing."""
    from mmbert.training.run import run

    folder = tmp_path_factory.mktemp("run")
    run(compose_tiny("+data.splits.test_missing=test_missing", "logger=csv"), folder)
    return folder


@pytest.fixture(scope="session")
def what_is_left():
    """``what_is_left(folder)``: what a run leaves that interruptions, workers and company must not change."""

    def left(folder):
        metrics = json.loads((folder / "metrics.json").read_text())
        return {
            "metrics": {key: value for key, value in metrics.items() if "/" in key},
            "checkpoint": metrics["checkpoint"],
            "steps": metrics["steps"],
            "model": (folder / "model" / "model.safetensors").read_bytes(),
            "predictions": (folder / "predictions" / "test.parquet").read_bytes(),
            "history": (folder / "history.csv").read_text().splitlines(),
        }

    return left


@pytest.fixture(scope="session")
def offline_wandb():
    """``.story(folder)`` of the one offline wandb run in a folder; the files of its ``.artifact(folder, name)``."""
    return SimpleNamespace(story=wandb_story, artifact=wandb_artifact)


def wandb_records(run_dir):
    """The records of the one offline run in a folder: blocks of 32 KiB, each piece with a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    (path,) = run_dir.glob("wandb/offline-run-*/run-*.wandb")
    data, place, pieces, records = path.read_bytes(), 7, b"", []
    assert data[:4] == b":W&B"
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # no room for a header: the block's rest is padding
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        pieces += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            records.append(wandb_internal_pb2.Record.FromString(pieces))
            pieces = b""
    return records


def finished_records(run_dir, seconds=20):
    """The records of a run that has been finished; its process may still be writing the last of them."""
    until = time.monotonic() + seconds
    while True:
        records = wandb_records(run_dir)
        if any(record.WhichOneof("record_type") == "exit" for record in records) or time.monotonic() > until:
            return records
        time.sleep(0.1)


def wandb_story(run_dir):
    """What an offline run says: its name, config, history, summary and exit code."""
    story = {"config": {}, "history": [], "summary": {}}
    for record in finished_records(run_dir):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            story |= {"name": record.run.display_name, "group": record.run.run_group, "tags": list(record.run.tags)}
            story |= {"id": record.run.run_id, "project": record.run.project, "job_type": record.run.job_type}
        if kind in ("run", "config"):
            put(story["config"], record.run.config.update if kind == "run" else record.config.update)
        if kind == "history":
            story["history"].append(put({}, record.history.item))
        if kind == "summary":
            put(story["summary"], record.summary.update)
        if kind == "exit":
            story["exit_code"] = record.exit.exit_code
    return story


def put(into, items):
    """Sets each item at its place; a nested one arrives leaf by leaf."""
    for item in items:
        *path, last = list(item.nested_key) or [item.key]
        place = into
        for key in path:
            place = place.setdefault(key, {})
        place[last] = json.loads(item.value_json)
    return into


def wandb_artifact(run_dir, name):
    """The files of an artifact that an offline run will upload, by their path in it."""
    records = [record.artifact for record in wandb_records(run_dir) if record.HasField("artifact")]
    (found,) = [artifact for artifact in records if name in artifact.name]
    return {entry.path: Path(entry.local_path) for entry in found.manifest.contents}


class DocPage:
    """A page of docs/ whose indented blocks are files to write, changes to make in them, and commands to run.

    Args:
        name: of the page.
        folder: where its files and commands belong.
    """

    def __init__(self, name: str, folder: Path) -> None:
        text = (Path(__file__).parents[1] / "docs" / name).read_text(encoding="utf-8")
        found = re.findall(r"(?m)(?:^(?: {4}.*)?\n)+", text)
        self.blocks = [re.sub(r"(?m)^ {4}", "", block).strip("\n") for block in found if block.strip()]
        self.failures = [line for block in self.blocks if block.startswith("FAIL") for line in block.splitlines()]
        self.folder = folder
        self.ran: list[str] = []

    def commands(self, program: str) -> list[str]:
        """The commands that begin with this program."""
        return [block for block in self.blocks if block.split()[0] == program]

    def write(self, block: str) -> bool:
        """Writes the file that a block shows or changes it; whether the block is of this sort."""
        if match := re.match(r"(?:# @package \S+\n)?# (\S+\.(?:py|yaml))\n", block):
            (self.folder / match[1]).parent.mkdir(exist_ok=True)
            (self.folder / match[1]).write_text(block + "\n", encoding="utf-8")
            return True
        if match := re.match(r"# in (\S+), instead of\n(.*\n)# write\n(.*)$", block, re.DOTALL):
            text = (self.folder / match[1]).read_text(encoding="utf-8")
            assert text.count(match[2].strip()) == 1
            (self.folder / match[1]).write_text(text.replace(match[2].strip(), match[3].strip()), encoding="utf-8")
            return True
        return False

    def write_until_mending(self) -> None:
        """Writes the files as the page first shows them."""
        for block in self.blocks[: self._mending()]:
            self.write(block)

    def write_after_mending(self) -> None:
        """Makes the page's changes and writes the files that come after them."""
        for block in self.blocks[self._mending() :]:
            self.write(block)

    def _mending(self) -> int:
        return next(number for number, block in enumerate(self.blocks) if re.match(r"# in \S+, instead of\n", block))

    def run(self, command: str) -> subprocess.CompletedProcess:
        """Runs one command of the page."""
        program, *words = shlex.split(command.replace("\\\n", " "))
        assert program == "python" or program.startswith("mmbert-"), command
        self.ran.append(program)
        start = [sys.executable]
        if program != "python":
            start += ["-m", f"mmbert.cli.{program.removeprefix('mmbert-').replace('-', '_')}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [*start, *words], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=900
        )

    def load(self, module: str):
        """A module that the page has written, read anew."""
        spec = importlib.util.spec_from_file_location(module, self.folder / f"{module}.py")
        found = importlib.util.module_from_spec(spec)
        sys.modules[module] = found
        spec.loader.exec_module(found)
        return found

    def check_train_commands(self) -> None:
        """Holds the words of the page's training commands against the configuration, without training."""
        import hydra

        from mmbert.cli.app import flags_first
        from mmbert.cli.options.check import check_words
        from mmbert.cli.sweep.search_path import PACKAGE, add_working_folder

        add_working_folder()
        with hydra.initialize_config_module(PACKAGE, version_base="1.3"):
            for command in self.commands("mmbert-train"):
                _, *words = shlex.split(command.replace("\\\n", " "))
                plain = [word for word in flags_first(words) if not word.startswith("-")]
                check_words(plain, "train", sweep="-m" in words)


@pytest.fixture
def doc_page(monkeypatch):
    """``doc_page("your_own_fusion.md", folder)``: a page whose modules are forgotten after the test."""
    before = set(sys.modules)

    def read(name: str, folder: Path) -> DocPage:
        monkeypatch.syspath_prepend(folder)
        return DocPage(name, folder)

    yield read
    for name in [name for name in set(sys.modules) - before if name.startswith(("my_", "their_"))]:
        del sys.modules[name]


#: Of the tiny Chinese BERT.
CHARACTERS = "张伟在北京大学读书我爱中国李娜去上海昨天今她的人是谁哪里？。，吗了"


@pytest.fixture(scope="session")
def chinese_bert(tmp_path_factory):
    """The folder of a tiny Chinese BERT, as a hub model would lie there: one token a character."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("chinese") / "bert"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "2023", *dict.fromkeys(CHARACTERS)]
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(words), **sizes, max_position_embeddings=64)).save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}, model_max_length=64).save_pretrained(folder)
    return folder
