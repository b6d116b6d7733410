"""Damage to JSON and YAML: one place of a tree of dictionaries and lists is changed, the file stays well formed."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from damage_harness.mutate_bytes import damaged_bytes

#: Where a node is: its container and its key or number there.
Place = tuple[Any, Any]
NUMBERS = (0, -1, 1, 2**31, 2**63, -(2**64), 10**30, 0.5, 1e-300, 1e308, -1e308)
NOT_FINITE = (math.nan, math.inf, -math.inf)
STRINGS = (
    "",
    " ",
    "true",
    "1",
    "1e3",
    "nan",
    "None",
    "../../etc",
    "/dev/null",
    "a.b.c",
    "é文本🙂",
    "\x00",
    "\n",
    "${x}",
    "???",
)
DEEP, LONG = 3000, 10**6


def damage_json(draw: Random, path: Path) -> str:
    """Changes one place of a JSON file, or some of its bytes; returns what was done."""
    text = path.read_bytes()
    if draw.random() < 0.25:
        what, content = damaged_bytes(draw, text)
    else:
        what, tree = damaged_tree(draw, json.loads(text))
        content = dumped(tree).encode("utf-8")
    path.write_bytes(content)
    return f"{path.name}: {what}"


def damage_yaml(draw: Random, path: Path) -> str:
    """Changes one place of a YAML file, or some of its bytes; returns what was done."""
    import yaml

    text = path.read_bytes()
    if draw.random() < 0.25:
        what, content = damaged_bytes(draw, text)
    else:
        what, tree = damaged_tree(draw, yaml.safe_load(text), deep=60)
        content = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False).encode("utf-8")
    path.write_bytes(content)
    return f"{path.name}: {what}"


def dumped(tree: Any) -> str:
    """JSON, also of what is nested too deeply for Python's own encoder."""
    try:
        return json.dumps(tree, ensure_ascii=False)
    except RecursionError:
        depth, inner = 0, tree
        while isinstance(inner, list) and len(inner) == 1:
            depth, inner = depth + 1, inner[0]
        return "[" * DEEP + "]" * DEEP


def damaged_tree(draw: Random, tree: Any, deep: int = 60) -> tuple[str, Any]:
    """What was done, and a copy of the tree with one place changed.

    Args:
        draw: where chance comes from.
        tree: of dictionaries, lists, strings, numbers, booleans and None.
        deep: of lists in lists where something is nested.
    """
    holder = [copy.deepcopy(tree)]
    places = [((holder, 0), "")] if draw.random() < 0.02 else list(places_of(holder[0], ""))
    if not places:
        return "replaced by null", None
    (container, key), name = draw.choice(places)
    way = draw.choice(
        ("drop", "rename", "type", "type", "number", "not finite", "string", "long", "nest", "null", "empty", "order")
    )
    if container is holder and way == "drop":
        way = "null"
    what = change(draw, container, key, way, deep)
    return f"{name or 'all of it'}: {what}", holder[0]


def places_of(node: Any, name: str) -> Iterator[tuple[Place, str]]:
    """Every place below a node, with its dotted name."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        inner = f"{name}.{key}" if name else str(key)
        yield (node, key), inner
        yield from places_of(value, inner)


def change(draw: Random, container: Any, key: Any, way: str, deep: int) -> str:
    """Changes one place; returns how."""
    value = container[key]
    if way == "drop":
        del container[key]
        return "dropped"
    if way == "rename" and isinstance(container, dict):
        new = draw.choice((f"{key}_2", str(key).upper(), "", "x.y", str(key)[:-1]))
        items = [(new if k == key else k, v) for k, v in container.items()]
        container.clear()
        container.update(items)
        return f"renamed '{new}'"
    if way == "order" and isinstance(value, dict):
        container[key] = dict(sorted(value.items(), key=lambda item: str(item[0]), reverse=draw.random() < 0.5))
        return "sorted"
    container[key] = new_value(draw, value, way, deep)
    shown = repr(container[key]) if way != "nest" else "nested"
    return f"now {shown[:60]}"


def new_value(draw: Random, value: Any, way: str, deep: int) -> Any:
    """What stands in a value's place."""
    if way == "number":
        return draw.choice(NUMBERS)
    if way == "not finite":
        return draw.choice(NOT_FINITE)
    if way == "string":
        return draw.choice(STRINGS)
    if way == "long":
        return "x" * LONG if draw.random() < 0.3 else list(range(1000))
    if way == "nest":
        for _ in range(draw.choice((1, 2, deep))):
            value = [value]
        return value
    if way == "null":
        return None
    if way == "empty":
        return type(value)() if isinstance(value, (dict, list, str)) else draw.choice(({}, []))
    return of_another_type(draw, value)


def of_another_type(draw: Random, value: Any) -> Any:
    """The value as another type would have it, or one that has nothing to do with it."""
    others: list[Any] = [str(value), True, False, 3, 0.25, [value], {"a": value}, [], {}, None]
    if isinstance(value, str) and value.replace(".", "", 1).isdecimal():
        others.append(float(value))
    if isinstance(value, list):
        others += [dict(enumerate(map(str, value))), value + value, value[:-1]]
    if isinstance(value, dict):
        others += [list(value), list(value.values())]
    return draw.choice(others)
