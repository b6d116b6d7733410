"""docs/your_own_fusion.md, done as it is written, in an empty folder."""

import csv
import re
import shlex

import pytest

PAGE = "your_own_fusion.md"


@pytest.mark.slow
def test_the_page_does_what_it_says(doc_page, tmp_path):
    page = doc_page(PAGE, tmp_path)
    failing = page.commands("mmbert-check-fusion")[0]
    printed = []
    for block in page.blocks:
        if page.write(block) or block.startswith("FAIL"):
            continue
        done = page.run(block)
        assert done.returncode == (1 if block == failing else 0), f"{block}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout + done.stderr)
        if block == failing:
            assert re.findall(r"(?m)^  (FAIL .*)$", done.stdout) == page.failures
    assert page.ran == [
        *("mmbert-list", "mmbert-new-fusion", "mmbert-check-fusion", "mmbert-check-fusion", "python"),
        *("mmbert-train", "mmbert-train", "mmbert-train", "mmbert-report", "mmbert-predict"),
        *("mmbert-train", "mmbert-check-fusion"),
    ]
    assert "left out, which it does not take: num_layers, num_heads, normalize, dropout" in printed[6]
    results = list(csv.DictReader((tmp_path / "report" / "results.csv").open()))
    assert sorted(row["fusion"] for row in results) == ["concat"] * 2 + ["mean"] * 2 + ["my_fusion"] * 2
    assert all((tmp_path / "outputs" / name / "metrics.json").is_file() for name in ("first", "second", "theirs"))


def test_the_pages_class_breaks_and_keeps_the_laws_as_it_says_and_its_commands_are_right(
    doc_page, tmp_path, monkeypatch
):
    from mmbert.cli import new_fusion, scaffold
    from mmbert.cli.check_fusion import FUSION, parser
    from mmbert.cli.contract_check import target_and_options
    from mmbert.testing import check_fusion

    monkeypatch.chdir(tmp_path)
    page = doc_page(PAGE, tmp_path)
    scaffold.write_files(new_fusion.contents("my_fusion", seeds=2), tmp_path)
    page.write_until_mending()
    dims = {"a": 3, "b": 4}
    broken = check_fusion(page.load("my_fusion").MyFusion, dims, raise_on_failure=False).broken
    assert [f"FAIL  {law}" for law in broken] == page.failures
    page.write_after_mending()
    assert check_fusion(page.load("my_fusion").MyFusion, dims, raise_on_failure=False, sharpness=2).broken == []
    page.check_train_commands()
    for command in page.commands("mmbert-check-fusion"):
        given = parser().parse_args(shlex.split(command)[1:])
        assert target_and_options(given.fusion, given.set, FUSION)
