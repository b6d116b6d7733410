"""docs/your_own_encoder.md, done as it is written, in an empty folder."""

import re

import pytest

PAGE = "your_own_encoder.md"


@pytest.mark.slow
def test_the_page_does_what_it_says(doc_page, tmp_path):
    page = doc_page(PAGE, tmp_path)
    failing = page.commands("mmbert-check-encoder")[0]
    for block in page.blocks:
        if page.write(block) or block.startswith("FAIL"):
            continue
        done = page.run(block)
        assert done.returncode == (1 if block == failing else 0), f"{block}\n{done.stdout}\n{done.stderr}"
        if block == failing:
            assert re.findall(r"(?m)^  (FAIL .*)$", done.stdout) == page.failures
    assert page.ran == [
        *("mmbert-list", "mmbert-new-encoder", "mmbert-check-encoder", "mmbert-check-encoder", "python"),
        *("mmbert-train", "mmbert-predict"),
    ]
    assert (tmp_path / "outputs" / "first" / "metrics.json").is_file()


def test_the_pages_class_breaks_and_keeps_the_laws_as_it_says(doc_page, tmp_path, monkeypatch):
    from mmbert.cli import new_encoder, scaffold
    from mmbert.testing import check_encoder

    monkeypatch.chdir(tmp_path)
    page = doc_page(PAGE, tmp_path)
    scaffold.write_files(new_encoder.contents("my_encoder", "text"), tmp_path)
    page.write_until_mending()
    encoder = page.load("my_encoder").MyEncoder
    assert [f"FAIL  {law}" for law in check_encoder(encoder, raise_on_failure=False).broken] == page.failures
    page.write_after_mending()
    assert check_encoder(page.load("my_encoder").MyEncoder, raise_on_failure=False, buckets=100).broken == []
    page.check_train_commands()
