"""Patches of series as tokens: by hand, whatever gaps and padding hold, alone or in a batch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from mmbert.core.errors import ConfigError
from mmbert.data.modalities.series import SeriesModality
from mmbert.data.modalities.series_reading import Series
from mmbert.encoders.series import LONGEST_STEPS, SHORTEST_STEPS, SeriesEncoder
from mmbert.encoders.time_signals import time_signals

STATISTICS = {"x": {"mean": 0.0, "std": 1.0}, "y": {"mean": 0.0, "std": 1.0}}


def built(**options):
    torch.manual_seed(0)
    return SeriesEncoder(**{"statistics": STATISTICS, "out_dim": 16, "layers": 1, **options}).eval()


def raw(count, seed=0, step=0.1, holes=0.0):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((count, 2))
    values[rng.random(values.shape) < holes] = np.nan
    values[0] = 1.0
    return Series(np.cumsum(step * rng.uniform(0.5, 1.5, count)), values, ("x", "y"))


def inputs_of(encoder, raws):
    return encoder.processor.collate([None if each is None else encoder.processor.prepare(each) for each in raws])


def test_tokens_by_hand():
    encoder = built(patch_length=3, stride=2, layers=0, rate=10.0)
    given = Series(np.arange(6) / 10, np.arange(12.0).reshape(6, 2), ("x", "y"))
    given.values[4, 1] = np.nan
    with torch.no_grad():
        found = encoder(inputs_of(encoder, [given]))
    assert found.tokens.shape == (1, 3, 16) and found.mask.all()  # steps 0-2, 2-4, 4-6: the last is one short
    values = np.concatenate([given.values, np.zeros((1, 2))])
    values[4, 1] = (7 + 11) / 2  # 3 steps are no gap: between its neighbours
    there = np.ones((7, 2))
    there[6] = 0
    for patch, start in enumerate((0, 2, 4)):
        rows = np.concatenate([values[start : start + 3], there[start : start + 3]], 1).reshape(-1)
        centre = np.mean([step for step in range(start, start + 3) if step < 6])
        signal = time_signals(torch.tensor([[centre]], dtype=torch.float32), 16, SHORTEST_STEPS, LONGEST_STEPS)[0, 0]
        with torch.no_grad():
            token = encoder.norm(encoder.embed(torch.tensor(rows, dtype=torch.float32)) + signal)
        assert_close(found.tokens[0, patch], token, atol=1e-5, rtol=1e-5)
    assert_close(found.pooled[0], found.tokens[0].mean(0), atol=1e-5, rtol=1e-5)


def test_rows_at_their_own_times_are_distinguished_by_them():
    encoder = built(patch_length=4, stride=4, step_seconds=0.1)
    even, uneven = raw(12), raw(12)
    uneven.times[5:] += 0.3
    with torch.no_grad():
        one, other = (encoder(inputs_of(encoder, [each])) for each in (even, uneven))
    assert_close(one.tokens.shape, other.tokens.shape)
    assert (one.tokens - other.tokens).abs().max() > 1e-3
    later = Series(uneven.times + 1e6, uneven.values, uneven.channels)
    with torch.no_grad():
        assert_close(encoder(inputs_of(encoder, [later])).tokens, other.tokens, atol=1e-4, rtol=1e-4)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 30), st.integers(0, 25))
@settings(deadline=None, max_examples=40)
def test_padding_makes_no_token_and_changes_none(length, stride, count, extra):
    encoder = built(patch_length=length, stride=min(stride, length))
    inputs = inputs_of(encoder, [raw(count, holes=0.2)])
    padded = {name: torch.cat([x, torch.ones(1, extra, *x.shape[2:]).to(x)], 1) for name, x in inputs.items()}
    padded["mask"][:, inputs["mask"].shape[1] :] = False
    with torch.no_grad():
        alone, together = encoder(inputs), encoder(padded)
    assert alone.mask.sum() == together.mask.sum()
    assert_close(together.tokens[together.mask], alone.tokens[alone.mask], atol=1e-5, rtol=1e-4)
    assert_close(together.pooled, alone.pooled, atol=1e-5, rtol=1e-4)


@given(st.lists(st.integers(1, 40), min_size=2, max_size=4), st.booleans())
@settings(deadline=None, max_examples=25)
def test_a_sample_alone_is_as_in_any_batch(counts, even):
    encoder = built(patch_length=5, stride=3, rate=10.0 if even else None)
    raws = [raw(count, seed, holes=0.3) for seed, count in enumerate(counts)]
    with torch.no_grad():
        together = encoder(inputs_of(encoder, [*raws, None]))
        for row, each in enumerate(raws):
            alone = encoder(inputs_of(encoder, [each]))
            assert_close(together.tokens[row][together.mask[row]], alone.tokens[0][alone.mask[0]], atol=1e-5, rtol=1e-4)
            assert_close(together.pooled[row], alone.pooled[0], atol=1e-5, rtol=1e-4)
    assert not together.mask[-1].any()


@pytest.mark.parametrize("junk", [1e6, float("nan"), float("inf")])
@pytest.mark.parametrize("rate", [None, 10.0])
def test_what_gaps_hold_changes_nothing(junk, rate):
    encoder = built(patch_length=4, stride=2, rate=rate, max_gap=0.15)
    inputs = inputs_of(encoder, [raw(40, holes=0.3), raw(20, 1, holes=0.6)])
    assert (~inputs["observed"]).any() and (inputs["mask"] & ~inputs["observed"].all(2)).any()
    dirty = dict(inputs)
    dirty["values"] = inputs["values"].masked_fill(~inputs["observed"], junk)
    dirty["positions"] = inputs["positions"].masked_fill(~inputs["mask"], junk)
    with torch.no_grad():
        clean, found = encoder(inputs), encoder(dirty)
    assert torch.equal(clean.tokens, found.tokens) and torch.equal(clean.pooled, found.pooled)
    shown = encoder({**dirty, "values": dirty["values"].clone().requires_grad_()})
    shown.pooled.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in encoder.parameters() if parameter.grad is not None)


def test_a_stretch_without_numbers_is_masked_and_a_number_that_lacks_is_no_mean():
    encoder = built(patch_length=4, stride=4, rate=10.0, max_gap=0.2)
    holed = Series(np.arange(24) / 10, np.zeros((24, 2)), ("x", "y"))
    holed.values[8:16] = np.nan
    with torch.no_grad():
        assert encoder(inputs_of(encoder, [holed])).mask[0].tolist() == [True, True, False, False, True, True]
        inputs = inputs_of(encoder, [Series(np.arange(4) / 10, np.zeros((4, 2)), ("x", "y"))])
        full = encoder(inputs)
        inputs["observed"] = inputs["observed"].clone()
        inputs["observed"][0, 2, 1] = False  # its value stays 0, the mean of train
        assert (encoder(inputs).pooled - full.pooled).abs().max() > 1e-4


def test_options_that_do_not_fit_are_refused():
    for options, message in (
        ({"statistics": None}, "Nothing is known of the channels"),
        ({"out_dim": 10, "heads": 4}, "heads=4 do not divide out_dim=10"),
        ({"patch_length": 4, "stride": 5}, "stride=5 is above patch_length=4"),
    ):
        with pytest.raises(ConfigError, match=message):
            built(**options)


def test_what_an_encoder_reads_is_known_of_its_options():
    options = {"time": "clock", "channels": ["x"], "max_steps": 5}
    assert SeriesEncoder.modality_with(options) != SeriesModality()
    assert SeriesEncoder.modality_with(options).reading.channels == ("x",)
    assert SeriesEncoder.length_limit(options).most == 5
    assert SeriesEncoder.learned({"statistics": STATISTICS}, None) == {}
    encoder = built(time="clock", rate=2.0)
    assert encoder.modality.reading.time == "clock" and encoder.modality.reading.channels == ("x", "y")


def test_its_graph_of_gradients_begins_at_the_scores():
    encoder = built(rate=10.0)
    found = encoder.continuous(inputs_of(encoder, [raw(30, holes=0.2), None]))
    assert found.key == "values" and found.neutral == "the mean of train"
    assert not found.baseline[found.real.expand_as(found.baseline)].any()
