"""Every module has a test file that a reader finds by its name alone.

``mmbert/a/b/c.py`` is tested in ``tests/a/b/test_c.py``. Modules of one folder that are one subject may share a file of
that folder, which then names them at its top: ``COVERS = ("mlb", "mfb")``. Each file imports what it covers, or the
module of the folder that is made of it; or it composes it (``"fusion=mlb"``) or names it in full
(``"mmbert.cli.train"``). Further test files of a folder are about several of its modules at once. ``__init__.py`` needs
no test.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Tests of the whole program, of its documentation and of this repository: they mirror no module.
WHOLE_PROGRAM = {"conf", "docs", "experiments", "fusion_zoo", "layers", "names", "packaging", "wheel"}
WHOLE_PROGRAM |= {
    f"your_own_{name}" for name in ("balance", "data", "data_set", "encoder", "fusion", "logger", "modality")
}
WHOLE_PROGRAM |= {"your_own_task", "tests_mirror_the_package", "data_sets"}
#: Folders of such tests.
FOLDERS = {"tests/robustness"}


def covers(source: str) -> list[str]:
    """The names in ``COVERS = (...)`` at the top level of a test file."""
    for node in ast.parse(source).body if "COVERS" in source else ():
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["COVERS"]:
            return list(ast.literal_eval(node.value))
    return []


@cache
def mentioned(source: str) -> tuple[set[str], set[str]]:
    """All dotted names that a test file imports, and with what is taken from them; its strings but docstrings."""
    names, strings = set(), set()
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            strings.add(node.value)
    return names, strings


def names_it(source: str, module: str) -> bool:
    """Whether a test file imports ``mmbert.a.b.c``, has the name in a string, or composes ``b=c``."""
    names, strings = mentioned(source)
    *_, group, name = module.split(".")
    word = re.compile(rf"\b{re.escape(module)}\b|\b{group}={name}\b")
    return module in names or any(word.search(string) for string in strings)


def uses(source: str, module: str, folder: dict[str, str]) -> bool:
    """Whether a test file names a module, or imports another of its folder that imports it.

    Args:
        source: of the test file.
        module: ``mmbert.a.b.c``.
        folder: sources of the modules of ``mmbert.a.b`` by dotted name, the package itself among them.
    """
    imported = mentioned(source)[0]
    return names_it(source, module) or any(
        other in imported and module in mentioned(text)[0] for other, text in folder.items()
    )


def has_tests(source: str) -> bool:
    """Whether there is a test function, or a class of tests such as ``fusion_tests`` makes."""
    return re.search(r"^\s*(async )?def test_|^(class )?Test\w+\b", source, re.MULTILINE) is not None


def dotted_name(path: str) -> str:
    """``mmbert/a/b.py`` -> ``mmbert.a.b``; of a package's ``__init__.py`` the package."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def complaints(package: dict[str, str], tests: dict[str, str], whole_program: set[str]) -> list[str]:
    """What is against the rule.

    Args:
        package: source of each module by path, ``mmbert/a/b/c.py``.
        tests: source of each test file by path, ``tests/a/b/test_c.py``.
        whole_program: names of files in ``tests/`` itself that mirror no module.
    """
    modules = {path for path in package if not path.endswith("__init__.py")}
    folders = {path.rpartition("/")[0] for path in package}
    holders: dict[str, list[str]] = {path: [] for path in modules}
    wrong = []
    for path, source in tests.items():
        folder, _, file = path.rpartition("/")
        if folder in FOLDERS and has_tests(source):
            continue
        mirrored, name = folder.replace("tests", "mmbert", 1), file.removeprefix("test_").removesuffix(".py")
        own = f"{mirrored}/{name}.py"
        if folder == "tests" and own not in modules and name not in whole_program:
            wrong.append(f"{path}: is about no module of mmbert/ and is no test of the whole program")
        if mirrored not in folders:
            wrong.append(f"{path}: there is no folder {mirrored}/")
        if not has_tests(source):
            wrong.append(f"{path}: holds no test")
        held = {own} if own in modules else set()
        for covered in covers(source):
            module = f"{mirrored}/{covered}.py"
            if module in modules:
                held.add(module)
            else:
                wrong.append(f"{path}: COVERS names {covered}, but there is no {module}")
        for module in sorted(held):
            holders[module].append(path)
            dotted = dotted_name(module)
            beside = {dotted_name(path): text for path, text in package.items() if path.rpartition("/")[0] == mirrored}
            if not uses(source, dotted, beside):
                wrong.append(f"{path}: neither imports nor composes {dotted}")
    for module, files in holders.items():
        if not files:
            folder, _, file = module.replace("mmbert", "tests", 1).rpartition("/")
            wrong.append(f"{module}: has no {folder}/test_{file} and no COVERS of its folder names it")
        if len(files) > 1:
            wrong.append(f"{module}: is covered by {' and by '.join(sorted(files))}; one file is its place")
    gone = {name for name in whole_program if f"tests/test_{name}.py" not in tests}
    return sorted([*wrong, *(f"tests/test_{name}.py: there is no such file" for name in gone)])


def test_every_module_has_its_test_file() -> None:
    package = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in (ROOT / "mmbert").rglob("*.py")}
    tests = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    assert complaints(package, tests, WHOLE_PROGRAM) == []


# ------------------------------------------------------------------------------------ the checker itself is checked

PACKAGE = dict.fromkeys(("mmbert/__init__.py", "mmbert/fusion/__init__.py", "mmbert/fusion/mlb.py"), "")
PACKAGE["mmbert/fusion/mfb.py"] = "from mmbert.core.errors import ConfigError"
TEST = "\ndef test_it(): ..."
SOUND = {
    "tests/fusion/test_mlb.py": f"from mmbert.fusion.mlb import MLBFusion{TEST}",
    "tests/fusion/test_mfb.py": f"import mmbert.fusion.mfb{TEST}",
    "tests/fusion/test_every_strategy.py": TEST,
    "tests/test_conf.py": TEST,
}


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"tests/fusion/test_mfb.py": None}, "mmbert/fusion/mfb.py: has no tests/fusion/test_mfb.py and no COVERS"),
        (
            {"tests/fusion/test_mfb.py": f"import mmbert.fusion.mlb{TEST}"},
            "neither imports nor composes mmbert.fusion.mfb",
        ),
        ({"tests/fusion/test_mfb.py": f"x = 'fusion=mfb_2 mmbert.fusion.mfbs'{TEST}"}, "neither imports nor composes"),
        ({"tests/fusion/test_mfb.py": f"'mmbert.fusion.mfb'{TEST}"}, "neither imports nor composes mmbert.fusion.mfb"),
        ({"tests/fusion/test_mfb.py": "import mmbert.fusion.mfb"}, "test_mfb.py: holds no test"),
        (
            {"tests/fusion/test_every_strategy.py": f"from mmbert.fusion import mlb\nCOVERS = ('mlb',){TEST}"},
            "mlb.py: is covered by tests/fusion/test_every_strategy.py and by tests/fusion/test_mlb.py",
        ),
        (
            {"tests/fusion/test_mlb.py": f"import mmbert.fusion.mlb\nCOVERS = ('mutan',){TEST}"},
            "no mmbert/fusion/mutan.py",
        ),
        (
            {"tests/fusion/test_mlb.py": f"import mmbert.fusion.mlb\nCOVERS = ('__init__',){TEST}"},
            "COVERS names __init__",
        ),
        ({"tests/fusions/test_all.py": TEST}, "tests/fusions/test_all.py: there is no folder mmbert/fusions/"),
        ({"tests/test_more.py": TEST}, "tests/test_more.py: is about no module"),
        ({"tests/test_conf.py": None}, "tests/test_conf.py: there is no such file"),
    ],
)
def test_what_is_against_the_rule_is_seen(changed: dict[str, str | None], complaint: str) -> None:
    tests = {path: source for path, source in (SOUND | changed).items() if source is not None}
    found = complaints(PACKAGE, tests, {"conf"})
    assert len(found) == 1 and complaint in found[0], found


@pytest.mark.parametrize(
    "source",
    [
        "COVERS = ('mlb', 'mfb')\nfrom mmbert.fusion import mfb, mlb",
        "COVERS = ['mlb', 'mfb']\ndef f():\n    from mmbert.fusion.mfb import MFBFusion\n    import mmbert.fusion.mlb",
        "COVERS = ('mlb', 'mfb')\nWORDS = ['fusion=mlb', 'python -m mmbert.fusion.mfb']",
    ],
)
def test_several_modules_of_a_folder_may_share_a_file(source: str) -> None:
    assert complaints(PACKAGE, {"tests/fusion/test_bilinear_family.py": source + TEST}, set()) == []
    assert complaints(PACKAGE, SOUND, {"conf"}) == []


def test_a_module_may_be_tested_through_the_one_that_is_made_of_it() -> None:
    package = {**PACKAGE, "mmbert/fusion/mfb.py": "from mmbert.fusion.mlb import MLBFusion"}
    tests = {"tests/fusion/test_mfb.py": f"COVERS = ('mlb',)\nfrom mmbert.fusion.mfb import MFBFusion{TEST}"}
    assert complaints(package, tests, set()) == []
    assert "neither imports nor composes mmbert.fusion.mlb" in complaints(PACKAGE, tests, set())[0]
