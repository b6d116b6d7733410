"""``mmbert-train`` as it is typed, in this process, in a folder with a small table."""

import functools
import json
import logging
import sys
from dataclasses import dataclass

import pytest

#: A run of a second, on texts alone.
TINY = [
    "data=manifest",
    "data.path=my.csv",
    "data.num_workers=0",
    "data.batch_size=4",
    *("text=tiny", "image=none", "audio=none"),
    *("fusion=mean", "fusion.out_dim=8"),
    *("trainer=cpu", "trainer.max_epochs=1", "trainer.enable_progress_bar=false"),
    *("logger=none", "plots=false"),
    "hydra.run.dir=out",
]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed and told."""

    code: int
    out: str
    err: str


@pytest.fixture
def tiny_words():
    """The words of a tiny run."""
    return [*TINY]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder one stands in, with ``my.csv``: 8 rows of train, 4 of val and 4 of test, two classes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("MMBERT_TRACEBACK", "0")
    rows = [f"word{i % 2} {i},{'ab'[i % 2]},{s}" for s, n in (("train", 8), ("val", 4), ("test", 4)) for i in range(n)]
    (tmp_path / "my.csv").write_text("\n".join(["text,label,split", *rows]) + "\n")
    return tmp_path


@pytest.fixture
def train(here, monkeypatch, capsys):
    """``train("seed=1", ...)``: a tiny run with these words behind its own."""
    from mmbert.cli import train as command

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def go(*words, base=TINY):
        monkeypatch.setattr(sys, "argv", ["mmbert-train", *base, *words])
        capsys.readouterr()
        try:
            command.main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return Ended(code, *capsys.readouterr())

    yield go
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def refused(here, train):
    """``refused("seed=x", ...)``: the message of a run that ends as a mistake should, with code 2 and no traceback."""

    def go(*words, **given):
        ended = train(*words, **given)
        assert ended.code == 2, ended.err
        assert "Traceback" not in ended.err
        (line,) = [line for line in ended.err.splitlines() if line.startswith("mmbert-train: ")]
        message = line.removeprefix("mmbert-train: ")
        if (here / "out" / "error.json").exists():
            told = json.loads((here / "out" / "error.json").read_text())
            assert told["message"].splitlines()[0] == message
            assert "traceback" not in told
        return message

    return go


@functools.cache
def composed(words):
    """The config of a tiny run; composing takes longer than most of these runs."""
    from hydra import compose, initialize_config_module

    with initialize_config_module("mmbert.conf", version_base="1.3"):
        return compose("train", overrides=[*TINY, *words])


@pytest.fixture
def stopped(here):
    """``stopped("text=none", ...)``: the message with which the run itself refuses, as ``error.json`` has it too.

    It costs a tenth of ``refused``, which shows how a command tells any such error.
    """
    from mmbert.core.errors import MmbertError
    from mmbert.training.run import run

    def go(*words):
        with pytest.raises(MmbertError) as caught:
            run(composed(words).copy(), here / "out")
        told = json.loads((here / "out" / "error.json").read_text())
        assert told["message"] == str(caught.value) and "traceback" not in told
        assert not (here / "out" / "metrics.json").exists()
        return str(caught.value)

    return go


@pytest.fixture
def passed(here):
    """``passed("text=none", ...)``: the folder of a run that must go well."""
    from mmbert.training.run import run

    def go(*words):
        run(composed(words).copy(), here / "out")
        return here / "out"

    return go
