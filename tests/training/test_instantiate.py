"""Config nodes become objects: plain values, extra arguments, and targets that cannot be built."""

import pytest
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError
from mmbert.training.instantiate import make, resolved


def test_options_are_plain_values_and_extra_arguments_come_first():
    node = OmegaConf.create({"_target_": "builtins.dict", "a": [1, {"b": 2}], "c": 3})
    made = make(node, c="${x}")
    assert made == {"a": [1, {"b": 2}], "c": "${x}"}
    assert type(made["a"]) is list and type(made["a"][1]) is dict


@pytest.mark.parametrize("target", ["mmbert.training.nothing.Here", "mmbert.training.monitor.Monitor"])
def test_what_cannot_be_built_is_named(target):
    with pytest.raises(ConfigError, match=f"{target} cannot be"):
        make(OmegaConf.create({"_target_": target, "no_such_option": 1}))


def test_interpolations_are_resolved():
    cfg = OmegaConf.create({"a": 1, "b": ["${a}"]})
    assert resolved(cfg) == {"a": 1, "b": [1]}
    assert resolved("${a}") == "${a}"
