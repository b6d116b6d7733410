"""The studies that ship: each composes, has the jobs it should have, and agrees with its file for W&B sweeps."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose as compose_by_hydra
from hydra import initialize_config_module
from hydra.core.hydra_config import HydraConfig

from mmbert.cli import study as command
from mmbert.cli.options.subset import keep_subset
from mmbert.cli.options.values import without_hydra
from mmbert.cli.study import load_study, wandb_file
from mmbert.cli.sweep.sweeper import as_job
from mmbert.core.errors import ConfigError
from mmbert.runs.job import job_hash
from mmbert.runs.naming import flatten, fusion_name, modalities_label

ROOT = Path(__file__).parents[2]
#: How many values each axis has, seeds last.
STUDIES = {
    "fusion_comparison": {"fusion": 4, "seed": 5},
    "modality_ablation": {"modalities": 7, "seed": 3},
    "encoder_comparison": {"text": 2, "image": 2, "audio": 2, "seed": 3},
    "few_shot": {"data.per_class": 4, "seed": 5},
    "multitask_gain": {"tasks": 7, "seed": 3},
    "missing_modalities": {"data.missing": 9, "augment.modality_dropout": 2, "seed": 2},
    "noise_robustness": {"fusion": 4, "seed": 3},
}
#: As small as a job of each can be.
TINY = [
    *("data.sizes.train=48", "data.sizes.val=16", "data.sizes.test=16", "data.sizes.test_missing=16"),
    *("data.num_workers=0", "data.batch_size=16", "fusion.out_dim=16", "logger=csv", "trainer=cpu"),
    *("trainer.max_epochs=1", "trainer.enable_progress_bar=false"),
]
SMALL = ["text=tiny", "image=tiny", "audio=tiny"]
CLASSES = [
    f"tasks.answer.classes=[{','.join(map(str, range(-12, 25)))}]",
    *(f"tasks.{task}.classes=[{','.join(map(str, range(13)))}]" for task in ("seen", "heard")),
    "tasks.operation.classes=[add,distance,larger,smaller,subtract,subtract_from]",
    "tasks.properties.classes=[even,odd,prime,square,above_nine,negative]",
]


@contextlib.contextmanager
def hydra_here():
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        yield


def compose(name, words, **given):
    """A job's config, less the encoders that its subset leaves out."""
    cfg = compose_by_hydra(name, words, **given)
    keep_subset(cfg)
    return cfg


def group_of(cfg, axis):
    """What a run's config says of an axis, as the report reads it."""
    config = without_hydra(cfg)
    if axis == "fusion":
        return fusion_name(config)
    if axis == "modalities":
        return modalities_label(config)
    if axis == "tasks":
        return "+".join(name for name, part in config.tasks.items() if part)
    return flatten(dict(config.items()))[axis]


# each job is composed, a quarter of a second: the studies with most of them are slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in ("missing_modalities", "multitask_gain") else n for n in STUDIES],
)
def test_a_study_has_its_jobs(name):
    study = load_study(name)
    assert {key: len(values) for key, values in study.params.items()} == STUDIES[name]
    jobs = study.jobs()
    told = study.cfg.study
    assert told.name == name and told.metric == "test/answer/accuracy" and not told.resume
    assert set(told.baseline) <= set(told.axes)
    hashes, folders, groups = set(), set(), set()
    with hydra_here():
        for words in [*(words for words in jobs if words[-1] == "seed=0"), jobs[1]]:
            cfg = compose("train", [f"experiment={name}", *words], return_hydra_config=True)
            with as_job(cfg):
                hashes.add(job_hash(without_hydra(cfg)))
                folders.add(f"{cfg.hydra.sweep.dir}/{cfg.hydra.sweep.subdir}")
            groups.add(tuple(group_of(cfg, axis) for axis in told.axes))
    seeds = STUDIES[name]["seed"]
    assert len(hashes) == len(folders) == len(jobs) // seeds + 1
    assert len(groups) == len(jobs) // seeds  # the axes tell apart all that differ by more than the seed
    baseline = [tuple(group[list(told.axes).index(axis)] for axis in told.baseline) for group in groups]
    assert tuple(told.baseline.values()) in baseline
    assert all(folder.startswith(f"multirun/{name}/") for folder in folders)
    assert not HydraConfig.initialized()


def axes_of_choices():
    """(study, group, choices) of every study that sweeps over a group in a place of its own, ``task@tasks.topic``."""
    for path in sorted((ROOT / "conf" / "experiment").glob("*.yaml")):
        params = yaml.safe_load(path.read_text("utf-8"))["hydra"]["sweeper"]["params"]
        yield from ((path.stem, key, str(values).split(",")) for key, values in params.items() if "@" in key)


@pytest.mark.parametrize(("name", "group", "choices"), axes_of_choices())
def test_the_folder_of_a_job_names_the_choice_of_a_group_in_its_place(name, group, choices):
    with hydra_here():
        for choice in choices:
            cfg = compose("train", [f"experiment={name}", f"{group}={choice}"], return_hydra_config=True)
            with as_job(cfg):
                assert choice in cfg.hydra.sweep.subdir.split("-")


def test_the_subsets_of_the_modalities_are_all_seven():
    with hydra_here():
        labels = [
            modalities_label(compose("train", ["experiment=modality_ablation", f"modalities={value}"]))
            for value in load_params("modality_ablation")["modalities"]
        ]
    assert sorted(labels) == sorted(
        ["text", "image", "audio", "text+image", "text+audio", "image+audio", "text+image+audio"]
    )


def load_params(name):
    sweep = yaml.safe_load((ROOT / "experiments" / name / "wandb_sweep.yaml").read_text("utf-8"))
    return {key: part["values"] for key, part in sweep["parameters"].items()}


@pytest.mark.parametrize("name", STUDIES)
def test_the_file_for_wandb_is_that_of_the_study(name):
    assert (ROOT / "experiments" / name / "wandb_sweep.yaml").read_text("utf-8") == wandb_file(name)


def agents_words(sweep, values):
    """The command as the agent of wandb makes it, by its own functions."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    told = create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
    words = []
    for word in create_sweep_command([*sweep["command"]]):
        words += told[word.removeprefix("${").removesuffix("}")] if word.startswith("${") else [word]
    return words


@pytest.mark.parametrize("name", STUDIES)
def test_the_agents_of_wandb_start_the_same_jobs(name):
    sweep = yaml.safe_load((ROOT / "experiments" / name / "wandb_sweep.yaml").read_text("utf-8"))
    grid = [{}]
    for key, part in sweep["parameters"].items():
        grid = [{**one, key: value} for one in grid for value in part["values"]]
    commands = [agents_words(sweep, values) for values in grid]
    assert all(words[:3] == ["mmbert-train", f"experiment={name}", "logger=wandb"] for words in commands)
    assert [words[3:] for words in commands] == load_study(name).jobs()
    assert sweep["method"] == "grid" and sweep["metric"] == {"name": "val/answer/accuracy", "goal": "maximize"}


@pytest.mark.slow
def test_a_command_of_an_agent_runs_offline(tmp_path):
    sweep = yaml.safe_load((ROOT / "experiments" / "fusion_comparison" / "wandb_sweep.yaml").read_text("utf-8"))
    words = agents_words(sweep, {"fusion": "mean", "seed": 1})
    ours = {"WANDB_MODE": "offline", "WANDB_SWEEP_ID": "abc123", "WANDB_RUN_ID": "run1", "OMP_NUM_THREADS": "1"}
    more = [*(word for word in TINY if word != "logger=csv"), *SMALL, *CLASSES, "hydra.run.dir=out"]
    program = [sys.executable, "-m", "mmbert.cli.train", *words[1:], *more]
    done = subprocess.run(program, cwd=tmp_path, env={**os.environ, **ours}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "metrics.json").exists()
    (run,) = (tmp_path / "out" / "wandb").glob("offline-run-*")
    assert run.name.endswith("run1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fusion_comparison", ["fusion=mean,concat", "seed=0", *SMALL, *CLASSES]),
        ("modality_ablation", ["modalities=text_image_audio,image", "seed=0", *SMALL, *CLASSES]),
        ("encoder_comparison", ["text=tiny", "image=tiny", "audio=tiny", "seed=0", *CLASSES]),
        ("few_shot", ["data.per_class=1,2", "seed=0", *SMALL, *CLASSES, "trainer.check_val_every_n_epoch=1"]),
        ("multitask_gain", ["tasks=only_value,only_seen", "seed=0", *SMALL]),
    ],
)
def test_a_study_runs_with_tiny_encoders(train, here, name, words):
    ended = train("-m", f"experiment={name}", *TINY, *words, base=[])
    assert ended.code == 0, ended.err
    runs = list((here / "multirun" / name).glob("*/metrics.json"))
    assert len(runs) == (1 if name == "encoder_comparison" else 2)
    for path in runs:
        assert json.loads((path.parent / "job.json").read_text())["command"].startswith("mmbert-train ")


def test_a_study_of_ones_own_is_found_by_its_name(here, capsys, monkeypatch):
    (here / "experiments").mkdir()
    (here / "experiments" / "mine.yaml").write_text(
        "# @package _global_\nstudy:\n  name: mine\nhydra:\n  sweeper:\n    params:\n      seed: 0,1\n"
    )
    (here / "experiments" / "other").mkdir()
    monkeypatch.setattr(sys, "argv", ["mmbert-study", "show", "mine"])
    command.main()
    assert capsys.readouterr().out.startswith("mine: 2 jobs of 2 seed\n")
    monkeypatch.setattr(sys, "argv", ["mmbert-study", "list"])
    command.main()
    assert {"mine", *STUDIES} <= set(capsys.readouterr().out.split())
    monkeypatch.setattr(sys, "argv", ["mmbert-study", "show", "mien"])
    with pytest.raises(SystemExit) as leaving:
        command.main()
    assert leaving.value.code == 2 and "Did you mean 'mine'?" in capsys.readouterr().err
    (here / "experiments" / "mine.yaml").write_text("# @package _global_\nseed: 1\n")
    with pytest.raises(ConfigError, match="sweeps nothing"):
        load_study("mine")
