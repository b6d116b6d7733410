"""mmbert-new-task, in this process, in an empty folder."""

import inspect
import sys

import pytest
import yaml

from mmbert.cli import new_task, scaffold
from mmbert.core.errors import ConfigError
from mmbert.testing import check_task


@pytest.fixture
def here(here, monkeypatch):
    monkeypatch.syspath_prepend(here)
    yield here
    sys.modules.pop("my_task", None)


def test_what_is_generated_keeps_the_contract_and_its_file_names_every_option(here):
    scaffold.write_files(new_task.contents("my_task"), here)
    from my_task import MyTask

    check_task(MyTask)
    given = yaml.safe_load((here / "task" / "my_task.yaml").read_text())
    arguments = inspect.signature(MyTask).parameters
    assert {*given, "in_dim"} == {"_target_", *arguments}
    assert (given["column"], given["classes"]) == ("???", None)
    assert all(given[name] == arguments[name].default for name in ("weight", "dropout"))


def test_three_files_are_written(here, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mmbert-new-task", "my_task"])
    new_task.main()
    printed = capsys.readouterr().out
    files = ["my_task.py", "task/my_task.yaml", "test_my_task.py"]
    assert all((here / name).is_file() and name in printed for name in files)
    assert len((here / "test_my_task.py").read_text().splitlines()) == 3
    assert "mmbert-check-task my_task\nmmbert-train +task@tasks.mine=my_task tasks.mine.column=COLUMN\n" in printed


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("classification", "The package has a task 'classification'"),
        ("torch", "a Python module 'torch' already"),
        ("MyTask", "small letters"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(here, name, message):
    with pytest.raises(ConfigError, match=message):
        new_task.contents(name)


def test_what_is_generated_trains(here, train):
    scaffold.write_files(new_task.contents("my_task"), here)
    from mmbert.cli.sweep.search_path import add_working_folder

    add_working_folder()
    ended = train("+task@tasks.mine=my_task", "tasks.mine.column=label", "plots=false")
    assert ended.code == 0, ended.err
    assert "test/mine/accuracy" in (here / "out" / "metrics.json").read_text()
