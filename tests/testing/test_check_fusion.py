"""The kit catches every planted fault under the right law, and passes what is sound."""

import importlib.util
from pathlib import Path

import pytest

from mmbert.testing import ContractError, check_fusion

spec = importlib.util.spec_from_file_location("broken_fusions", Path(__file__).with_name("broken_fusions.py"))
broken = importlib.util.module_from_spec(spec)
spec.loader.exec_module(broken)
DIMS = {"text": 6, "image": 5, "audio": 4}


@pytest.mark.parametrize(("kind", "law"), broken.BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_caught_under_its_law(kind, law):
    report = check_fusion(kind, dims=DIMS, tracing=law in ("compiles", "exports"), raise_on_failure=False)
    assert law in report.broken
    verdict = next(v for v in report.verdicts if v.law == law)
    assert verdict.seen and verdict.cause


@pytest.mark.parametrize("kind", [broken.Sound, broken.SoundGate])
def test_what_is_sound_passes(kind):
    assert check_fusion(kind).broken == []


def test_every_law_has_two_planted_faults():
    from mmbert.testing.check import LAWS

    planted = [law for _, law in broken.BROKEN]
    assert all(planted.count(law) >= 2 for law in LAWS)
    assert planted.count("compiles") + planted.count("exports") >= 2


def test_a_failure_tells_sample_number_and_likely_cause():
    with pytest.raises(ContractError) as told:
        check_fusion(broken.CentredOverTheBatch, dims=DIMS)
    message = str(told.value)
    assert "FAIL  samples do not speak to each other" in message
    assert "pooled[0, 0] is" in message and ", was" in message
    assert "statistics over the batch" in message


def test_options_reach_the_fusion():
    from mmbert.fusion.cross_attention import CrossAttentionFusion

    assert check_fusion(CrossAttentionFusion, dims={"text": 4, "image": 3}, num_heads=2, num_layers=2).passed
