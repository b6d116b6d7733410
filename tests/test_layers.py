"""The arrows point one way: which part of mmbert may import which, and which may import what from outside.

Read from the source, so that imports inside functions count too, and nothing need be installed to check them.
"""

import ast
import configparser
import re
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: In the order of the data's way. A part may import itself, core, and all parts before it.
ORDER = ["core", "data", "encoders", "fusion", "tasks", "model", "store", "runs", "training", "analysis", "deploy"]
BEFORE = {part: {"core", *ORDER[: i + 1]} for i, part in enumerate(ORDER)}
#: Parts beside the way: reporting reads run folders alone, testing checks modules without training, cli does it all.
ALLOWED = BEFORE | {
    "fusion": {"core", "fusion"},  # a strategy reads Encoded, and knows neither data nor encoders
    "runs": {"core", "runs"},
    "reporting": {"core", "runs", "reporting"},
    "search": {"core", "data", "encoders", "fusion", "tasks", "model", "search"},
    "testing": {"core", "data", "encoders", "fusion", "tasks", "model", "testing"},
    "cli": {*ORDER, "reporting", "search", "testing", "cli", "conf"},
}
#: Single modules of other parts. Reporting shows cells of the table that a run was trained on, as training read them.
BORROWED = {"reporting": {"mmbert.data.tables.formats", "mmbert.data.tables.cells"}}
#: Libraries that only some files may import. Whatever is not named here is free.
ONLY_IN = {
    "torchaudio": ["mmbert/encoders/*.py", "mmbert/data/*.py", "mmbert/tasks/speech/word_times.py"],
    "jiwer": ["mmbert/tasks/speech/error_rates.py"],
    "transformers": ["mmbert/encoders/*.py", "mmbert/cli/*.py", "mmbert/tasks/text_generation/*.py"],
    # the random changes of pictures are timm's own transforms
    "timm": ["mmbert/encoders/*.py", "mmbert/data/augment/*.py"],
    "datasets": ["mmbert/data/*.py"],
    "soundfile": [
        *("mmbert/data/*.py", "mmbert/encoders/*.py", "mmbert/training/loggers/*.py"),
        "mmbert/reporting/statistics/embedded_media.py",
    ],
    # runs/wandb_session.py: a run of training and one of a report begin alike
    "wandb": ["mmbert/training/loggers/*.py", "mmbert/runs/wandb_session.py", "mmbert/reporting/outputs/wandb_*.py"],
    "wandb_workspaces": ["mmbert/reporting/outputs/wandb_workspace.py"],
    "mlflow": ["mmbert/training/loggers/mlflow.py"],
    "matplotlib": [
        "mmbert/training/*.py",
        "mmbert/data/quality/page.py",
        "mmbert/reporting/*.py",
        "mmbert/analysis/*.py",
    ],
    "torch_pruning": ["mmbert/deploy/compress/structured.py"],
    "torchao": ["mmbert/deploy/compress/int8.py"],
    "optuna": ["mmbert/cli/sweep/optuna.py", "mmbert/cli/sweep/search_storage.py"],
    "fastapi": ["mmbert/deploy/serving/*.py"],
    "starlette": ["mmbert/deploy/serving/*.py"],
    "uvicorn": ["mmbert/deploy/serving/server.py"],
    "gradio": ["mmbert/deploy/demo/*.py"],
    "opacus": ["mmbert/training/private/*.py"],
    "torchjd": ["mmbert/training/balance/*.py"],
    "onnx": ["mmbert/deploy/*.py"],
    "onnxruntime": ["mmbert/deploy/*.py"],
    "joblib": ["mmbert/cli/sweep/slots.py"],
    "hydra": ["mmbert/training/instantiate.py", "mmbert/cli/*.py", "mmbert/testing/*.py"],
    "pytorch_lightning": [
        "mmbert/data/datamodule.py",
        "mmbert/training/*.py",
        "mmbert/analysis/*.py",
    ],
    "torchmetrics": [
        "mmbert/tasks/*.py",
        "mmbert/training/*.py",
        "mmbert/analysis/*.py",
        "mmbert/testing/task_losses.py",
        "mmbert/deploy/compress/quality.py",
    ],
}
#: Files that are imported only where an extra is asked for.
LATE = {
    "mmbert/cli/sweep/optuna.py",
    "mmbert/cli/sweep/search_storage.py",
    "mmbert/deploy/serving/app.py",
    "mmbert/deploy/serving/responses.py",
}
#: What must not even be reachable from the first lines of a command.
HEAVY = {"torch", "transformers", "timm", "torchaudio", "torchvision", "pytorch_lightning", "wandb", "datasets"}
HEAVY |= {"matplotlib", "pandas", "numpy", "sklearn", "scipy", "torchmetrics", "pyarrow"}


@dataclass(frozen=True)
class Import:
    """One import: the module, where, whether it happens as the file is imported, and the names taken from it."""

    module: str
    line: int
    at_once: bool
    names: tuple[str, ...] = ()


def imports(source: str, package: str = "") -> list[Import]:
    """All imports of a file; ``from mmbert.data import table`` gives both mmbert.data and mmbert.data.tables.table."""
    found: list[Import] = []

    def visit(node: ast.AST, at_once: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(name.name, node.lineno, at_once) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            found.append(Import(module, node.lineno, at_once, tuple(name.name for name in node.names)))
            found.extend(Import(f"{module}.{name.name}", node.lineno, at_once) for name in node.names)
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.iter_child_nodes(node):
            visit(child, at_once and not inside and not typing_only)

    visit(ast.parse(source), True)
    return found


def part_of(module: str) -> str | None:
    """``mmbert.fusion.concat`` -> ``fusion``; None for what is not ours, and for mmbert itself."""
    pieces = module.split(".")
    if pieces[0] != "mmbert" or len(pieces) == 1:
        return None
    known = set(ALLOWED) | {"conf"}
    return pieces[1] if pieces[1] in known else None


def module_name(path: str) -> str:
    """``mmbert/fusion/base.py`` -> ``mmbert.fusion.base``."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def package_name(path: str) -> str:
    """The package whose relative imports a file's are."""
    return path.rpartition("/")[0].replace("/", ".")


def violations(files: dict[str, str]) -> list[str]:
    """What in the files (source by path, such as ``mmbert/data/tables/table.py``) points the wrong way."""
    wrong = []
    for path, source in files.items():
        part = part_of(module_name(path))
        if part is None:
            if path not in ("mmbert/__init__.py",):
                wrong.append(f"{path}: in no known part of mmbert; tests/test_layers.py must be told where it belongs")
            continue
        for item in imports(source, package_name(path)):
            other = part_of(item.module)
            borrowed = any(f"{item.module}.".startswith(f"{name}.") for name in BORROWED.get(part, ()))
            if other is not None and other not in ALLOWED[part] and not borrowed:
                wrong.append(f"{path}:{item.line}: {part} imports {item.module}")
            library = item.module.split(".")[0]
            if library in ONLY_IN and not any(fnmatch(path, pattern) for pattern in ONLY_IN[library]):
                wrong.append(f"{path}:{item.line}: imports {library}")
    return sorted(set(wrong))


def cycle(files: dict[str, str]) -> list[str] | None:
    """A circle of modules that import one another, also inside functions or for types alone; None if there is none."""
    known = {module_name(path): path for path in files}

    def needed(item: Import) -> bool:
        # "from mmbert.data import table" in the package itself needs only table, which Python finds by itself
        submodules = item.names and all(f"{item.module}.{name}" in known for name in item.names)
        return item.module in known and not submodules

    graph = {
        name: {item.module for item in imports(files[path], package_name(path)) if needed(item)} - {name}
        for name, path in known.items()
    }
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str] | None:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return None
        for following in sorted(graph[name]):
            if circle := walk(following, [*way, name]):
                return circle
        done.add(name)
        return None

    return next((circle for name in sorted(graph) if (circle := walk(name, []))), None)


def reachable_at_once(files: dict[str, str], start: str) -> set[str]:
    """Every module, ours or not, that importing ``start`` imports."""
    known = {module_name(path): path for path in files}
    seen: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        todo += [known_parent for known_parent in parents(name) if known_parent in known]
        if name in known:
            todo += [i.module for i in imports(files[known[name]], package_name(known[name])) if i.at_once]
    return seen


def required(text: str) -> set[str]:
    """The names in a list of requirements, one a line, as they are imported."""
    return {name.lower().replace("-", "_") for name in re.findall(r"(?m)^([\w-]+)", text)}


def parents(module: str) -> list[str]:
    """``a.b.c`` -> ``a``, ``a.b``: the packages that are imported with it."""
    pieces = module.split(".")
    return [".".join(pieces[:n]) for n in range(1, len(pieces))]


@pytest.fixture(scope="module")
def ours() -> dict[str, str]:
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in sorted((ROOT / "mmbert").rglob("*.py"))}


def test_every_import_points_to_an_earlier_layer(ours: dict[str, str]) -> None:
    assert violations(ours) == []


def test_no_module_imports_itself_through_others(ours: dict[str, str]) -> None:
    assert cycle(ours) is None


@pytest.mark.parametrize("command", ["train", "predict", "report", "check_fusion", "new_fusion", "list"])
def test_a_command_imports_nothing_heavy_at_once(ours: dict[str, str], command: str) -> None:
    modules = reachable_at_once(ours, f"mmbert.cli.{command}")
    assert {name.split(".")[0] for name in modules} & HEAVY == set()


def test_every_library_is_declared_in_setup_cfg(ours: dict[str, str]) -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    needed = required(config["options"]["install_requires"])
    optional = set().union(*(required(text) for text in config["options.extras_require"].values()))
    called = {"PIL": "pillow", "faiss": "faiss_cpu", "sklearn": "scikit_learn", "yaml": "pyyaml", "hydra": "hydra_core"}
    called |= {"mlflow": "mlflow_skinny", "absl": "absl_py"}
    missing = set()
    for path, source in ours.items():
        for item in imports(source, package_name(path)):
            library = item.module.split(".")[0]
            # the pytest plugin is pytest's to load, and a search is imported when it is asked for
            late = not item.at_once or part_of(module_name(path)) == "testing" or path in LATE
            known = needed | (optional if late else set())
            if (
                library not in sys.stdlib_module_names | {"mmbert"}
                and called.get(library, library).lower() not in known
            ):
                missing.add(f"{path}: {library}")
    assert missing == set()


# ------------------------------------------------------------------------------------ the checker itself is checked


@pytest.mark.parametrize(
    ("path", "source", "message"),
    [
        (
            "mmbert/data/tables/table.py",
            "from mmbert.encoders.base import Encoder",
            "data imports mmbert.encoders.base",
        ),
        ("mmbert/fusion/mean.py", "import mmbert.model", "fusion imports mmbert.model"),
        ("mmbert/fusion/mean.py", "from mmbert.data.labels import TargetEncoder", "fusion imports mmbert.data.labels"),
        ("mmbert/core/types.py", "from mmbert import tasks", "core imports mmbert.tasks"),
        ("mmbert/tasks/base.py", "def f():\n    from mmbert.training import run", "tasks imports mmbert.training"),
        (
            "mmbert/reporting/tables.py",
            "from mmbert.training.results import x",
            "reporting imports mmbert.training.results",
        ),
        ("mmbert/training/run.py", "from ..cli import app", "training imports mmbert.cli"),
        ("mmbert/model/saving.py", "from ..training import run", "model imports mmbert.training"),
        ("mmbert/fusion/mean.py", "import pytorch_lightning as pl", "imports pytorch_lightning"),
        ("mmbert/fusion/mean.py", "from hydra.utils import instantiate", "imports hydra"),
        ("mmbert/fusion/mean.py", "def f():\n    import wandb", "imports wandb"),
        ("mmbert/training/run.py", "import torchaudio.functional as F", "imports torchaudio"),
        ("mmbert/data/tables/table.py", "import timm", "imports timm"),
        ("mmbert/helpers.py", "x = 1", "in no known part"),
    ],
)
def test_a_wrong_import_is_seen(path: str, source: str, message: str) -> None:
    found = violations({path: source})
    assert any(message in complaint for complaint in found), found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("mmbert/encoders/text.py", "import transformers\nfrom mmbert.data.modalities.processor import Processor"),
        (
            "mmbert/fusion/mean.py",
            "from torch import nn\nfrom mmbert.core.masks import blank\nfrom .base import F",
        ),
        ("mmbert/training/run.py", "from mmbert.model import MultimodalModel\nimport mmbert"),
        ("mmbert/cli/train.py", "from mmbert.training.run import run"),
    ],
)
def test_a_right_import_is_left_alone(path: str, source: str) -> None:
    assert violations({path: source}) == []


def test_a_circle_is_seen_also_through_late_and_typing_imports() -> None:
    files = {
        "mmbert/data/a.py": "from mmbert.data.b import x",
        "mmbert/data/b.py": "import mmbert.data.c",
        "mmbert/data/c.py": "from mmbert.data import a",
    }
    assert cycle(files) == ["mmbert.data.a", "mmbert.data.b", "mmbert.data.c", "mmbert.data.a"]
    package = {"mmbert/data/__init__.py": "from mmbert.data.a import x", "mmbert/data/b.py": ""}
    assert cycle(package | {"mmbert/data/a.py": "from mmbert.data import b"}) is None
    assert cycle(package | {"mmbert/data/a.py": "from mmbert.data import x"}) is not None
    circle = ["mmbert.data.a", "mmbert.data.b", "mmbert.data.c", "mmbert.data.a"]
    files["mmbert/data/c.py"] = "def f():\n    from mmbert.data import a"
    assert cycle(files) == circle
    files["mmbert/data/c.py"] = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mmbert.data import a"
    assert cycle(files) == circle
    files["mmbert/data/c.py"] = "def f():\n    from . import a"
    assert cycle(files) == circle
    files["mmbert/data/c.py"] = "from mmbert.core import a"
    assert cycle(files) is None


def test_a_heavy_import_two_files_away_is_seen() -> None:
    files = {
        "mmbert/__init__.py": "",
        "mmbert/cli/__init__.py": "",
        "mmbert/core/__init__.py": "import torch",
        "mmbert/core/errors.py": "",
        "mmbert/cli/train.py": "from mmbert.core.errors import ConfigError",
    }
    assert "torch" in reachable_at_once(files, "mmbert.cli.train")
    files["mmbert/core/__init__.py"] = "def f():\n    import torch"
    assert "torch" not in reachable_at_once(files, "mmbert.cli.train")
