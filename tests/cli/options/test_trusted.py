"""What a config from elsewhere may name: all that the package's own files name, and nothing else."""

import sys
from argparse import Namespace
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from mmbert.cli.options.trusted import (
    LISTED_CLASSES,
    PACKAGE_CLASSES,
    allowed_by_name,
    check_untrusted,
    refuse_pickle,
)
from mmbert.core.errors import ConfigError
from mmbert.core.init_args import find_class

CONF = Path(__file__).parents[3] / "conf"
#: Where the choices of a group stand in a run's config, if not under the group's name.
PLACES = {"text": "encoders.text", "image": "encoders.image", "audio": "encoders.audio", "features": "encoders.scan"}
PLACES |= {"task": "tasks.answer", "video": "encoders.video", "tabular": "encoders.facts"}
PLACES |= {"series": "encoders.series"}


def named_classes():
    """``(place in a run's config, class)`` of every file of the package that a run's config can come from."""
    for path in sorted(CONF.glob("*/*.yaml")):
        content = yaml.safe_load(path.read_text()) or {}
        place = PLACES.get(path.parent.name, path.parent.name)
        parts = {place: content} | {f"{place}.{name}": part for name, part in content.items()}
        yield from ((where, p["_target_"]) for where, p in parts.items() if isinstance(p, dict) and "_target_" in p)


def test_every_class_of_the_packages_own_files_is_allowed_at_its_place():
    found = list(named_classes())
    assert len(found) > 80
    assert [pair for pair in found if not allowed_by_name(*pair)] == []


def test_a_run_of_the_package_needs_no_consent():
    words = ["logger=tensorboard", "balance_modalities=ogm_ge", "robustness=missing", "augment=standard"]
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", [*words, "fusion=adapter", "+callbacks.lr._target_=" + LISTED_CLASSES["callbacks.*"][3]])
    check_untrusted(OmegaConf.to_container(cfg, resolve=True), "config.yaml")


def test_every_class_in_the_lists_exists():
    for path in {path for paths in LISTED_CLASSES.values() for path in paths}:
        assert isinstance(find_class(path), type)
    for prefix, base in PACKAGE_CLASSES.values():
        assert prefix.startswith("mmbert.") and isinstance(find_class(base), type)


@pytest.fixture
def foreign_module(tmp_path, monkeypatch):
    """A module of somebody's, which leaves a file where it is imported."""
    (tmp_path / "their_module.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n\n\nclass Mine:\n    pass\n\n\ndef mine(**options):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "ran"
    sys.modules.pop("their_module", None)


@pytest.mark.parametrize(
    "place",
    ["data", "data.missing", "augment", "encoders.text", "encoders.text.options", "tasks.answer", "fusion"]
    + ["fusion.module", "fusion.module.options", "balance", "balance_modalities", "optimizer", "scheduler", "trainer"]
    + ["trainer.plugins.0", "callbacks.mine", "callbacks.mine.inner", "logger", "robustness", "store", "study"],
)
def test_a_class_of_somebodys_is_refused_everywhere_and_never_imported(foreign_module, place):
    node = {"_target_": "their_module.Mine"}
    for name in reversed(place.split(".")):
        node = [node] if name == "0" else {name: node}
    with pytest.raises(ConfigError, match=r"config\.yaml: .*_target_=their_module\.Mine.*add trust_custom_code=true"):
        check_untrusted(node, "config.yaml")
    assert not foreign_module.exists() and "their_module" not in sys.modules


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "a \\${seed}", "${"])
@pytest.mark.parametrize("place", ["data.path", "data.columns.text", "fusion.names.0"])
def test_text_that_hydra_would_look_up_is_refused(place, text):
    node = text
    for name in reversed(place.split(".")):
        node = [node] if name == "0" else {name: node}
    with pytest.raises(ConfigError, match=r"config\.yaml: .*is written resolved.*add trust_custom_code=true"):
        check_untrusted(node, "config.yaml")
    check_untrusted({"data": {"path": "a $HOME {x}.csv"}}, "config.yaml")


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("encoders.text", "mmbert.encoders.text.Path"),  # what a module of the package has imported
        ("encoders.text", "mmbert.encoders.text.empty_cache"),  # a function
        ("encoders.text", "mmbert.encoders.base.SavesInitArgs"),  # no encoder
        ("encoders.text", "mmbert.fusion.concat.ConcatFusion"),  # not in its place
        ("encoders.text", "mmbert.encoders.nowhere.Nothing"),
        ("fusion.module", "mmbert.fusion.nested.build_base"),
        ("fusion.module", "torch.nn.Linear"),
        ("data", "mmbert.data.tables.table.Table"),
        ("balance", "mmbert.training.balance.fixed.nn.Module"),
        ("optimizer", "torch.optim.AdamW"),
        ("trainer", "mmbert.cli.evaluate.main"),
        ("callbacks.x", "pytorch_lightning.callbacks.OnExceptionCheckpoint"),
        ("callbacks.x", "pytorch_lightning.callbacks.LambdaCallback"),
        ("logger", "pytorch_lightning.loggers.CSVLogger"),
        ("data", 7),
    ],
)
def test_what_is_no_class_of_the_kind_that_belongs_there_is_refused(place, target):
    node = {"_target_": target}
    for name in reversed(place.split(".")):
        node = {name: node}
    with pytest.raises(ConfigError, match=f"{place}._target_={target}"):
        check_untrusted(node, "config.yaml")


@pytest.mark.parametrize("name", ["_args_", "_partial_"])
def test_orders_for_hydra_are_refused(name):
    node = {"fusion": {"_target_": "mmbert.fusion.concat.ConcatFusion", name: [1]}}
    with pytest.raises(ConfigError, match=f"fusion.{name}="):
        check_untrusted(node, "config.yaml")


@pytest.mark.parametrize(
    ("node", "option"),
    [
        ({"callbacks": {"checkpoint": {"filename": "../../best"}}}, "callbacks.checkpoint.filename=../../best"),
        ({"callbacks": {"checkpoint": {"filename": "/tmp/best"}}}, "callbacks.checkpoint.filename=/tmp/best"),
        ({"callbacks": {"checkpoint": {"dirpath": "/tmp"}}}, "callbacks.checkpoint.dirpath=/tmp"),
        ({"logger": {"tracking_uri": "http://example.org"}}, "logger.tracking_uri=http://example.org"),
        ({"logger": {"entity": "their_team"}}, "logger.entity=their_team"),
        ({"trainer": {"model_registry": "theirs"}}, "trainer.model_registry=theirs"),
    ],
)
def test_what_writes_or_sends_elsewhere_is_refused(node, option):
    with pytest.raises(ConfigError, match=option):
        check_untrusted(node, "config.yaml")


def test_a_pickle_needs_consent():
    with pytest.raises(ConfigError, match="--experimental-rerun a.pickle: this is a pickle.*trust_custom_code=true"):
        refuse_pickle(Namespace(experimental_rerun="a.pickle", overrides=["seed=1"]))
    refuse_pickle(Namespace(experimental_rerun="a.pickle", overrides=["trust_custom_code=true"]))
