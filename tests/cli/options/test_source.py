"""The shortened reading of the package's own files gives what the whole source gives."""

import ast
from pathlib import Path

import pytest
import yaml

from mmbert.cli.options import annotations, schema, source
from mmbert.cli.options.signatures import signature_of

COVERS = ("signatures",)

CONF = Path(__file__).parents[3] / "conf"


def our_classes() -> list[str]:
    """Every class of ours that a YAML file names."""
    nodes = [node for file in CONF.rglob("*.yaml") for _, node in schema.nodes(yaml.safe_load(file.read_text()) or {})]
    return sorted({str(node["_target_"]) for node in nodes if str(node.get("_target_")).startswith("mmbert.")})


@pytest.mark.parametrize("target", our_classes())
def test_dropping_function_bodies_changes_no_signature_and_no_range(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> tuple[object, ...]:
        source.cached_tree.cache_clear()
        signature = signature_of(target)
        if signature is None:  # a class without an __init__ of its own, over one of torch's
            return ()
        types = [(name, ast.unparse(annotation.node)) for name, annotation in signature.annotations]
        facts = (signature.names, signature.required, signature.open, signature.doc, signature.module_doc)
        return facts, types, {name: rule.wanted for name, rule in annotations.rules_of(target).items()}

    short = read()
    monkeypatch.setattr(source, "PACKAGE_FOLDER", Path("/nowhere"))
    assert short == read()
    source.cached_tree.cache_clear()


def test_bodies_and_other_methods_are_dropped() -> None:
    text = '''"""About."""

import os


def outer(
    a: int,
    b: str = "x:",
) -> None:
    """Doc."""

    def inner():
        return 1

    return inner


@dataclass
class Thing(Base):
    """About the thing."""

    size: int = 3

    @property
    def big(self) -> bool:
        return self.size > 3

    def __init__(self, size: int = 3) -> None:  # plain
        self.size = size

    async def later(self) -> None:
        pass


LAST = 1
'''
    tree = ast.parse(source.declarations(text))
    assert [type(node).__name__ for node in tree.body] == ["Expr", "Import", "FunctionDef", "ClassDef", "Assign"]
    outer, thing = tree.body[2], tree.body[3]
    assert isinstance(outer, ast.FunctionDef) and isinstance(thing, ast.ClassDef)
    assert [arg.arg for arg in outer.args.args] == ["a", "b"] and ast.unparse(outer.body) == "..."
    assert len(thing.decorator_list) == 1 and ast.get_docstring(thing) == "About the thing."
    assert [node.name for node in thing.body if isinstance(node, ast.FunctionDef)] == ["__init__"]


def test_a_file_formatted_in_another_way_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PACKAGE_FOLDER", tmp_path)
    path = tmp_path / "odd.py"
    path.write_text("def one(a): return a\nclass Two:\n  def __init__(self, b): self.b = b\n  x = 1\n")
    tree = source.syntax_tree(path)
    assert [getattr(node, "name", None) for node in tree.body] == ["one", "Two"]
