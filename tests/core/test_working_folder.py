"""Modules of the folder one stands in are found, come last, and stand in for nothing that is installed."""

import os
import subprocess
import sys

import pytest

from mmbert.core.errors import InputError
from mmbert.core.init_args import find_class
from mmbert.core.working_folder import (
    admit_working_folder,
    is_installed,
    lies_here,
    shadowed_hint,
    standing_in,
    working_folder,
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to stand in, with a module of one's own and one that has the name of an installed package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "a_module_of_mine.py").write_text("class Mine:\n    pass\n")
    marker = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
    (tmp_path / "rich.py").write_text(f"{marker}class Mine:\n    pass\n")
    yield tmp_path
    sys.modules.pop("a_module_of_mine", None)


def test_the_folder_comes_last_and_only_when_a_class_in_it_is_named(here):
    before = [*sys.path]
    find_class("rich.console.Console")
    admit_working_folder("json.JSONDecoder")
    assert sys.path == before
    assert find_class("a_module_of_mine.Mine").__module__ == "a_module_of_mine"
    assert sys.path == [*before, str(here)]
    admit_working_folder()
    assert sys.path == [*before, str(here)]


def test_a_module_with_the_name_of_an_installed_package_is_not_run_and_the_message_says_so(here, monkeypatch):
    monkeypatch.delitem(sys.modules, "rich", raising=False)
    with pytest.raises(
        InputError, match="'rich' has no class 'Mine'.*The 'rich' in the folder you stand in is not used"
    ):
        find_class("rich.Mine")
    with pytest.raises(InputError, match="rename yours"):
        find_class("rich.mine.Mine")
    assert not (here / "ran").exists()


def test_what_is_found_here_has_no_hint(here):
    assert lies_here("rich") and lies_here("a_module_of_mine") and not lies_here("nowhere") and not lies_here("a.b")
    assert shadowed_hint("a_module_of_mine.Mine", here / "a_module_of_mine.py") == ""
    assert shadowed_hint("nowhere.Mine") == ""
    assert is_installed("rich") and not is_installed("a_module_of_mine") and not is_installed("..")


def test_a_module_of_ones_own_that_cannot_be_imported_is_not_called_another(here):
    (here / "a_broken_module.py").write_text("from json import nothing_of_this_name\n")
    with pytest.raises(InputError, match="cannot import name 'nothing_of_this_name'") as refused:
        find_class("a_broken_module.Mine")
    assert "rename yours" not in str(refused.value)
    assert "rename yours" in shadowed_hint("rich.Mine")


def test_a_job_that_changes_its_folder_still_finds_what_lies_where_it_was_started(here, tmp_path_factory):
    with standing_in(str(here)):
        os.chdir(tmp_path_factory.mktemp("elsewhere"))
        assert working_folder() == str(here) and lies_here("a_module_of_mine")
    assert working_folder() == os.getcwd()


@pytest.mark.parametrize(
    "command",
    [["-m", "mmbert.cli.list", "fusion"], ["-X", "utf8", "-mmmbert.cli.study", "list"]]
    + [["-P", "-m", "mmbert.cli.study", "list"]],
)
def test_python_m_runs_nothing_of_the_folder_either(here, command):
    names = ("rich", "hydra", "yaml", "argparse", "typing", "numpy")
    for name in names:
        (here / f"{name}.py").write_text(f"open({str(here / 'ran')!r}, 'a').close()\n")
    (here / "hydra_plugins").mkdir()
    (here / "hydra_plugins" / "mine.py").write_text((here / "yaml.py").read_text())
    done = subprocess.run([sys.executable, *command], cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout and not (here / "ran").exists()
