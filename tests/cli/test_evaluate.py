"""The words of mmbert-evaluate: whose they are, which splits are measured, and where the data come from.

``tests/training/test_evaluate.py`` runs the command.
"""

import re

import pytest
from omegaconf import OmegaConf

from mmbert.cli import evaluate
from mmbert.core.errors import ConfigError


def test_own_words_and_those_of_training_are_separated():
    own, others = evaluate.separate_options(
        ["model=out", "data=manifest", "split=val,test", "+data.columns.text=t", "store.dir=s", "drop=[audio]"]
    )
    assert own == {"model": "out", "split": "val,test", "drop": "[audio]"}
    assert others == ["data=manifest", "+data.columns.text=t", "store.dir=s"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=a", "model=b"], "'model' is given twice"),
        (["splt=val"], "'splt=val' is no option of mmbert-evaluate. Did you mean 'split'?"),
        (["model"], "'model' is no option of mmbert-evaluate"),
    ],
)
def test_a_wrong_word_is_refused(words, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        evaluate.separate_options(words)


def test_names_are_read_with_and_without_brackets():
    assert evaluate.names_in("[audio, image]") == evaluate.names_in("audio,image") == ["audio", "image"]
    assert evaluate.names_in("") == evaluate.names_in("[]") == []


def test_by_default_every_split_but_train_and_val_is_measured():
    cfg = OmegaConf.create({"splits": {"train": "train", "val": "dev", "test": "test", "hard": "h", "off": None}})
    assert evaluate.test_splits(cfg) == ["test", "hard"]
    assert evaluate.test_splits(OmegaConf.create({})) == ["test"]


def test_the_config_is_that_of_the_run_around_the_model(tmp_path):
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    with pytest.raises(ConfigError, match="lies in no run's folder, so its data are not known"):
        evaluate.run_of(model)
    (tmp_path / "run" / "config.yaml").write_text("seed: 7\n")
    assert evaluate.run_of(model).path == evaluate.run_of(model.parent).path == tmp_path / "run"
