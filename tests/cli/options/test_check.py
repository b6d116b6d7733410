"""What the command line says to a wrong option: the very word, what it may be, and the nearest right spelling."""

import copy
import functools
from collections.abc import Callable
from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf

from mmbert.cli.options.check import check_config, check_words
from mmbert.cli.sweep.search_path import PACKAGE, add_working_folder
from mmbert.core.errors import ConfigError

OWN = ["data=manifest", "data.path=my.csv"]
Check = Callable[..., dict]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Checks words as in an empty folder; returns the job's config."""
    monkeypatch.chdir(tmp_path)
    add_working_folder()

    def run(*words: str, sweep: bool = False) -> dict:
        with hydra.initialize_config_module(PACKAGE, version_base="1.3", job_name="train"):
            cfg = check_words(list(words), "train", sweep=sweep)
            return OmegaConf.to_container(cfg)  # type: ignore[return-value]

    return run


#: Most wrong words are held against one and the same config, which takes a fifth of a second to compose.
compose = hydra.compose
composed = functools.cache(lambda name, *words, **given: compose(name, [*words], **given))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        # names
        ("fuson=concat", "fuson=concat: there is no option 'fuson'. Did you mean 'fusion'?"),
        ("trainer.max_epoch=3", "there is no option 'trainer.max_epoch'. Did you mean 'trainer.max_epochs'?"),
        ("trainr.max_epochs=3", "Did you mean 'trainer.max_epochs'?"),
        ("optimiser.lr=0.1", "there is no option 'optimiser.lr'. Did you mean 'optimizer.lr'?"),
        ("encoders.txt.pooling=cls", "Did you mean 'encoders.text.pooling'?"),
        ("text.pooling=cls", "Did you mean 'encoders.text.pooling'?"),
        ("lr=0.1", "Did you mean 'optimizer.lr'?"),
        ("batch_size=8", "Did you mean 'data.batch_size'?"),
        ("fusion.zzz=1", "there is no option 'fusion.zzz'. fusion has: _target_, "),
        ("fusion.zzz=1", "To add one of your own: [+]fusion.zzz=1"),
        ("seed.zzz=1", "there is no option 'seed.zzz'"),
        ("hydra.run.dri=x", "Did you mean 'hydra.run.dir'?"),
        # choices from groups
        (
            "fusion=conact",
            "fusion has no choice 'conact'. Did you mean 'concat'? Choices: ",
        ),
        ("data=manifset", "Did you mean 'manifest'?"),
        ("experiment=fusion_comparson", "Did you mean 'fusion_comparison'?"),
        ("debug=[fast,overfitt]", "debug has no choice 'overfitt'. Did you mean 'overfit'?"),
        ("experiment=null", "to choose nothing from experiment, leave it out or write ~experiment"),
        ("+imge@encoders.scan=resnet_mini", "there is no group 'imge'. Did you mean 'image'?"),
        ("+image@encoders.scan=resnet_mni", "image has no choice 'resnet_mni'. Did you mean 'resnet_mini'?"),
        ("+fuson=concat", "there is no group 'fuson'. Did you mean 'fusion'?"),
        ("image@encoders.scan=resnet_mini", "[+]image@encoders.scan=resnet_mini"),
        ("~fusin", "'fusin' does not exist. Did you mean 'fusion'?"),
        # grammar
        ("concat", "'concat' is no option. Options are key=value"),
        ("data.path=a=1.csv", "data.path=a=1.csv: the value cannot be read. .*'data.path=\"a=1.csv\"'"),
        ("+qqq=minilm", "there is no group 'qqq', and nothing reads an option of this name. Choices: .*fusion"),
        ("fusion=concat,mean", "several values are a sweep. To run one after the other, add -m. As a list: fusion="),
        # values
        ("trainer.max_epochs=abc", "trainer.max_epochs=abc: a whole number of at least -1 is wanted"),
        ("trainer.max_epochs=1.5", "trainer.max_epochs=1.5: a whole number"),
        ("trainer.precision=bf61-mixed", "Did you mean 'bf16-mixed'?"),
        ("trainer.strategy=dpp", "Did you mean 'ddp'?"),
        ("trainer.accelerator=gpus", "Did you mean 'gpu'?"),
        ("trainer.devices=zero", "a number of devices"),
        ("trainer.devices=0", "a number of devices"),
        ("trainer.limit_train_batches=1.5", "a number of batches"),
        ("trainer.enable_progress_bar=7", "true or false is wanted here, such as the default true"),
        ("data.batch_size=big", "data.batch_size=big: a whole number of at least 1"),
        ("data.batch_size=-3", "a whole number of at least 1"),
        ("data.columns=text", "a group of options"),
        ("optimizer.lr=fast", "optimizer.lr=fast: a number above 0"),
        ("optimizer.lr=-0.1", "a number above 0"),
        ("optimizer.lr=inf", "a number above 0"),
        ("optimizer.betas=[0.9]", "a list of 2 values"),
        ("scheduler.warmup=1.5", "a whole number of steps"),
        ("fusion.dropout=1.0", "a number of at least 0 and below 1"),
        ("encoders.text.pooling=men", "Did you mean 'mean'? Choices: mean, cls, pooler"),
        ("encoders.text.frozen=yes", "true or false"),
        ("encoders.text.max_tokens=0", "a whole number of at least 1"),
        ("seed=-1", "a whole number of at least 0"),
        ("seed=true", "a whole number of at least 0"),
        ("compile=1", "true or false"),
        # nothing is chosen on the test split
        ("monitor=test/answer/accuracy", "nothing is chosen on a test split.*monitor=val/answer/accuracy"),
        ("monitor=test_missing/answer/accuracy", "nothing is chosen on a test split"),
        ("callbacks.early_stopping.monitor=test/loss", "early_stopping.monitor=test/loss: nothing is chosen on a test"),
        ("callbacks.checkpoint.monitor=test/loss", "callbacks.checkpoint.monitor=val/loss"),
        ("+objective=test/answer/accuracy", "objective=test/answer/accuracy: nothing is chosen on a test split"),
        ("callbacks.early_stopping.monitor=val/loss", "Say callbacks.early_stopping.mode=max or min"),
        # interpolations
        ("data.path=${dta.file}", "cannot be resolved: .*dta.file"),
    ],
)
def test_a_wrong_word_is_told(check: Check, word: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hydra, "compose", lambda name, words, **given: copy.deepcopy(composed(name, *words, **given)))
    words = [*OWN, word] if word.split("=")[0] != "data" else [word]
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        check(*words)


def test_a_value_that_is_missing_is_asked_for(check: Check) -> None:
    with pytest.raises(ConfigError, match="data.path has no value, and needs one: data.path=FILE"):
        check("data=manifest")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"data.path": "my.csv"}),
        (["text=none"], {"encoders.text": {}}),
        (
            ["trainer.devices=[0,2]", "trainer.accelerator=gpu"],
            {"trainer.devices": [0, 2], "trainer.accelerator": "gpu"},
        ),
        (["trainer.max_time=00:01:00:00"], {"trainer.max_time": "00:01:00:00"}),
        (["trainer.gradient_clip_val=null"], {"trainer.gradient_clip_val": None}),
        (
            ["trainer.limit_train_batches=0.1", "trainer.limit_val_batches=3"],
            {"trainer.limit_train_batches": 0.1, "trainer.limit_val_batches": 3},
        ),
        (
            ["trainer.profiler={_target_: pytorch_lightning.profilers.SimpleProfiler}"],
            {"trainer.profiler": {"_target_": "pytorch_lightning.profilers.SimpleProfiler"}},
        ),
        (
            ["callbacks.early_stopping.monitor=val/loss", "callbacks.early_stopping.mode=min"],
            {"callbacks.early_stopping.monitor": "val/loss", "callbacks.early_stopping.mode": "min"},
        ),
        (["~callbacks.early_stopping"], {"callbacks.early_stopping": None}),
        (["optimizer.lr=1"], {"optimizer.lr": 1}),
        (["data.columns.text=3"], {"data.columns.text": "3"}),
        (["+data.columns.scan=file"], {"data.columns.scan": "file"}),
        (["debug=[fast,overfit]"], {"trainer.overfit_batches": 3}),
        (["data.columns.text=文本", "data.path=a(1).csv"], {"data.columns.text": "文本", "data.path": "a(1).csv"}),
        (["+rate=0.25", "fusion.dropout=${rate}"], {"rate": 0.25}),
        (["experiment=fusion_comparison"], {"study.name": "fusion_comparison"}),
        (["hydra.run.dir=/tmp/x", "hydra.verbose=true"], {"data.path": "my.csv"}),
        (["data.path=${hydra:runtime.output_dir}/x.csv"], {}),
        (["data.path=${oc.env:HOME,here}/x.csv"], {"data.path": "${oc.env:HOME,here}/x.csv"}),
    ],
)
def test_right_words_pass(check: Check, words: list[str], expected: dict[str, object]) -> None:
    cfg = check(*OWN, *words)
    for path, value in expected.items():
        node: object = cfg
        for part in path.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        assert node == value, path


def test_more_encoders_and_tasks_are_a_matter_of_config(check: Check) -> None:
    words = ["+image@encoders.scan=resnet_mini", "encoders.scan.image_size=[8,8]", "text=none"]
    words += ["+task@tasks.mood=classification", "tasks.mood.column=label", "+task@tasks.price=regression"]
    cfg = check(*OWN, *words)
    assert {name for name, part in cfg["encoders"].items() if part} == {"scan", "image", "audio"}
    assert cfg["encoders"]["scan"]["image_size"] == [8, 8] != cfg["encoders"]["image"]["image_size"]
    assert cfg["tasks"]["mood"]["column"] == "label"
    assert cfg["tasks"]["price"]["column"] == "???"  # asked for when the table's columns are known


@pytest.mark.parametrize(
    "words",
    [
        ["trainer.max_epochs=2", "fusion=concat", "fusion.dropout=0.3", "seed=4"],
        ["+study.note=3", "~callbacks.early_stopping", "monitor=val/loss", "data.columns={text: a}"],
        ["experiment=modality_ablation", "seed=1", "debug=fast"],
    ],
)
def test_what_is_checked_is_what_hydra_would_run(check: Check, words: list[str]) -> None:
    checked = check(*OWN, *words)
    with hydra.initialize_config_module(PACKAGE, version_base="1.3", job_name="train"):
        composed = OmegaConf.to_container(hydra.compose("train", [*OWN, *words]))
    checked.pop("hydra")
    assert checked == composed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fusion=concat,maen"], "fusion has no choice 'maen'. Did you mean 'mean'"),
        (["trainer.max_epochs=1,2,abc"], "trainer.max_epochs=abc: a whole number"),
        (["fusion.dropout=choice(0.1,7)"], "fusion.dropout=7: a number of at least 0 and below 1"),
        (["seed=range(-1,3)"], "seed=-1: a whole number"),
        (["fusion.drpout=0.1,0.2"], "Did you mean 'fusion.dropout'"),
    ],
)
def test_every_value_of_a_sweep_is_checked_before_its_first_job(check: Check, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(*OWN, *words, sweep=True)


def test_the_parameters_of_a_study_are_checked_too(check: Check, tmp_path: Path) -> None:
    study = tmp_path / "experiment" / "mine.yaml"
    study.parent.mkdir()
    study.write_text("# @package _global_\nhydra:\n  sweeper:\n    params:\n      fusion: concat,men\n")
    with pytest.raises(ConfigError, match="fusion has no choice 'men'"):
        check(*OWN, "experiment=mine", sweep=True)
    study.write_text("# @package _global_\nhydra:\n  sweeper:\n    params:\n      fusion.dropuot: 0.1,0.2\n")
    with pytest.raises(ConfigError, match="Did you mean 'fusion.dropout'"):
        check(*OWN, "experiment=mine", sweep=True)
    study.write_text("# @package _global_\nhydra:\n  sweeper:\n    params: {fusion: 'concat,mean', seed: '0,1'}\n")
    cfg = check(*OWN, "experiment=mine", "seed=5", sweep=True)
    assert cfg["fusion"]["_target_"].endswith("ConcatFusion")
    assert cfg["seed"] == 5


def test_a_value_in_a_users_own_yaml_is_checked(check: Check, tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\ntrainer:\n  max_epochs: ten\n")
    with pytest.raises(ConfigError, match="trainer.max_epochs=ten: a whole number"):
        check(*OWN, "experiment=mine")


def test_a_users_own_class_is_not_judged_by_our_rules(check: Check, tmp_path: Path) -> None:
    (tmp_path / "fusion").mkdir()
    (tmp_path / "my_lab.py").write_text("class Mine:\n    def __init__(self, dims, out_dim, dropout): ...\n")
    (tmp_path / "fusion" / "mine.yaml").write_text("_target_: my_lab.Mine\nout_dim: 8\ndropout: heavy\n")
    assert check(*OWN, "fusion=mine")["fusion"]["dropout"] == "heavy"


def test_a_range_in_a_users_own_class_is_honoured_and_nothing_is_registered(check: Check, tmp_path: Path) -> None:
    (tmp_path / "fusion").mkdir()
    (tmp_path / "my_lab.py").write_text(
        "from typing import Annotated, Literal\n"
        "from mmbert.core.ranges import OneOf, Range\n"
        "from mmbert.fusion.base import Fusion\n"
        "raise SystemExit('imported before the options were checked')\n"
        "class Mine(Fusion):\n"
        "    def __init__(self, dims, out_dim=8, heads: Annotated[int, Range(1)] = 2,\n"
        "                 keep: Annotated[float, Range(0, below=1)] = 0.5,\n"
        "                 read: Annotated[str, OneOf('last', 'mean')] = 'last'): ...\n"
    )
    (tmp_path / "fusion" / "mine.yaml").write_text(
        "_target_: my_lab.Mine\nout_dim: 8\nheads: 2\nkeep: 0.5\nread: last\n"
    )
    assert check(*OWN, "fusion=mine", "fusion.heads=3")["fusion"]["heads"] == 3
    for word, message in [
        ("fusion.heads=0", "fusion.heads=0: a whole number of at least 1 is wanted here."),
        ("fusion.keep=1", "fusion.keep=1: a number of at least 0 and below 1 is wanted here."),
        ("fusion.read=lst", "fusion.read=lst: not one of the choices. Did you mean 'last'? Choices: last, mean."),
        ("fusion.out_dim=0", "fusion.out_dim=0: a whole number of at least 1 is wanted here."),  # of the base class
    ]:
        with pytest.raises(ConfigError) as caught:
            check(*OWN, "fusion=mine", word)
        assert str(caught.value) == message


def test_only_known_groups_of_the_standing_folder_are_looked_into(check: Check, tmp_path: Path) -> None:
    for path in ("fusion/mine.yaml", "pictures/cat.yaml", "conf/lab/big.yaml", "fusion/deep/x.yaml"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("_target_: my_lab.Mine\n")
    (tmp_path / "my_lab.py").write_text("class Mine: ...\n")
    assert check(*OWN, "fusion=mine")["fusion"] == {"_target_": "my_lab.Mine"}
    assert check(*OWN, "+lab=big")["lab"] == {"_target_": "my_lab.Mine"}
    with pytest.raises(ConfigError, match="there is no option 'pictures'"):
        check(*OWN, "pictures=cat")


def test_a_preset_of_the_package_is_never_replaced_by_a_file_of_its_name(check: Check, tmp_path: Path) -> None:
    (tmp_path / "fusion").mkdir()
    (tmp_path / "fusion" / "concat.yaml").write_text("_target_: my_lab.Mine\n")
    assert check(*OWN, "fusion=concat")["fusion"]["_target_"] == "mmbert.fusion.concat.ConcatFusion"


def test_a_composed_config_is_checked_again_before_its_job() -> None:
    with pytest.raises(ConfigError, match="data.path has no value"):
        check_config(OmegaConf.create({"data": {"path": "???"}}))
    with pytest.raises(ConfigError, match="seed=x: a whole number"):
        check_config(OmegaConf.create({"seed": "x"}))
    check_config(OmegaConf.create({"tasks": {"a": {"column": "???"}}}))


@pytest.mark.parametrize("value", [3, "store", [1, 2]])
@pytest.mark.parametrize("group", ["store", "study", "callbacks", "trainer"])
def test_a_group_of_options_is_no_single_value(group: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{group}=.*: a group of options is wanted here, {group}.OPTION=VALUE"):
        check_config(OmegaConf.create({group: value}))


@pytest.mark.parametrize(
    ("option", "value"),
    [("min_delta", "None"), ("stopping_threshold", []), ("divergence_threshold", 10**30), ("filename", "x" * 300)],
)
def test_what_callbacks_compare_with_and_write_to_is_checked(option: str, value: object) -> None:
    callback = {"_target_": "pytorch_lightning.callbacks.EarlyStopping", option: value}
    with pytest.raises(ConfigError, match=f"callbacks.stop.{option}="):
        check_config(OmegaConf.create({"callbacks": {"stop": callback}}))


def test_names_of_tasks_are_ascii(check: Check) -> None:
    with pytest.raises(ConfigError, match="names of tasks, encoders and callbacks are written in the letters a to z"):
        check(*OWN, "+task@tasks.标签=classification")


def test_a_number_of_machines_is_needed() -> None:
    with pytest.raises(ConfigError, match="trainer.num_nodes has no value"):
        check_config(OmegaConf.create({"trainer": {"num_nodes": None}}))
