"""``check_encoder`` catches every planted fault under the right law, and passes what is sound."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from mmbert.core.errors import InputError
from mmbert.data.modalities.base import Modality
from mmbert.encoders.features import FeatureEncoder
from mmbert.testing import ContractError, check_encoder
from mmbert.testing.encoder_contract import LAWS
from mmbert.testing.encoder_samples import with_garbage, with_padding

COVERS = ("encoder_alignment", "encoder_conventions", "encoder_masking", "encoder_samples", "encoder_saving")

spec = importlib.util.spec_from_file_location("broken_encoders", Path(__file__).with_name("broken_encoders.py"))
broken = importlib.util.module_from_spec(spec)
spec.loader.exec_module(broken)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Pickle finds a class by its module's name."""
    monkeypatch.setitem(__import__("sys").modules, "broken_encoders", broken)


OPTIONS = {"DropsAnOption": {"scale": 2.0}}


@pytest.mark.parametrize(("kind", "law"), broken.BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_caught_under_its_law(kind, law):
    report = check_encoder(kind, only=[law], raise_on_failure=False, **OPTIONS.get(kind.__name__, {}))
    assert report.broken == [law]
    verdict = report.verdicts[-1]
    assert verdict.seen and verdict.cause and verdict.cause != "the module itself fails"


def test_what_is_sound_passes():
    assert check_encoder(broken.Sound, raise_on_failure=False).broken == []
    assert check_encoder(broken.Sound, frozen=True, scale=2.0, raise_on_failure=False).broken == []


def test_every_law_has_a_planted_fault():
    planted = [law for _, law in broken.BROKEN]
    assert set(planted) == set(LAWS)
    assert {law: planted.count(law) for law in LAWS if planted.count(law) < 2} == {}


def test_a_failure_names_sample_number_and_likely_cause():
    with pytest.raises(ContractError) as caught:
        check_encoder(broken.CutToTheShortest, only=["samples are independent"])
    message = str(caught.value)
    assert "CutToTheShortest: breaks the contract" in message
    assert "for sample 0 alone, tokens[1, 0] is" in message and ", was" in message
    assert "a sample cut to the batch's shortest" in message


def test_a_built_encoder_is_checked_with_its_weights():
    encoder = FeatureEncoder(5, out_dim=4)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    report = check_encoder(encoder)
    assert report.passed and report.name == "FeatureEncoder"
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    with torch.no_grad():
        encoder.project.weight.fill_(torch.nan)
    report = check_encoder(encoder, raise_on_failure=False, only=["shapes"])
    assert "tokens is not finite: nan" in report.verdicts[-1].seen


def test_an_encoder_that_cannot_be_built_says_this_alone():
    report = check_encoder(FeatureEncoder, raise_on_failure=False)
    assert report.broken == ["can be built"] and len(report.verdicts) == 1
    assert "give FeatureEncoder its width" in report.verdicts[0].seen


def test_a_kind_without_made_up_samples_wants_some():
    class DepthMap(Modality):
        kind = "depth"

    class Depth(broken.Sound):
        modality = DepthMap()

    report = check_encoder(Depth, raise_on_failure=False, only=["shapes"])
    assert "no made-up samples of the kind 'depth'" in report.verdicts[-1].seen
    samples = [np.ones((length, 5), np.float32) * length for length in (2, 5, 1)]
    assert check_encoder(Depth, samples=samples, only=["shapes", "padding changes nothing"]).passed


def test_the_laws_stand_in_the_modules_of_their_subjects():
    assert {law.__module__ for law in LAWS.values()} == {
        "mmbert.testing.encoder_alignment",
        "mmbert.testing.encoder_conventions",
        "mmbert.testing.encoder_masking",
        "mmbert.testing.encoder_saving",
    }


def test_garbage_and_padding_stand_where_the_mask_is_false():
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    inputs = {
        "mask": mask,
        "x": torch.zeros(3, 2, 1),
        "ids": torch.zeros(3, 2, dtype=torch.int64),
        "whole": torch.zeros(3),
    }
    filled = with_garbage(inputs, 7.0)
    assert filled["x"].squeeze(-1).tolist() == [[0, 0], [0, 7], [7, 7]]
    assert filled["ids"].tolist() == [[0, 0], [0, 10**6], [10**6, 10**6]]
    assert filled["whole"].tolist() == [0, 0, 7]
    padded = with_padding(inputs, 2)
    assert padded["mask"].tolist() == [[True, True, False, False], [True, *[False] * 3], [False] * 4]
    assert padded["x"].shape == (3, 4, 1) and padded["whole"].shape == (3,)


def test_laws_can_be_chosen_by_name():
    report = check_encoder(broken.Sound, only=["shapes", "bfloat16 works"])
    assert [verdict.law for verdict in report.verdicts] == ["can be built", "shapes", "bfloat16 works"]
    with pytest.raises(InputError, match="no law 'shape'. Did you mean 'shapes'"):
        check_encoder(broken.Sound, only=["shape"])
