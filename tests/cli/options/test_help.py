"""``--help``: which groups and choices it lists, those of the working folder among them."""

import subprocess
import sys

import pytest

from mmbert.cli.options.help import group_choices, print_help, subfolders


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a strategy, a group of its own in ``conf/``, a study, and a folder that is no group."""
    for path in ("fusion/mine.yaml", "conf/lab/first.yaml", "experiments/study.yaml", "pictures/cat.yaml"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_choices_of_the_package_and_of_the_folder(here):
    found = group_choices()
    assert {"mean", "mine"} <= set(found["fusion"]) and found["fusion"] == sorted(found["fusion"])
    assert found["lab"] == ["first"]
    assert {"fusion_comparison", "study"} <= set(found["experiment"])
    assert "pictures" not in found and "hydra" not in found


def test_the_page_names_the_command_every_group_and_the_flags(here, capsys):
    print_help("mmbert-train")
    page = capsys.readouterr().out
    assert page.startswith("usage: mmbert-train [group=choice ...]") and "{command}" not in page
    listed = page.partition("their choices:")[2].splitlines()
    lines = dict(line.split(maxsplit=1) for line in listed if line.startswith("  "))
    assert lines["lab"] == "first" and "mine" in lines["fusion"].split(", ")
    assert lines["--traceback"] == "show where an error comes from"


def test_hidden_folders_and_files_are_no_groups(tmp_path):
    for name in ("text", "_private", ".git"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    assert subfolders(tmp_path) == {"text"}
    assert subfolders(tmp_path / "gone") == set()


def test_neither_hydra_nor_torch_is_imported_for_it():
    code = "import sys\nfrom mmbert.cli.options.help import print_help\nprint_help('x')\n"
    code += "sys.exit(len({'hydra', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0
