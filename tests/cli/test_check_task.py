"""mmbert-check-task, in this process, in an empty folder."""

import re
import sys

import pytest

from mmbert.cli import check_task, new_task, scaffold
from mmbert.cli.app import run_plain
from mmbert.testing.task_contract import LAWS


@pytest.fixture
def generated(here, monkeypatch):
    """The folder one stands in, with ``my_task``."""
    monkeypatch.syspath_prepend(here)
    scaffold.write_files(new_task.contents("my_task"), here)
    yield here
    sys.modules.pop("my_task", None)


def run(capsys, *words):
    """Exit code, and what is printed."""
    capsys.readouterr()
    code = 0
    try:
        run_plain(check_task.answer, "mmbert-check-task", [*words])
    except SystemExit as leaving:
        code = leaving.code
    return code, *capsys.readouterr()


def test_what_is_generated_passes(generated, capsys):
    code, out, _ = run(capsys, "my_task", "--set", "dropout=0.5", "--cells", "[low, high, 3, high]")
    assert code == 0 and "MyTask: keeps the contract" in out and "FAIL" not in out
    assert len(re.findall(r"(?m)^  pass  ", out)) == len(LAWS)


def test_a_broken_law_is_reported_with_a_counter_example_and_exit_code_1(generated, capsys):
    source = (generated / "my_task.py").read_text()
    (generated / "my_task.py").write_text(source.replace('reduction="sum")', 'reduction="mean")'))
    code, out, _ = run(capsys, "my_task.MyTask", "--only", "the loss adds up over batches")
    assert code == 1 and "MyTask: breaks the contract" in out
    assert re.search(r"seen: in batches of \[1, 7\] samples, added up, loss.total is \d", out)
    assert "likely cause: total is a mean" in out


def test_classes_that_are_given_are_not_learnt(generated, capsys):
    words = ["my_task", "--cells", "[a, b, a, b]", "--only", "wrong labels raise DataError", "--wrong", "c"]
    assert run(capsys, *words)[0] == 0
    code, out, _ = run(capsys, *words, "--set", "classes=[a, b, c]")
    assert code == 1 and "the cell 'c' is encoded to 2" in out


WRONG = [
    (["my_tas"], "There is no task 'my_tas'.*Did you mean 'my_task'?"),
    (["my_task", "--set", "dropuot=3"], "my_task.MyTask takes no dropuot. Did you mean 'dropout'?"),
    (["my_task", "--cells", "low"], "--cells low: a list is wanted"),
    (["my_task", "--cells", "[low"], "the list cannot be read"),
    (["my_task", "--cells", "[low, high]"], "2 cells are too few"),
    (["my_task", "--texts", "[one, two]"], "2 texts for 8 cells"),
    (["mmbert.encoders.image.ImageEncoder", "--set", "name=tiny"], "ImageEncoder is no Task"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_a_wrong_word_is_answered(generated, capsys, words, message):
    code, out, err = run(capsys, *words)
    assert code == 2 and re.search(message, err) and not out
