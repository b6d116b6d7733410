"""One name has one meaning: no two modules define different things under the same name, and no home-made words."""

import ast
from collections import defaultdict
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Names that every module of some kind has, with the same meaning in each.
EVERYWHERE = {"main", "log", "__all__"}
#: Files that are made alike: what they share by name is the same part of each.
FAMILIES = ("mmbert/cli/new_*.py", "mmbert/cli/check_*.py", "mmbert/testing/*.py", "mmbert/data/modalities/*.py")
#: Words that stood where the field has a term.
HOME_MADE = {
    *("told", "tell", "tells", "said", "judge", "judged", "judgement", "speak", "speaks", "shelf", "shelves", "parcel"),
    *("panel", "panels", "credence", "shortage", "take_over", "in_words", "own_words", "parts_of"),
}
#: Where the word is another's: the panels of a W&B workspace; and the demo set, whose name follows from its source.
OTHERS = ("mmbert/reporting/outputs/wandb_workspace.py", "mmbert/data/digits/build.py")


def defined(source: str) -> list[str]:
    """The names that a module defines at its top level, private ones left out."""
    names: list[str] = []
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
    return [name for name in dict.fromkeys(names) if not name.startswith("_") or name == "__all__"]


def homonyms(files: dict[str, str]) -> dict[str, list[str]]:
    """Names that several of the files (source by path) define, with these files, but for those that are one thing."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, source in files.items():
        for name in defined(source):
            places[name].append(path)
    return {
        name: paths
        for name, paths in places.items()
        if len(paths) > 1
        and name not in EVERYWHERE
        and not any(all(fnmatch(path, family) for path in paths) for family in FAMILIES)
    }


def home_made(files: dict[str, str]) -> list[str]:
    """Names of functions, classes, arguments and variables that are words of ``HOME_MADE``."""
    found = set()
    for path, source in files.items():
        for node in ast.walk(ast.parse(source)):
            name = getattr(node, "name", None) or getattr(node, "id", None) or getattr(node, "arg", None)
            if isinstance(name, str) and name.lower() in HOME_MADE and path not in OTHERS:
                found.add(f"{path}:{node.lineno}: {name}")  # type: ignore[attr-defined]
    return sorted(found)


@pytest.fixture(scope="module")
def ours() -> dict[str, str]:
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in sorted((ROOT / "mmbert").rglob("*.py"))}


def test_one_name_has_one_meaning(ours: dict[str, str]) -> None:
    assert homonyms(ours) == {}


def test_names_are_the_fields_terms(ours: dict[str, str]) -> None:
    assert home_made(ours) == []


def test_a_homonym_and_a_home_made_word_are_seen() -> None:
    files = {
        "mmbert/data/a.py": "def read(): ...\nROWS = 1\n_x = 1",
        "mmbert/store/b.py": "class read: ...\nROWS: int = 2",
    }
    both = ["mmbert/data/a.py", "mmbert/store/b.py"]
    assert homonyms(files | {"mmbert/store/c.py": "_x = 1\nmain = 1"}) == {"read": both, "ROWS": both}
    assert homonyms({"mmbert/cli/new_a.py": "def main(): ...\nTEST = 1", "mmbert/cli/new_b.py": "TEST = 1"}) == {}
    assert home_made({"a.py": "def tell(x):\n    said = x"}) == ["a.py:1: tell", "a.py:2: said"]
