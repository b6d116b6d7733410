"""Which values a class's arguments may take, read from the annotations beside them (``mmbert/core/ranges.py``).

``Annotated`` with one of our ranges, and ``Literal``, are honoured in any class, a user's own too. The plain types
``bool``, ``int`` and ``float`` are honoured in the package's classes alone: elsewhere an annotation may be a mere hint.
"""

from __future__ import annotations

import ast
import sys
from typing import Any

from mmbert.cli.options.signatures import MAX_STEPS, NOT_READ, signature_of
from mmbert.cli.options.source import definition, imported_from, module_file
from mmbert.core import ranges
from mmbert.core.errors import ConfigError
from mmbert.core.ranges import AnyOf, Many, OneOf, Range, Rule, Switch

VOCABULARY = {
    *("Range", "Switch", "String", "CellValues", "OneOf", "Many", "EachEncoder", "AnyOf", "CountOrShare", "OptionsOf"),
}
LISTS = ("list", "List", "Sequence", "tuple", "Tuple", "Iterable", "Collection")
PLAIN: dict[str, Rule] = {"bool": Switch(), "int": Range(whole=True), "float": Range()}


class NotUnderstood(Exception):
    """Part of an annotation means nothing here."""


def rules_of(target: str) -> dict[str, Rule]:
    """The rules of a class's or function's arguments by name; empty where its source does not show any."""
    if target.partition(".")[0] in NOT_READ:
        return {}
    try:
        signature = signature_of(target)
        annotations = signature.annotations if signature is not None else ()
        found: dict[str, Rule] = {}
        for plain in (False, True) if target.startswith("mmbert.") else (False,):
            for name, annotation in annotations:
                if name not in found and (rule := rule_of_type(annotation.node, annotation.module, plain)) is not None:
                    found[name] = rule
    except ConfigError:  # no such class, or no Python: reported by those who need it
        return {}
    return found


def rule_of_type(node: ast.expr, module: str, plain: bool, steps: int = MAX_STEPS) -> Rule | None:
    """The rule that a type stands for, None if it stands for none.

    Args:
        node: the annotation.
        module: in which its names mean something.
        plain: whether ``bool``, ``int`` and ``float`` without a range are rules too.
        steps: how many names may still be followed.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return rule_of_type(ast.parse(node.value, mode="eval").body, module, plain, steps)
        except SyntaxError:
            return None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return rule_of_union([node.left, node.right], module, plain, steps)
    if isinstance(node, ast.Subscript):
        arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return rule_of_generic(last_name(node.value), arguments, module, plain, steps)
    if isinstance(node, ast.Name):
        if node.id in PLAIN:
            return PLAIN[node.id] if plain else None
        where, statement = follow(node.id, module, steps) or (module, None)
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            return rule_of_type(statement.value, where, plain, steps - 1)
    return None


def rule_of_generic(name: str, arguments: list[ast.expr], module: str, plain: bool, steps: int) -> Rule | None:
    """The rule of ``Annotated[...]``, ``Literal[...]``, ``Optional[...]``, ``Union[...]`` or a list of something."""
    if name == "Annotated":
        for marker in arguments[1:]:
            try:
                rule = value_of(marker, module)
            except NotUnderstood:
                continue
            if isinstance(rule, Rule):
                return rule.for_type(is_integer_type(arguments[0]))
        return rule_of_type(arguments[0], module, plain, steps)
    if name == "Literal":
        values = [argument.value for argument in arguments if isinstance(argument, ast.Constant)]
        return OneOf(*(value for value in values if value is not None))
    if name in ("Optional", "Union"):
        return rule_of_union(arguments, module, plain, steps)
    if name in LISTS and (len(arguments) == 1 or isinstance(arguments[1], ast.Constant) and arguments[1].value is ...):
        item = rule_of_type(arguments[0], module, False, steps)
        return Many(item) if item is not None else None
    return None


def rule_of_union(members: list[ast.expr], module: str, plain: bool, steps: int) -> Rule | None:
    """The rule of ``A | B``: any of its members'; None if that of a member is not known. ``None`` is no member."""
    given = [part for part in members if not (isinstance(part, ast.Constant) and part.value is None)]
    if plain and {last_name(part) for part in given} == {"int", "float"}:
        return PLAIN["float"]
    rules = [rule_of_type(part, module, plain, steps) for part in given]
    known = [rule for rule in rules if rule is not None]
    if not known or len(known) < len(rules):
        return None
    return known[0] if len(known) == 1 else AnyOf(*known)


def is_integer_type(node: ast.expr) -> bool:
    """Whether the numbers of a type are integers: ``int``, ``int | None``, ``Sequence[int]``."""
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return "int" in names and "float" not in names


def last_name(node: ast.expr) -> str:
    """``Literal`` of ``Literal`` and of ``typing.Literal``."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def follow(name: str, module: str, steps: int) -> tuple[str, ast.stmt] | None:
    """The statement that defines a name, through imports, and the module in which it is; None if it is not found."""
    path = module_file(module) if steps > 0 else None
    node = definition(path, name) if path is not None else None
    if isinstance(node, ast.ImportFrom) and path is not None:
        where, original = imported_from(node, name, module, path)
        top = where.partition(".")[0]
        return None if top in NOT_READ or top in sys.stdlib_module_names else follow(original, where, steps - 1)
    return (module, node) if node is not None else None


def value_of(node: ast.expr, module: str, steps: int = MAX_STEPS) -> Any:
    """What an expression beside a type stands for: a rule, a plain value, or the dotted path of a class.

    Raises:
        NotUnderstood: it is none of these.
    """
    if isinstance(node, ast.Call):
        kind = rule_class(node.func, module)
        positional: list[Any] = []
        for part in node.args:
            given = value_of(part.value if isinstance(part, ast.Starred) else part, module, steps)
            positional += given if isinstance(part, ast.Starred) else [given]
        named = {part.arg: value_of(part.value, module, steps) for part in node.keywords if part.arg is not None}
        try:
            return kind(*positional, **named)
        except TypeError as error:
            raise NotUnderstood from error
    if isinstance(node, ast.Name):
        where, statement = follow(node.id, module, steps) or (module, None)
        if isinstance(statement, ast.ClassDef):
            return f"{where}.{statement.name}"
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            return value_of(statement.value, where, steps - 1)
        raise NotUnderstood
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise NotUnderstood from error


def rule_class(node: ast.expr, module: str) -> type[Rule]:
    """The class of our vocabulary that is called: ``Range``, or ``ranges.Range``.

    Raises:
        NotUnderstood: it is something else.
    """
    package, _, name = dotted_path(node, module).rpartition(".")
    if package != ranges.__name__ or name not in VOCABULARY:
        raise NotUnderstood
    found: type[Rule] = getattr(ranges, name)
    return found


def dotted_path(node: ast.expr, module: str) -> str:
    """``mmbert.core.ranges.Range`` of ``Range`` or ``ranges.Range``, as the module's imports have it."""
    if isinstance(node, ast.Attribute):
        return f"{dotted_path(node.value, module)}.{node.attr}"
    path = module_file(module)
    if not isinstance(node, ast.Name) or path is None:
        raise NotUnderstood
    source = definition(path, node.id)
    if isinstance(source, ast.ImportFrom):
        return ".".join(imported_from(source, node.id, module, path))
    if isinstance(source, ast.Import):
        return next((alias.name for alias in source.names if alias.asname == node.id), node.id)
    return f"{module}.{node.id}"
