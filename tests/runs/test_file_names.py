"""The names of a run's files are spelled in ``mmbert/runs/`` and nowhere else."""

import ast
from pathlib import Path

import pytest

from mmbert.runs.paths import RunPaths

COVERS = ("paths",)
ROOT = Path(__file__).parents[2]
RUN = RunPaths("")
FILES = {
    path.name
    for path in (
        *(RUN.config, RUN.environment, RUN.job, RUN.history, RUN.metrics, RUN.diagnostics, RUN.robustness),
        *(RUN.evaluation, RUN.error, RUN.pruned, RUN.skipped, RUN.last_checkpoint, RUN.hydra_config),
    )
}
FOLDERS = {path.name for path in (RUN.predictions, RUN.plots, RUN.samples, RUN.model, RUN.checkpoints)}
#: Folders of the same name that are no run's, and whose they are.
OTHERS = {
    ("mmbert/encoders/audio.py", "checkpoints"): "of torch.hub",
    ("mmbert/encoders/pretrained/transformers.py", "model"): "of a wheel with weights",
}


def spelled(source: str) -> list[tuple[int, str]]:
    """Line and name: files' names in strings, folders' names where a path is put together by ``/``.

    Docstrings and texts of several lines, such as a command's help, may name files.
    """
    found = []
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}

    def is_text(node: ast.Constant) -> bool:
        return id(node) in docstrings or node.value.count("\n") > 1

    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not is_text(node):
            words = node.value.replace("/", " ").replace("{", " ").split()
            found += [(node.lineno, name) for name in FILES if any(word.strip("`'\"():;,") == name for word in words)]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = node.right.values if isinstance(node.right, ast.JoinedStr) else [node.right]
            if isinstance(parts[0], ast.Constant) and isinstance(parts[0].value, str):
                found += [(node.lineno, name) for name in [parts[0].value.partition("/")[0]] if name in FOLDERS]
    return found


def test_no_other_file_spells_them():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted((ROOT / "mmbert").rglob("*.py"))
        if "runs" not in path.relative_to(ROOT).parts
        for line, name in spelled(path.read_text("utf-8"))
        if (str(path.relative_to(ROOT)), name) not in OTHERS
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("path = folder / 'metrics.json'", "metrics.json"),
        ("path = f'{folder}/history.csv'", "history.csv"),
        ("FILE = 'robustness.json'", "robustness.json"),
        ("glob('checkpoints/last.ckpt')", "last.ckpt"),
        ("path = run / 'predictions' / f'{split}.parquet'", "predictions"),
        ("path = run / f'plots/{name}.png'", "plots"),
        ("print(f'its numbers are in metrics.json')", "metrics.json"),
    ],
)
def test_a_spelled_name_is_seen(source, name):
    assert [found for _, found in spelled(source)] == [name]


@pytest.mark.parametrize(
    "source",
    [
        'def f():\n    """Leaves ``metrics.json``."""',
        "x['model']",
        "log_figure(f'plots/{name}.png')",
        "a / b",
        "'.skipped.csv'",
    ],
)
def test_other_strings_are_left_alone(source):
    assert spelled(source) == []
