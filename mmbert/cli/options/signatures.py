"""What a class or function takes, read from its source without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmbert.cli.options.source import (
    all_names_visible,
    definition,
    importable,
    imported_from,
    module_file,
    modules_beside,
    statements,
    syntax_tree,
)
from mmbert.core.errors import ConfigError, nearest
from mmbert.core.moved import current_path
from mmbert.core.working_folder import shadowed_hint

#: How many steps from a name to its definition, or from a class to its bases, are followed.
MAX_STEPS = 12
#: Packages whose base classes add no option of ours, and take long to read.
NOT_READ = ("torch", "pytorch_lightning", "transformers")


@dataclass(frozen=True)
class Annotation:
    """The type written beside a parameter, and the module in which its names mean something."""

    module: str
    node: ast.expr


@dataclass(frozen=True)
class Signature:
    """What can be given by name.

    Attributes:
        names: the parameters, those of a base class too where the rest is handed on to it.
        required: those without a default.
        open: whether it takes others as well, and nobody knows which.
        is_class: a class; otherwise a function.
        doc: its docstring.
        module_doc: that of the module in which it is defined.
        constants: what the class's body, or a base's, gives plain names, such as ``reads_tokens``.
        annotations: the parameters' types by name, the class's own before those of its bases.
    """

    names: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    open: bool = False
    is_class: bool = True
    doc: str = ""
    module_doc: str = ""
    constants: tuple[tuple[str, object], ...] = ()
    annotations: tuple[tuple[str, Annotation], ...] = ()


def signature_of(target: str) -> Signature | None:
    """What ``package.module.Name`` takes; None if its source does not show it.

    Raises:
        ConfigError: there is no such module, or nothing of this name in it.
    """
    module, _, name = current_path(target).rpartition(".")
    if not module:
        raise ConfigError(f"'{target}' names no class: it is written module.Class, such as my_fusion.MyFusion.")
    path = module_file(module)
    if path is None:
        if importable(module) and not module.startswith("mmbert."):
            return None  # compiled, or made by an import hook
        raise ConfigError(
            f"There is no module '{module}', neither in the folder you stand in nor installed. "
            f"{nearest(module, modules_beside(module))}{shadowed_hint(module)}"
        )
    tree = syntax_tree(path)
    if definition(path, name) is None and all_names_visible(tree):
        classes = [node.name for node in statements(tree) if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
        raise ConfigError(f"{path.name} has no '{name}'. {nearest(name, classes)}{shadowed_hint(module, path)}")
    return look_up(module, name, MAX_STEPS)


def look_up(module: str, name: str, steps: int) -> Signature | None:
    """The signature of what a module calls ``name``, which may be imported from elsewhere."""
    path = module_file(module)
    if path is None or steps == 0:
        return None
    tree, node = syntax_tree(path), definition(path, name)
    if isinstance(node, ast.ImportFrom):
        return look_up(*imported_from(node, name, module, path), steps - 1)
    if isinstance(node, ast.FunctionDef) and not node.decorator_list:
        found = of_function(node, module, skip=0)
        return replace(found, is_class=False, module_doc=ast.get_docstring(tree) or "")
    if isinstance(node, ast.ClassDef) and all(map(is_dataclass, node.decorator_list)):
        return of_class(node, path, module, steps)
    return None


def is_dataclass(decorator: ast.expr) -> bool:
    """Whether a decorator is ``@dataclass`` or ``@dataclass(...)``."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) == "dataclass"


def of_class(node: ast.ClassDef, path: Path, module: str, steps: int) -> Signature | None:
    """What a class takes: its ``__init__``, and its first base's where that is inherited or handed the rest."""
    init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    above = of_base(node, path, module, steps)
    constants = {**dict(above.constants if above else ()), **dict(constants_of(node))}
    about: dict[str, Any] = {
        "doc": ast.get_docstring(node) or "",
        "module_doc": ast.get_docstring(syntax_tree(path)) or "",
    }
    about |= {"constants": tuple(constants.items()), "is_class": True}
    if init is not None:
        own = of_function(init, module, skip=1)
    elif node.decorator_list:
        own = of_dataclass(node, module, above)
    else:
        return None if above is None else replace(above, **about)
    about["annotations"] = (*own.annotations, *(above.annotations if above else ()))
    if not own.open:
        return replace(own, **about)
    names = tuple(dict.fromkeys([*own.names, *(above.names if above else ())]))
    return replace(own, names=names, open=above is None or above.open, **about)


def of_base(node: ast.ClassDef, path: Path, module: str, steps: int) -> Signature | None:
    """The signature of a class's first base; None if it is not found, as torch's own are not."""
    if not node.bases:
        return Signature()
    base = node.bases[0]
    if isinstance(base, ast.Name):
        source = definition(path, base.id)
        foreign = isinstance(source, ast.ImportFrom) and (source.module or "").partition(".")[0] in NOT_READ
        return None if foreign else look_up(module, base.id, steps - 1)
    if isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name):  # module.Class
        holder = definition(path, base.value.id)
        if isinstance(holder, ast.Import):
            alias = next(a for a in holder.names if (a.asname or a.name.partition(".")[0]) == base.value.id)
            if alias.name.partition(".")[0] not in NOT_READ:
                return look_up(alias.name, base.attr, steps - 1)
    return None


def constants_of(node: ast.ClassDef) -> Iterator[tuple[str, object]]:
    """The plain values in a class's body."""
    for part in node.body:
        if isinstance(part, (ast.Assign, ast.AnnAssign)) and isinstance(part.value, ast.Constant):
            for target in part.targets if isinstance(part, ast.Assign) else [part.target]:
                if isinstance(target, ast.Name):
                    yield target.id, part.value.value


def of_function(node: ast.FunctionDef, module: str, skip: int) -> Signature:
    """The parameters of a function, less the first ``skip``."""
    args = node.args
    plain = [*args.posonlyargs, *args.args]
    bare = [arg.arg for arg in plain[: len(plain) - len(args.defaults)]]
    needed = [arg.arg for arg, value in zip(args.kwonlyargs, args.kw_defaults, strict=True) if value is None]
    taken = [*plain[skip:], *args.kwonlyargs]
    return Signature(
        tuple(arg.arg for arg in taken),
        (*bare[skip:], *needed),
        args.kwarg is not None,
        doc=ast.get_docstring(node) or "",
        annotations=tuple((arg.arg, Annotation(module, arg.annotation)) for arg in taken if arg.annotation is not None),
    )


def hidden_field(part: ast.AnnAssign) -> bool:
    """Whether a name in a dataclass's body is no parameter: ``field(init=False)``, or a class variable."""
    inner = part.annotation.value if isinstance(part.annotation, ast.Subscript) else part.annotation
    options = part.value.keywords if isinstance(part.value, ast.Call) else []
    without = [option for option in options if option.arg == "init" and getattr(option.value, "value", True) is False]
    return bool(without) or (inner.attr if isinstance(inner, ast.Attribute) else getattr(inner, "id", "")) == "ClassVar"


def of_dataclass(node: ast.ClassDef, module: str, above: Signature | None) -> Signature:
    """The fields of a dataclass, those of its base first."""
    fields: dict[str, ast.AnnAssign] = {}
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name) and not hidden_field(part):
            fields[part.target.id] = part
    needed = [name for name, part in fields.items() if part.value is None]
    return Signature(
        tuple(dict.fromkeys([*(above.names if above else ()), *fields])),
        tuple(dict.fromkeys([*(above.required if above else ()), *needed])),
        open=above is None,
        annotations=tuple((name, Annotation(module, part.annotation)) for name, part in fields.items()),
    )
