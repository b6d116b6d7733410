"""A small set for extractive summaries: docstrings of installed packages, whose first paragraph is the summary.

    python experiments/extractive_summaries/make_set.py outputs/docstrings.csv

The text is what follows the summary, up to the first section or example. Texts of at least four sentences are kept,
each text and each summary once. Modules, not docstrings, are drawn into train, val and test, by a hash of their names.
With the versions of constraints.txt the table is the same anywhere; nothing is imported or downloaded.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path

from mmbert.core.whole_files import whole_file
from mmbert.tasks.text_metrics.sentences import sentence_spans

PACKAGES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "pandas": "pandas",
    "matplotlib": "matplotlib",
    "torch": "torch",
    "torchmetrics": "torchmetrics",
    "pytorch_lightning": "pytorch-lightning",
    "transformers": "transformers",
}
#: Where prose ends: a section in NumPy's or Google's manner, a directive, an example, a list or a formula.
NO_PROSE = re.compile(r"^(\S.*\n[-=~^]{3,}|\.\. |>>> |\w[\w ]*:\n|:\w+|[-*] |\d\. |\s)", re.MULTILINE)
ROLE = re.compile(r":[\w:]+:`~?([^`<]*?)(?: ?<[^`]*>)?`")
SENTENCES, WORDS = 4, 5


def main() -> None:
    """Writes the table and prints how many rows each split has."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    rows, seen = [], set()
    for package in PACKAGES:
        for module, text, summary in docstrings(package):
            if text not in seen and summary not in seen:
                seen |= {text, summary}
                rows.append({"split": split_of(module), "module": module, "text": text, "summary": summary})
    with whole_file(Path(sys.argv[1])) as place, place.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    counts = {split: sum(row["split"] == split for row in rows) for split in ("train", "val", "test")}
    print(counts, ", ".join(f"{name} {version(name)}" for name in PACKAGES.values()))


def docstrings(package: str) -> Iterator[tuple[str, str, str]]:
    """Module, text and summary of each docstring of a package that is long enough."""
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent
    for path in sorted(folder.rglob("*.py")):
        if "tests" in path.parts:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)) and (
                written := ast.get_docstring(node)
            ):
                found = text_and_summary(cleandoc(written))
                if found is not None:
                    yield ".".join([package, *path.relative_to(folder).with_suffix("").parts]), *found


def text_and_summary(docstring: str) -> tuple[str, str] | None:
    """The prose after the first paragraph, and that paragraph; None if either is too short."""
    first, *others = docstring.split("\n\n")
    prose = []
    for paragraph in others:
        if NO_PROSE.search(paragraph):
            break
        prose.append(paragraph)
    text, summary = (plain(part) for part in (" ".join(prose), first))
    if NO_PROSE.search(first) or len(sentence_spans(text)) < SENTENCES or len(summary.split()) < WORDS:
        return None
    return text, summary


def plain(text: str) -> str:
    """Without marks of reStructuredText, on one line."""
    return " ".join(ROLE.sub(r"\1", text).replace("`", "").replace("*", "").split())


def split_of(module: str) -> str:
    """One tenth of the modules is val, two tenths are test."""
    tenth = int(hashlib.sha256(module.encode()).hexdigest(), 16) % 10
    return "test" if tenth < 2 else "val" if tenth == 2 else "train"


if __name__ == "__main__":
    main()
