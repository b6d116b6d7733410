"""The YAML of tasks, balance, optimiser and schedule names every option of its class, with the class's defaults."""

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from mmbert.reporting.statistics.summary import is_error
from mmbert.tasks.base import Task

CONF = Path(__file__).parents[2] / "conf"
LEARNT = {"no_answer", "tags", "scheme", "classes", "class_counts", "labelled_count", "mean", "std"}
LEARNT |= {"symbols", "spaces"}
GIVEN = {"in_dim": 3, "dims": {"text": 4, "image": 5}}
LABEL_FREE = {"retrieval"}
CELLS = {"classification": ["b", "a"], "ordinal": [3, 1, 2], "multilabel": ["a|b", "a"], "regression": [1.0, 3.0]}
CELLS |= {"tagging": ["O B-A I-A", ["B-B", "O"]], "extractive_qa": ["in Rome", []]}
CELLS |= {"transcription": ["one two", "three"], "generation": ["a cat", "b"], "extractive_summary": ["a b.", [0]]}


def options(group, name):
    return OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))


@pytest.mark.parametrize(
    ("group", "name"),
    [
        (group, path.stem)
        for group in ("task", "optimizer", "scheduler")
        for path in sorted((CONF / group).glob("*.yaml"))
    ],
)
def test_every_option_is_there_with_its_default(group, name):
    written = options(group, name)
    signature = inspect.signature(get_class(written.pop("_target_")))
    known = {key: p.default for key, p in signature.parameters.items() if key not in {*GIVEN, "assets"}}
    assert written.keys() == known.keys()
    for key, value in written.items():
        if key == "column":
            assert value == (None if name in LABEL_FREE else "???")
        elif key in LEARNT:
            assert value is None
        else:
            assert value == (list(known[key]) if isinstance(known[key], tuple) else known[key]), key


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "task").glob("*.yaml")))
def test_a_task_is_built_from_its_yaml_and_what_it_learns(name):
    part = OmegaConf.load(CONF / "task" / f"{name}.yaml")
    column = "label" if "column" in set(part) else None
    if column is not None:
        part.column = column
    kind = get_class(part._target_)
    learned = kind.fit_labels(CELLS.get(name, CELLS.get(kind.kind)), "label")
    asked = inspect.signature(kind).parameters
    task = instantiate(part, _convert_="all", **learned, **{key: x for key, x in GIVEN.items() if key in asked})
    assert isinstance(task, Task) and task.column == column and task.in_dim == 3
    for metric, measured in task.make_metrics().items():
        assert is_error(f"test/x/{metric}") == (measured.higher_is_better is False), metric


def test_the_demo_sets_tasks_begin_with_the_answer():
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(CONF), version_base="1.3"):
        tasks = compose(overrides=["+tasks=talking_digits", "tasks.value.weight=0.5"]).tasks
    kinds = {name: get_class(task._target_).__name__ for name, task in tasks.items()}
    assert list(kinds.items()) == [
        ("answer", "Classification"),
        ("seen", "Classification"),
        ("heard", "Classification"),
        ("operation", "Classification"),
        ("properties", "Multilabel"),
        ("value", "Regression"),
    ]
    assert all(task.column == name for name, task in tasks.items()) and tasks.value.weight == 0.5
