"""docs/your_own_fusion.md, done as it is written, in an empty folder."""

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "your_own_fusion.md"


def blocks():
    """The page's indented blocks, in order."""
    found = re.findall(r"(?m)(?:^(?: {4}.*)?\n)+", PAGE.read_text(encoding="utf-8"))
    return [re.sub(r"(?m)^ {4}", "", block).strip("\n") for block in found if block.strip()]


def written(block, folder):
    """Writes or mends the file that a block shows; whether it shows one."""
    if match := re.match(r"# (\S+\.(?:py|yaml))\n", block):
        (folder / match[1]).write_text(block + "\n", encoding="utf-8")
        return True
    if match := re.match(r"# in (\S+), instead of\n(.*\n)# write\n(.*)$", block, re.DOTALL):
        text = (folder / match[1]).read_text(encoding="utf-8")
        assert text.count(match[2].strip()) == 1
        (folder / match[1]).write_text(text.replace(match[2].strip(), match[3].strip()), encoding="utf-8")
        return True
    return False


def do(command, folder):
    """Runs one command of the page."""
    program, *words = shlex.split(command.replace("\\\n", " "))
    start = [sys.executable]
    if program != "python":
        start += ["-m", f"mmbert.cli.{program.removeprefix('mmbert-').replace('-', '_')}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*start, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
def test_the_page_does_what_it_says(tmp_path):
    ran, told = [], {}
    checks = 0
    for block in blocks():
        if written(block, tmp_path) or block.startswith("FAIL"):
            continue
        assert block.startswith(("mmbert-", "python ")), block
        done = do(block, tmp_path)
        checks += block.startswith("mmbert-check-fusion")
        failing = block.startswith("mmbert-check-fusion") and checks == 1
        assert done.returncode == (1 if failing else 0), f"{block}\n{done.stdout}\n{done.stderr}"
        ran.append(block.split()[0])
        told[len(ran)] = done.stdout + done.stderr
        if failing:
            shown = [one for one in blocks() if one.startswith("FAIL")]
            assert re.findall(r"(?m)^  (FAIL .*)$", done.stdout) == "\n".join(shown).splitlines()
    assert ran == [
        *("mmbert-list", "mmbert-new-fusion", "mmbert-check-fusion", "mmbert-check-fusion", "python"),
        *("mmbert-train", "mmbert-train", "mmbert-train", "mmbert-report", "mmbert-predict"),
        *("mmbert-train", "mmbert-check-fusion"),
    ]
    assert "left out, which it does not take: num_layers, num_heads, normalize, dropout" in told[7]
    results = list(csv.DictReader((tmp_path / "report" / "results.csv").open()))
    assert sorted(row["fusion"] for row in results) == ["concat"] * 2 + ["mean"] * 2 + ["my_fusion"] * 2
    assert all((tmp_path / "outputs" / name / "metrics.json").is_file() for name in ("first", "second", "theirs"))


def test_the_pages_class_breaks_and_keeps_the_laws_as_it_says_and_its_commands_are_right(tmp_path, monkeypatch, capsys):
    import hydra

    from mmbert.cli import check_fusion, new_fusion
    from mmbert.cli.app import flags_first
    from mmbert.cli.options.check import check_words
    from mmbert.cli.sweep.search_path import PACKAGE, add_standing_folder
    from mmbert.testing import check_fusion as laws_of

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    new_fusion.write(new_fusion.contents("my_fusion", seeds=2), tmp_path)
    found = blocks()
    mending = next(number for number, block in enumerate(found) if block.startswith("# in my_fusion.py"))
    for block in found[:mending]:
        written(block, tmp_path)
    broken = laws_of(load(tmp_path), raise_on_failure=False, dims={"a": 3, "b": 4}).broken
    assert [f"FAIL  {law}" for law in broken] == [block for block in found if block.startswith("FAIL")]
    for block in found[mending:]:
        written(block, tmp_path)
    assert laws_of(load(tmp_path), raise_on_failure=False, dims={"a": 3, "b": 4}, sharpness=2).broken == []
    add_standing_folder()
    commands = [shlex.split(block.replace("\\\n", " ")) for block in found if block.startswith("mmbert-")]
    with hydra.initialize_config_module(PACKAGE, version_base="1.3"):
        for program, *words in commands:
            if program == "mmbert-train":
                plain = [word for word in flags_first(words) if not word.startswith("-")]
                check_words(plain, "train", sweep="-m" in words)
    for program, *words in commands:
        if program == "mmbert-check-fusion":
            given = check_fusion.parser().parse_args(words)
            assert check_fusion.chosen(given.fusion, given.set)


def load(folder):
    """The page's class, read anew."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("page_fusion", folder / "my_fusion.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MyFusion
