"""What the pages name is there: files of the repository, other pages, and parts of a page."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "experiments").rglob("*.md")])
PAGES = [page for page in PAGES if page.name != "CHANGELOG.md"]  # it also tells of what once was
#: A file or folder of the repository between backticks; NAME in it stands for any name, my_ begins a user's own.
NAMED = re.compile(r"`((?:mmbert|conf|tests|docs|benchmarks)/(?!\w+/my_)[\w./*-]*)`")
LINKED = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")


def missing_paths(text: str) -> list[str]:
    """The paths of the repository that a text names and that do not exist."""
    return [path for path in NAMED.findall(text) if not list(ROOT.glob(path.rstrip("/").replace("NAME", "*")))]


def anchors(text: str) -> set[str]:
    """The names by which a page's headings can be linked, as GitHub makes them."""
    heads = re.findall(r"(?m)^#+ (.*)$", text)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def broken_links(page: Path, text: str) -> list[str]:
    """The links of a page that lead nowhere."""
    broken = []
    for link in LINKED.findall(re.sub(r"(?m)^ {4}.*$", "", text)):  # code is no link
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target.read_text())):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert missing_paths(text) == []
    assert broken_links(page, text) == []


def test_every_page_is_linked_from_the_readme_or_from_a_page_that_is() -> None:
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        todo += [(page.parent / link.partition("#")[0]).resolve() for link in LINKED.findall(page.read_text())]
    assert set((ROOT / "docs").rglob("*.md")) - seen == set()


def test_a_lost_file_a_lost_page_and_a_lost_heading_are_seen(tmp_path: Path) -> None:
    assert missing_paths("see `mmbert/core/types.py` and `mmbert/core/gone.py`") == ["mmbert/core/gone.py"]
    page = tmp_path / "a.md"
    page.write_text("# Two words\n[a](#two-words) [b](#gone) [c](gone.md) [d](https://example.org/x)\n")
    assert broken_links(page, page.read_text()) == ["#gone", "gone.md"]
