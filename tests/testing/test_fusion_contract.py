"""The kit catches every planted fault under the right law, and passes what is sound."""

import importlib.util
from pathlib import Path

import pytest

from mmbert.core.errors import InputError
from mmbert.fusion.cross_attention import CrossAttentionFusion
from mmbert.testing import ContractError, check_fusion, random_inputs
from mmbert.testing.fusion_contract import LAWS, TRACING

COVERS = (
    "fusion_conventions",
    "fusion_decisions",
    "fusion_gradients",
    "fusion_inputs",
    "fusion_masking",
    "fusion_tracing",
)

spec = importlib.util.spec_from_file_location("broken_fusions", Path(__file__).with_name("broken_fusions.py"))
broken = importlib.util.module_from_spec(spec)
spec.loader.exec_module(broken)
PRESENCE = "every present modality is used"
DIMS = {"text": 6, "image": 5, "audio": 4}


@pytest.mark.parametrize(("kind", "law"), broken.BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_caught_under_its_law(kind, law):
    dims = {"text": 4, "image": 3} if law in TRACING else DIMS  # tracing is slow
    report = check_fusion(kind, dims=dims, only=[law], raise_on_failure=False)
    assert report.broken == [law]
    verdict = next(v for v in report.verdicts if v.law == law)
    assert verdict.seen and verdict.cause


@pytest.mark.parametrize("kind", broken.SOUND)
def test_what_is_sound_passes(kind):
    assert check_fusion(kind, dims=DIMS, raise_on_failure=False).broken == []


def test_a_layer_of_an_absent_modality_is_named():
    law = "layers of absent modalities change nothing"
    report = check_fusion(broken.GateFromZerosOfAnAbsentModality, dims=DIMS, only=[law], raise_on_failure=False)
    assert "gate.text is run on zeros in sample 1 (no text, image: " in report.verdicts[-1].seen
    assert check_fusion(broken.MeanOverAbsentModalities, dims={"text": 4}, only=[law]).passed  # nothing can be absent
    assert check_fusion(broken.SoundOuter, dims=DIMS, only=[law]).passed
    assert not check_fusion(
        type("Unsaid", (broken.SoundOuter,), {"zeros_mean_absent": False}),
        only=[law],
        dims=DIMS,
        raise_on_failure=False,
    ).passed


def test_every_law_has_a_fault_that_it_alone_must_catch():
    assert {law for _, law in broken.BROKEN} | {"can be built"} == {*LAWS, *TRACING}
    assert len(broken.BROKEN) >= 25


def test_one_two_three_and_five_modalities_are_tried():
    tried = []

    def noted(dims, out_dim):
        tried.append(len(dims))
        return broken.Sound(dims, out_dim)

    assert check_fusion(noted, raise_on_failure=False).broken == []
    assert set(tried) == {1, 2, 3, 5}


def test_every_law_has_two_planted_faults():
    planted = [law for _, law in broken.BROKEN]
    assert {law: planted.count(law) for law in [*LAWS, *TRACING] if planted.count(law) < 2} == {}


def test_a_failure_names_sample_number_and_likely_cause():
    with pytest.raises(ContractError) as caught:
        check_fusion(broken.CentredOverTheBatch, dims=DIMS, only=["samples are independent"])
    message = str(caught.value)
    assert "FAIL  samples are independent" in message
    assert "for sample 0 (text: 4 of 4 tokens, image: 3 of 3 tokens, audio: 5 of 5 tokens) alone" in message
    assert "pooled[0] is" in message and ", was" in message
    assert "statistics over the batch" in message


def test_options_reach_the_fusion():
    assert check_fusion(CrossAttentionFusion, dims={"text": 4, "image": 3}, num_heads=2, num_layers=2).passed


def test_a_built_fusion_is_checked_as_it_was_built():
    fusion = CrossAttentionFusion({"text": 4, "image": 3}, 12, num_heads=3)
    report = check_fusion(fusion)
    assert report.passed and report.name == "CrossAttentionFusion"
    report = check_fusion(broken.LastModalityIgnored({"a": 3, "b": 4}, 6), raise_on_failure=False, only=[PRESENCE])
    assert "no gradient reaches b in sample 0 (a: 4 of 4 tokens, b: 3 of 3 tokens)" in str(report)


def test_the_modality_that_leaks_is_named():
    report = check_fusion(broken.UncheckedInputs, dims=DIMS, only=["padding changes nothing"], raise_on_failure=False)
    assert "with nan where text has nothing real" in report.verdicts[-1].seen


def test_a_single_modality_does_not_hide_statistics_over_the_batch():
    report = check_fusion(broken.CentredOverTheBatch, dims={"text": 4}, raise_on_failure=False)
    assert report.broken == ["samples are independent"]


def test_a_fusion_that_cannot_be_built_says_this_alone():
    report = check_fusion(CrossAttentionFusion, dims=DIMS, raise_on_failure=False, num_head=2)
    assert report.broken == ["can be built"] and len(report.verdicts) == 1
    assert "unexpected keyword argument 'num_head'" in report.verdicts[0].seen
    assert check_fusion(lambda dims, out_dim: None, dims=DIMS, raise_on_failure=False).broken == ["can be built"]


def test_a_fusion_for_two_modalities_alone_passes_with_two():
    assert check_fusion(broken.TakesTwoModalities, raise_on_failure=False).broken == ["can be built"]
    assert check_fusion(broken.TakesTwoModalities, dims={"a": 3, "b": 4}, only=["shapes"]).passed


def test_laws_can_be_chosen_by_name():
    report = check_fusion(broken.Sound, dims=DIMS, only=["shapes", "exports"])
    assert [v.law for v in report.verdicts] == ["can be built", "shapes", "exports"]
    with pytest.raises(InputError, match="no law 'shape'. Did you mean 'shapes'"):
        check_fusion(broken.Sound, only=["shape"])
    with pytest.raises(InputError, match="'presence speaks' is called 'every present modality is used' now"):
        check_fusion(broken.Sound, only=["presence speaks"])


def test_the_laws_stand_in_the_modules_of_their_subjects():
    assert {law.__module__ for law in [*LAWS.values(), *TRACING.values()]} == {
        "mmbert.testing.fusion_conventions",
        "mmbert.testing.fusion_decisions",
        "mmbert.testing.fusion_gradients",
        "mmbert.testing.fusion_masking",
        "mmbert.testing.fusion_tracing",
    }
    assert random_inputs.__module__ == "mmbert.testing.fusion_inputs"


def test_scattered_inputs_have_padding_before_and_between():
    inputs = random_inputs({"text": 3}, batch=20, lengths={"text": 6}, scattered=True)
    mask = inputs["text"].mask
    assert (mask.sum(1) >= 1).all() and mask[0].all()
    assert (~mask[:, 0]).any() and (mask[:, 1:] & ~mask[:, :-1]).any()
