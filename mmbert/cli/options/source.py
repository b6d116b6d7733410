"""Finds the source of a module and parses it, without importing anything: what a class takes is known before torch is.

For users' files this is plain ``ast``. Of the package's own files, formatted as ruff does it, only the declarations
are parsed: function bodies, four fifths of the text, are dropped first, because every start of a command reads a dozen
of these files.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import mmbert
from mmbert.core.errors import ConfigError
from mmbert.core.working_folder import lies_here, working_folder

PACKAGE_FOLDER = Path(mmbert.__file__).parent
#: The first line of a function, and the end of its head.
FUNCTION = re.compile(r"( *)(?:async )?def (\w+)")
HEAD_END = re.compile(r":\s*(?:#.*)?$")


def module_file(module: str) -> Path | None:
    """The file of a module; its parents are not imported, as ``importlib.util.find_spec`` would do."""
    first, *rest = module.split(".")
    if first == mmbert.__name__:
        return package_file(module)
    path, places = in_places(first, [*(Path(entry or ".") for entry in sys.path), Path(working_folder())])
    if path is None and not places:
        try:
            spec = importlib.util.find_spec(first)  # an editable install has a finder of its own
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        path = Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
        places = [Path(place) for place in spec.submodule_search_locations or []]
    for part in rest:
        path, places = in_places(part, places)
    return path


@functools.cache
def package_file(module: str) -> Path | None:
    """The file of one of the package's own modules."""
    place = PACKAGE_FOLDER.joinpath(*module.split(".")[1:])
    return next((path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()), None)


def in_places(name: str, places: list[Path]) -> tuple[Path | None, list[Path]]:
    """The file of ``name`` in the first folder that has it, and where its submodules are.

    A folder without ``__init__.py`` is a package too, without a file, unless there is one with.
    """
    for place in places:
        if (init := place / name / "__init__.py").is_file():
            return init, [init.parent]
        if (path := place / f"{name}.py").is_file():
            return path, []
    return None, [place / name for place in places if (place / name).is_dir()]


def importable(module: str) -> bool:
    """Whether the top-level package of a module exists, also where it has no source that could be read."""
    name = module.partition(".")[0]
    try:
        return importlib.util.find_spec(name) is not None or lies_here(name)
    except (ImportError, ValueError):
        return name in sys.modules


def modules_beside(module: str) -> list[str]:
    """The modules among which a misspelt one may be meant: its neighbours in our package, or in the working folder."""
    package = module.rpartition(".")[0] if module.startswith(f"{mmbert.__name__}.") else ""
    folder = PACKAGE_FOLDER.joinpath(*package.split(".")[1:]) if package else Path(working_folder())
    names = sorted(path.stem for path in folder.glob("*.py") if path.stem.isidentifier() and path.stem[:2] != "__")
    return [f"{package}.{name}" for name in names] if package else names


def syntax_tree(path: Path) -> ast.Module:
    """The source as a tree; of the package's files without function bodies.

    Raises:
        ConfigError: it is no Python.
    """
    try:
        return cached_tree(path, version_of(path))
    except (SyntaxError, UnicodeDecodeError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConfigError(f"{path}{line} is no Python that can be read: {error}") from error


def version_of(path: Path) -> int:
    """A number that changes with a file, so that it is read again; the package's own files do not change."""
    return 0 if str(path).startswith(f"{PACKAGE_FOLDER}{os.sep}") else path.stat().st_mtime_ns


@functools.lru_cache(maxsize=256)
def cached_tree(path: Path, version: int) -> ast.Module:
    """As ``syntax_tree``, once for every version of a file."""
    text = path.read_text(encoding="utf-8")
    if not version:
        try:
            return ast.parse(declarations(text))
        except SyntaxError:
            pass  # formatted in another way
    return ast.parse(text)


def declarations(text: str) -> str:
    """A source as ruff formats it, without function bodies and without methods other than ``__init__``."""
    kept: list[str] = []
    decorators: list[str] = []
    in_head = dropped = False
    indent = -1  # of the function whose head or body is being read; -1 = none
    for line in text.splitlines():
        if indent >= 0 and not in_head:
            if not line.strip() or len(line) - len(line.lstrip()) > indent:
                continue  # its body
            indent = -1
        if indent < 0:
            if line.lstrip().startswith("@"):
                decorators.append(line)
                continue
            if match := FUNCTION.match(line):
                indent, in_head = len(match[1]), True
                dropped = indent > 0 and match[2] != "__init__"
            if not dropped:
                kept += decorators
            decorators = []
        if not (in_head and dropped):
            kept.append(line)
        if in_head and HEAD_END.search(line):
            in_head = False
            if not dropped:
                kept.append(f"{' ' * indent}    ...")
            dropped = False
    return "\n".join(kept)


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """What a module runs when it is imported: its body, and the branches of if, try and with in it."""
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        node = todo.pop(0)
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            for field in ("body", "orelse", "finalbody"):
                todo += getattr(node, field, [])
            todo += [inner for handler in getattr(node, "handlers", []) for inner in handler.body]


def definition(path: Path, name: str) -> ast.stmt | None:
    """The last statement of a file that defines, assigns or imports a name.

    Raises:
        ConfigError: the file is no Python.
    """
    syntax_tree(path)
    return cached_definitions(path, version_of(path)).get(name)


@functools.lru_cache(maxsize=256)
def cached_definitions(path: Path, version: int) -> dict[str, ast.stmt]:
    """Every name of a module's top level, and the last statement that gives it its meaning."""
    found: dict[str, ast.stmt] = {}
    for node in statements(cached_tree(path, version)):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found[node.name] = node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name.partition(".")[0]: node for alias in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {part.id: node for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return found


def all_names_visible(tree: ast.Module) -> bool:
    """Whether every name of a module is seen in its source: no star import, no module-level ``__getattr__``."""
    return not any(
        isinstance(node, ast.ImportFrom)
        and any(alias.name == "*" for alias in node.names)
        or isinstance(node, ast.FunctionDef)
        and node.name == "__getattr__"
        for node in statements(tree)
    )


def imported_from(node: ast.ImportFrom, name: str, module: str, path: Path) -> tuple[str, str]:
    """The module and the name in it that ``from ... import`` means by ``name``; the statement is in ``module``."""
    original = next(alias.name for alias in node.names if (alias.asname or alias.name) == name)
    if not node.level:
        return node.module or "", original
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    parts = package.split(".")
    return ".".join(filter(None, [*parts[: len(parts) - node.level + 1], node.module])), original
