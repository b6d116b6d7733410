"""docs/your_own_task.md, done as it is written, in an empty folder."""

import re

import pytest

PAGE = "your_own_task.md"


@pytest.mark.slow
def test_the_page_does_what_it_says(doc_page, tmp_path):
    page = doc_page(PAGE, tmp_path)
    failing = page.commands("mmbert-check-task")[0]
    for block in page.blocks:
        if page.write(block) or block.startswith("FAIL"):
            continue
        done = page.run(block)
        assert done.returncode == (1 if block == failing else 0), f"{block}\n{done.stdout}\n{done.stderr}"
        if block == failing:
            assert re.findall(r"(?m)^  (FAIL .*)$", done.stdout) == page.failures
    assert page.ran == [
        *("mmbert-list", "mmbert-new-task", "mmbert-check-task", "mmbert-check-task", "python"),
        *("mmbert-train", "mmbert-predict"),
    ]
    assert (tmp_path / "outputs" / "first" / "metrics.json").is_file()


def test_the_pages_class_breaks_and_keeps_the_laws_as_it_says(doc_page, tmp_path, monkeypatch):
    from mmbert.cli import new_task, scaffold
    from mmbert.testing import check_task

    monkeypatch.chdir(tmp_path)
    page = doc_page(PAGE, tmp_path)
    scaffold.write_files(new_task.contents("my_task"), tmp_path)
    page.write_until_mending()
    task = page.load("my_task").MyTask
    assert [f"FAIL  {law}" for law in check_task(task, raise_on_failure=False).broken] == page.failures
    page.write_after_mending()
    mended = page.load("my_task").MyTask
    assert check_task(mended, raise_on_failure=False).broken == []
    assert check_task(mended, [1, 2, 3, 2, 5, 4], raise_on_failure=False).broken == []
    page.check_train_commands()
