"""What a class or function takes, read from its source: no module is imported, so it is known before torch is."""

from __future__ import annotations

import ast
import functools
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmbert.core.errors import ConfigError, nearest

#: How many steps from a name to its definition, or from a class to its bases, are followed.
DEPTH = 12


@dataclass(frozen=True)
class Signature:
    """What can be given by name.

    Attributes:
        names: the parameters, those of a base class too where the rest is handed on to it.
        required: those without a default.
        open: whether it takes others as well, and nobody knows which.
        is_class: a class; otherwise a function.
        doc: its docstring.
        module_doc: that of the module in which it stands.
        constants: what the class's body, or a base's, gives plain names, such as ``reads_tokens``.
    """

    names: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    open: bool = False
    is_class: bool = True
    doc: str = ""
    module_doc: str = ""
    constants: tuple[tuple[str, object], ...] = ()


def signature_of(target: str) -> Signature | None:
    """What ``package.module.Name`` takes; None if its source does not tell.

    Raises:
        ConfigError: there is no such module, or nothing of this name in it.
    """
    module, _, name = target.rpartition(".")
    if not module:
        raise ConfigError(f"'{target}' names no class: it is written module.Class, such as my_fusion.MyFusion.")
    path = source_of(module)
    if path is None:
        if importable(module):
            return None  # compiled, or made by an import hook
        raise ConfigError(
            f"There is no module '{module}', neither in the folder you stand in nor installed. "
            f"{nearest(module, standing_modules())}"
        )
    tree = parse(path)
    if find(tree, name) is None and knows_its_names(tree):
        classes = [node.name for node in statements(tree) if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
        raise ConfigError(f"{path.name} has no '{name}'. {nearest(name, classes)}")
    return look_up(module, name, DEPTH)


def standing_modules() -> list[str]:
    """The Python files in the folder one stands in, as modules."""
    return sorted(path.stem for path in Path.cwd().glob("*.py") if path.stem.isidentifier())


def source_of(module: str) -> Path | None:
    """The file of a module; its parents are not imported, as ``importlib.util.find_spec`` would do."""
    first, *rest = module.split(".")
    path, places = in_places(first, [Path.cwd(), *(Path(entry or ".") for entry in sys.path)])
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
    """Whether the top of a module exists in a form that is not read here."""
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return module.partition(".")[0] in sys.modules


def parse(path: Path) -> ast.Module:
    """The source as a tree.

    Raises:
        ConfigError: it is no Python.
    """
    try:
        return parsed(path, path.stat().st_mtime_ns)
    except (SyntaxError, UnicodeDecodeError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConfigError(f"{path}{line} is no Python that can be read: {error}") from error


@functools.lru_cache(maxsize=256)
def parsed(path: Path, changed: int) -> ast.Module:
    """As ``parse``; a file that was changed is read again."""
    return ast.parse(path.read_text(encoding="utf-8"))


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """What a module runs as it is imported: its body, and the branches of if, try and with in it."""
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        node = todo.pop(0)
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            for field in ("body", "orelse", "finalbody"):
                todo += getattr(node, field, [])
            todo += [inner for handler in getattr(node, "handlers", []) for inner in handler.body]


def find(tree: ast.Module, name: str) -> ast.stmt | None:
    """The last statement that gives a name its meaning."""
    found: ast.stmt | None = None
    for node in statements(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
            found = node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            if any((alias.asname or alias.name.partition(".")[0]) == name for alias in node.names):
                found = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == name for target in targets for t in ast.walk(target)):
                found = node
    return found


def knows_its_names(tree: ast.Module) -> bool:
    """Whether all names of a module are seen in its source."""
    return not any(
        isinstance(node, ast.ImportFrom)
        and any(alias.name == "*" for alias in node.names)
        or isinstance(node, ast.FunctionDef)
        and node.name == "__getattr__"
        for node in statements(tree)
    )


def look_up(module: str, name: str, depth: int) -> Signature | None:
    """The signature behind a module's name, through imports from elsewhere."""
    path = source_of(module)
    if path is None or depth == 0:
        return None
    tree = parse(path)
    node = find(tree, name)
    if isinstance(node, ast.ImportFrom):
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        original = next(a.name for a in node.names if (a.asname or a.name) == name)
        return look_up(absolute(node, package), original, depth - 1)
    if isinstance(node, ast.FunctionDef) and not node.decorator_list:
        found = of_function(node, skip=0)
        return replace(found, is_class=False, module_doc=ast.get_docstring(tree) or "")
    if isinstance(node, ast.ClassDef) and not node.decorator_list:
        return of_class(node, tree, module, depth)
    return None


def absolute(node: ast.ImportFrom, package: str) -> str:
    """The module that ``from ... import`` names, written in a module of ``package``."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join(filter(None, [*parts[: len(parts) - node.level + 1], node.module]))


def of_class(node: ast.ClassDef, tree: ast.Module, module: str, depth: int) -> Signature | None:
    """What a class takes: its ``__init__``, and its first base's where that is inherited or handed the rest."""
    init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    above = of_base(node, tree, module, depth)
    constants = {**dict(above.constants if above else ()), **dict(constants_of(node))}
    about: dict[str, Any] = {"doc": ast.get_docstring(node) or "", "module_doc": ast.get_docstring(tree) or ""}
    about |= {"constants": tuple(constants.items()), "is_class": True}
    if init is None:
        return None if above is None else replace(above, **about)
    found = of_function(init, skip=1)
    if not found.open:
        return replace(found, **about)
    names = tuple(dict.fromkeys([*found.names, *(above.names if above else ())]))
    return replace(found, names=names, open=above is None or above.open, **about)


def of_base(node: ast.ClassDef, tree: ast.Module, module: str, depth: int) -> Signature | None:
    """The signature of a class's first base; None if it is not found, as torch's own are not."""
    if not node.bases:
        return Signature()
    base = node.bases[0]
    if isinstance(base, ast.Name):
        return look_up(module, base.id, depth - 1)
    if isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name):  # module.Class
        holder = find(tree, base.value.id)
        if isinstance(holder, ast.Import):
            alias = next(a for a in holder.names if (a.asname or a.name.partition(".")[0]) == base.value.id)
            return look_up(alias.name, base.attr, depth - 1)
    return None


def constants_of(node: ast.ClassDef) -> Iterator[tuple[str, object]]:
    """The plain values in a class's body."""
    for part in node.body:
        if isinstance(part, (ast.Assign, ast.AnnAssign)) and isinstance(part.value, ast.Constant):
            for target in part.targets if isinstance(part, ast.Assign) else [part.target]:
                if isinstance(target, ast.Name):
                    yield target.id, part.value.value


def of_function(node: ast.FunctionDef, skip: int) -> Signature:
    """The parameters of a function, less the first ``skip``."""
    args = node.args
    plain = [arg.arg for arg in [*args.posonlyargs, *args.args]]
    bare = plain[: len(plain) - len(args.defaults)]
    only = [arg.arg for arg in args.kwonlyargs]
    needed = [name for name, default in zip(only, args.kw_defaults, strict=True) if default is None]
    return Signature(
        (*plain[skip:], *only),
        (*bare[skip:], *needed),
        args.kwarg is not None,
        doc=ast.get_docstring(node) or "",
    )
