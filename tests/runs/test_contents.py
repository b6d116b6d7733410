"""Shapes of the files in a run's folder: what differs is named by its place."""

import math

import pytest

from mmbert.runs import contents
from mmbert.runs.contents import (
    ANY_NUMBER,
    ANY_TEXT,
    ANY_WHOLE,
    ANYTHING,
    diagnostics_fault,
    metrics_fault,
    shape_fault,
)

SHAPE = {"name!": ANY_TEXT, "size": ANY_NUMBER, "parts": [{"at!": ANY_WHOLE}], "means": [ANY_NUMBER], ...: ANYTHING}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"name": "a"}, None),
        ({"name": "a", "size": None, "means": [1, None, 2.5], "parts": [{"at": 3}], "more": object}, None),
        ({}, "it has no 'name'"),
        ({"name": None}, "it has no 'name'"),
        ({"name": 3}, "name is 3, but should be a text"),
        ({"name": "a", "size": "1"}, "size is '1', but should be a number"),
        ({"name": "a", "size": True}, "size is True, but should be a number"),
        ({"name": "a", "size": math.nan}, "size is nan, but should be a number"),
        ({"name": "a", "size": 1e200}, "size is 1e+200, but should be a number"),
        ({"name": "a", "means": {"b": 1}}, "means is {'b': 1}, but should be a list"),
        ({"name": "a", "means": [1, "2"]}, "means[1] is '2', but should be a number"),
        ({"name": "a", "parts": [None]}, "parts[0] is None, but should be a group of values by name"),
        ({"name": "a", "parts": [{"at": 1}, {"at": 0.5}]}, "parts[1].at is 0.5, but should be a whole number"),
        ({"name": "a", 7: 1}, "it has the name 7, which is no text"),
        ([], "all of it is [], but should be a group of values by name"),
    ],
)
def test_the_first_place_that_differs(value, fault):
    assert shape_fault(value, SHAPE) == fault


def test_metrics_are_numbers_whatever_they_are_called():
    assert metrics_fault({"test/mine/score": 0.5, "mine": "x", "seed": 1}) is None
    assert metrics_fault({"test/mine/score": "0.5"}) == "test/mine/score is '0.5', but should be a number"
    assert metrics_fault({"inputs": {"encoders": {"text": {"kind": "text"}}}}) == "inputs.encoders.text has no 'column'"


def test_each_modality_has_one_mean():
    gate = {"modalities": ["text", "image"], "mean": [0.5, None]}
    assert diagnostics_fault({"test": {"gate": gate}, "val_by_epoch": [{"epoch": 0, "gate": gate}]}) is None
    short = {**gate, "mean": [0.5]}
    for content in ({"test": {"gate": short}}, {"val_by_epoch": [{"epoch": 0, "gate": short}]}):
        assert diagnostics_fault(content) == "there are 2 modalities and 1 means"


def test_a_config_of_an_ordinary_run_fits(compose_tiny):
    from omegaconf import OmegaConf

    assert shape_fault(OmegaConf.to_container(compose_tiny(), resolve=True), contents.CONFIG_SHAPE) is None
