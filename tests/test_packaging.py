"""What a newcomer's first two commands rest on: ranges and pins that agree, and a set-up that runs once."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def requirements():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"].values()
    lines = [*setup["options"]["install_requires"].splitlines(), *"\n".join(extras).splitlines()]
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_is_tested_lies_in_the_ranges_that_are_declared():
    pinned = {canonical(name): version for name, version in pins().items()}
    for requirement in requirements():
        assert requirement.specifier.contains(pinned[canonical(requirement.name)]), str(requirement)


def test_all_extras_are_installed_beside_each_other_and_nothing_contradicts_them():
    """What ``pip check`` says, and that 'dev' holds every extra, so that the tests run with all of them at once."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = {
        name: {canonical(Requirement(line).name) for line in lines.splitlines() if line.strip()}
        for name, lines in setup["options.extras_require"].items()
    }
    missing = set().union(*extras.values()) - extras["dev"]
    assert not missing
    installed = {canonical(one.metadata["Name"]): one for one in distributions() if one.metadata["Name"]}
    wanted = [(one.metadata["Name"], line) for one in installed.values() for line in one.requires or ()]
    wanted += [("mmbert", str(one)) for one in requirements()]
    for name, line in wanted:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found = installed.get(canonical(requirement.name))
            assert found is not None, f"{name} wants {line}, which is not installed"
            assert requirement.specifier.contains(found.version, prereleases=True), f"{name} wants {line}"


def test_torch_torchvision_and_torchaudio_are_the_trio_that_works():
    assert [pins()[name] for name in ("torch", "torchvision", "torchaudio")] == ["2.11.0", "0.26.0", "2.11.0"]
    (torch,) = [requirement for requirement in requirements() if requirement.name == "torch"]
    assert not torch.specifier.contains("2.12.0")


@pytest.mark.slow
def test_torchaudio_is_imported_only_where_audio_is_processed():
    code = "import sys, mmbert.model, mmbert.encoders.text, mmbert.encoders.image, mmbert.training.run; "
    code += "sys.exit('torchaudio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_readme_says_what_mmbert_is_and_what_it_is_not():
    first = (ROOT / "README.md").read_text().partition("## ")[0]
    assert "multimodal fusion" in first
    assert re.search(r"\*\*not\*\* the multilingual encoder mmBERT \(`jhu-clsp/mmBERT-base`\)", first)
    assert "`text=mmbert_base`" in first and "not MMBT" in first


def test_the_workflow_types_what_people_type():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.findall(r"run: (.*)", workflow) == ["make check", "make test"]
    assert 'python: ["3.11", "3.12", "3.13"]' in workflow
    assert "exec make test" in (ROOT / ".ci" / "run").read_text()


@pytest.fixture
def checkout(tmp_path):
    """A folder with the set-up's files and an environment that looks finished."""
    for name in ("Makefile", "setup.cfg", "setup.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    os.symlink(sys.executable, tmp_path / ".venv" / "bin" / "python")
    (tmp_path / ".venv" / ".stamp").write_text(f"{tmp_path}\n")
    return tmp_path


def planned(folder, target):
    told = subprocess.run(["make", "-n", target], cwd=folder, capture_output=True, text=True, check=True)
    return told.stdout


@pytest.mark.parametrize("target", ["demo", "test", "check", "setup"])
def test_the_second_call_installs_nothing(checkout, target):
    assert ".ci/setup" not in planned(checkout, target)


@pytest.mark.parametrize("target", ["demo", "test"])
def test_a_first_call_a_changed_setup_and_a_moved_folder_install(checkout, target):
    later = (checkout / ".venv" / ".stamp").stat().st_mtime + 10
    os.utime(checkout / "setup.cfg", (later, later))
    assert ".ci/setup" in planned(checkout, target)
    os.utime(checkout / ".venv" / ".stamp", (later, later))
    assert ".ci/setup" not in planned(checkout, target)
    moved = checkout.rename(checkout.with_name(f"{checkout.name}-moved"))
    assert ".ci/setup" in planned(moved, target)
    shutil.rmtree(moved / ".venv")
    assert ".ci/setup" in planned(moved, target)


@pytest.mark.parametrize(
    ("free", "told"),
    [
        ({"here": 6, "tmp": 6}, "has 6 GB free; the install wants 7"),
        ({"here": 9, "tmp": 9, "disks": ("one", "one")}, "has 9 GB free; the install wants 10"),
        ({"here": 7, "tmp": 2}, "TMPDIR=/large/disk make setup"),
    ],
)
def test_too_small_a_disk_is_told_before_anything_is_downloaded(tmp_path, free, told):
    """``df`` says what it is told to; where the disks are large enough, the set-up goes on to look for a Python."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "setup", tmp_path / ".ci" / "setup")
    df = tmp_path / "bin" / "df"
    df.parent.mkdir()
    environment = {**os.environ, "PATH": f"{df.parent}:{os.environ['PATH']}", "PYTHON": "/no/python", "TMPDIR": "/tmp"}

    def setup(here, tmp, disks=("one", "two")):
        sizes = f"case $2 in .) k={here}000000 d={disks[0]};; *) k={tmp}000000 d={disks[1]};; esac"
        df.write_text(f'#!/bin/sh\n{sizes}\necho "Filesystem"\necho "$d 0 0 $k 0% /"\n')
        df.chmod(0o755)
        return subprocess.run(
            ["sh", tmp_path / ".ci" / "setup"], capture_output=True, text=True, env=environment, check=False
        )

    refused = setup(**free)
    assert refused.returncode == 1
    assert told in refused.stderr
    assert not (tmp_path / ".venv").exists()
    for enough in (setup(here=7, tmp=3), setup(here=10, tmp=10, disks=("one", "one"))):
        assert "GB" not in enough.stderr
        assert "/no/python is not a Python" in enough.stderr
