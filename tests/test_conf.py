"""Every YAML in conf/ composes, names a class that exists, and lists exactly that class's options."""

import gc
import inspect
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml

from mmbert.cli.app import flags_first
from mmbert.cli.options import schema
from mmbert.cli.options.check import check_words
from mmbert.cli.options.task_word import with_task_sets
from mmbert.cli.resume import BESIDE, asks_to_resume
from mmbert.cli.sweep.search_path import PACKAGE

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
OWN = ["data=manifest", "data.path=my.csv"]
#: What the building code passes by itself, so that no YAML need say it.
PASSED = {
    "mmbert.encoders.": {"assets"},  # a saved model's own files
    "mmbert.fusion.": {"dims"},
    "mmbert.tasks.": {"in_dim", "dims", "assets"},
    "mmbert.training.balance.": {"tasks"},
    "mmbert.training.modality_balance.": {"seed"},
    "mmbert.training.loggers.": {"run"},
    "mmbert.data.": {"seed", "label", "augment", "drop", "only"},
    "pytorch_lightning.Trainer": {"logger", "callbacks", "default_root_dir"},
    "pytorch_lightning.callbacks.ModelCheckpoint": {"dirpath"},
}
FILES = sorted(CONF.rglob("*.yaml"))


@contextmanager
def hydra_here() -> Iterator[None]:
    gc.disable()  # as the command itself does: composing is faster without
    try:
        with hydra.initialize_config_module(PACKAGE, version_base="1.3", job_name="train"):
            yield
    finally:
        gc.enable()


def find(path: str) -> Any:
    """The class or function that a ``_target_`` names."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def wrong_options(node: dict[str, Any]) -> list[str]:
    """Options of a config node that its class does not take, and those of the class that it does not list."""
    target = node["_target_"]
    parameters = inspect.signature(find(target)).parameters
    free = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    known = {n for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    passed = set().union(*(names for beginning, names in PASSED.items() if target.startswith(beginning)))
    listed = {name for name in node if not name.startswith("_")}
    extra = set() if free else listed - known
    return [f"{target} takes no {name}" for name in sorted(extra)] + [
        f"{target} has {name}, which is not in the YAML" for name in sorted(known - listed - passed)
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CONF)))
def test_a_file_lists_exactly_its_classs_options(file: Path) -> None:
    content = yaml.safe_load(file.read_text("utf-8")) or {}
    ours = "hydra" not in file.relative_to(CONF).parts
    assert [p for _, node in schema.nodes(content) if ours and "_target_" in node for p in wrong_options(node)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CONF)))
def test_a_file_begins_by_saying_what_it_is(file: Path) -> None:
    head = []
    for line in file.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @"):
            head.append(line)
    assert head, f"{file} has no comment at its head"
    group = file.parent.name
    if group != "hydra" and file.parents[1] == CONF:
        word = rf"(mmbert-train.* \+?{group}(@[\w.]+)?=([\w,]*,)?{file.stem}\b)"
        option = rf"(mmbert-train.* ~?\+?(encoders\.)?{group}\.[\w.]+)"  # of the default choice
        assert re.search(f"{word}|{option}", "\n".join(head)), f"{file} does not say how to try it"


def commands() -> list[tuple[str, str]]:
    """Every ``mmbert-train`` command in the heads of the YAML files, the README and docs/, with where it stands."""
    found = []
    for file in FILES:
        for line in file.read_text("utf-8").splitlines():
            if match := re.match(r"# [A-Z]\w*: +mmbert-train ?(.*?)(?:, then .*)?$", line):
                found.append((str(file.relative_to(ROOT)), match[1]))
    own = {*(ROOT / "docs").glob("your_own_*.md")}  # which have folders of their own
    pages = {*(ROOT / "docs").glob("*.md")} - own
    for file in [ROOT / "README.md", *pages, *ROOT.glob("experiments/*/README.md")]:
        text = file.read_text("utf-8").replace("\\\n", " ") if file.exists() else ""
        shown = re.findall(r"(?m)^ {4,}(?:\$ )?mmbert-train ?(.*)$", text)
        # what mmbert-new-fusion writes is not there to be checked; docs/your_own_fusion.md is run as it stands
        shown = [command for command in shown if "my_fusion" not in command]
        found += [(str(file.relative_to(ROOT)), " ".join(command.split())) for command in shown]
    return sorted((where, command) for command, where in {command: where for where, command in found}.items())


@pytest.mark.parametrize(("where", "command"), commands())
def test_a_command_that_is_shown_is_right(where: str, command: str) -> None:
    words = with_task_sets(flags_first(shlex.split(command, comments=True)))
    if asks_to_resume(words):
        names = {word.partition("=")[0] for word in words}  # a folder, and beside it what no step depends on
        assert names <= {"resume", *BESIDE} and len(words) == len(names)
        return
    with hydra_here():
        check_words([word for word in words if not word.startswith("-")], "train", sweep="-m" in words)


def test_docs_list_every_study() -> None:
    page = (ROOT / "docs" / "studies.md").read_text("utf-8")
    studies = {file.stem for file in (CONF / "experiment").glob("*.yaml")}
    assert {name for name in studies if f"| `{name}` |" not in page} == set()


def test_defaults_run_without_an_argument() -> None:
    with hydra_here():
        cfg = check_words([], "train")
    assert {name for name, part in cfg.encoders.items() if part} == {"text", "image", "audio"}
    assert len(cfg.tasks) > 1


@pytest.mark.parametrize("name", ["text", "image", "audio"])
def test_none_leaves_a_modality_out(name: str) -> None:
    with hydra_here():
        cfg = check_words([f"{name}=none"], "train")
    assert {key for key, part in cfg.encoders.items() if part} == {"text", "image", "audio"} - {name}


def test_the_demos_tasks_come_with_its_data_alone() -> None:
    with hydra_here():
        assert check_words(OWN, "train").tasks == {}
        assert "answer" in check_words([*OWN, "tasks=talking_digits"], "train").tasks
        assert check_words(["tasks.heard=null"], "train").tasks.heard is None


def test_a_debug_setting_wins_over_a_study() -> None:
    with hydra_here():
        cfg = check_words(["experiment=fusion_comparison", "debug=fast"], "train")
    assert cfg.trainer.limit_train_batches == 3
    assert cfg.logger == {}


def test_the_whole_folder_is_installed_as_package_data() -> None:
    folder = resources.files(PACKAGE)
    installed = {file for file in FILES if folder.joinpath(str(file.relative_to(CONF))).is_file()}
    assert installed == set(FILES)


# ----------------------------------------------------------------------------------- the checks themselves are checked


class Planted:
    """A class of two options, one of which nobody passes."""

    def __init__(self, width: int, depth: int = 2, **more: int) -> None: ...


class Strict:
    """A class without further options."""

    def __init__(self, width: int) -> None: ...


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"_target_": f"{__name__}.Strict", "width": 1, "hight": 2}, "Strict takes no hight"),
        ({"_target_": f"{__name__}.Strict"}, "Strict has width, which is not in the YAML"),
        ({"_target_": f"{__name__}.Planted", "width": 1, "anything": 3}, "Planted has depth"),
        ({"_target_": "pytorch_lightning.callbacks.EarlyStopping"}, "EarlyStopping has patience"),
    ],
)
def test_a_wrong_option_in_a_yaml_is_seen(
    options: dict[str, Any], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "find", lambda path: globals().get(path.split(".")[-1]) or find_class(path))
    assert any(problem in found for found in wrong_options(options))


find_class = find


def test_the_yaml_files_are_read_as_hydra_reads_them() -> None:
    for file in FILES:
        assert isinstance(yaml.safe_load(file.read_text("utf-8")) or {}, dict), file
