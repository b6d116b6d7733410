"""Options of ``augment.series``: noise and scaling in standard scores, and stretches that are taken away."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.errors import ConfigError
from mmbert.data.augment.augmentation import Augmentation, sample_draw
from mmbert.data.augment.series import SeriesAugmentation, without_stretch
from mmbert.data.modalities.series_reading import Series, SeriesReading
from mmbert.encoders.processors.series import SeriesProcessor

STATISTICS = {"x": {"mean": 5.0, "std": 2.0}, "y": {"mean": -1.0, "std": 0.5}}
PROCESSOR = SeriesProcessor(SeriesReading(), STATISTICS)


def series(count=2000):
    values = np.stack([np.full(count, 7.0), np.where(np.arange(count) % 4, 0.0, np.nan)], 1)
    return Series(np.arange(count) / 10, values, ("x", "y"))  # scores 1 and 2


def changed(draw=0, count=2000, **options):
    return SeriesAugmentation(**options).prepare(series(count), PROCESSOR, np.random.default_rng(draw))


def test_noise_is_in_deviations_of_train():
    found, plain = changed(noise=0.5), PROCESSOR.prepare(series())
    assert (found.observed == plain.observed).all() and not found.observed.all()
    for channel in range(2):
        moved = (found.values - plain.values)[plain.observed[:, channel], channel]
        assert float(moved.std()) == pytest.approx(0.5, rel=0.1) and abs(float(moved.mean())) < 0.06


def test_a_channel_is_scaled_about_its_mean_by_one_number():
    factors = []
    for draw in range(60):
        found = changed(draw, 8, scale=0.2)
        x, y = found.values[:, 0], found.values[found.observed[:, 1], 1]
        assert x.std() < 1e-6 and y.std() < 1e-6
        factors.append([float(x[0]) / 1, float(y[0]) / 2])  # of the scores 1 and 2
    assert np.std(factors, 0) == pytest.approx([0.2, 0.2], rel=0.3)
    assert np.mean(factors, 0) == pytest.approx([1, 1], abs=0.1)
    assert abs(np.corrcoef(np.array(factors).T)[0, 1]) < 0.4


def test_a_stretch_by_hand():
    times, values = np.array([0.0, 1, 2, 3, 10]), np.arange(5.0)[:, None]
    # 0.2 of 10 s are 2 s; at the middle of the 8 s in which they can begin, 4 s, there is no row
    np.testing.assert_array_equal(without_stretch(times, values, 0.2, 0.5), values)
    np.testing.assert_array_equal(without_stretch(times, values, 0.2, 0.125)[:, 0], [0, np.nan, np.nan, 3, 4])
    np.testing.assert_array_equal(without_stretch(times[:3], np.array([[np.nan], [1], [np.nan]]), 0.9, 0.5)[1], [1])
    assert without_stretch(times[:0], values[:0], 0.5, 0.5).shape == (0, 1)


@given(share=st.floats(0.01, 0.99), draw=st.integers(0, 10**6), count=st.integers(2, 40))
@settings(deadline=None, max_examples=50)
def test_a_stretch_is_one_piece_no_longer_than_its_share(share, draw, count):
    plain = series(count)
    whole = Series(plain.times, np.ones((count, 2)), plain.channels)
    random = np.random.default_rng(draw)
    found = SeriesAugmentation(gap_share=share)(plain.times, whole.values, np.zeros(2), np.ones(2), random)
    gone = np.isnan(found).all(1)
    assert (gone == np.isnan(found).any(1)).all() and not gone.all()
    assert (np.diff(gone.astype(int)) == 1).sum() + gone[0] <= 1
    assert gone.sum() <= share * (count - 1) + 1


def test_one_option_leaves_the_others_draws_as_they_are():
    scaled, both = changed(3, 40, scale=0.3), changed(3, 40, scale=0.3, gap_share=0.9)
    assert 0 < len(both.values) < len(scaled.values)
    assert both.values[:, 0].tolist() == [float(scaled.values[0, 0])] * len(both.values)
    noisy = changed(3, 40, scale=0.3, noise=1e-6)
    assert noisy.values[:, 0].tolist() == pytest.approx(scaled.values[:, 0].tolist(), abs=1e-4)


def test_what_is_read_is_left_as_it_is_and_nothing_is_the_default():
    raw = series(10)
    before = raw.values.copy()
    SeriesAugmentation(0.1, 0.1, 0.5).prepare(raw, PROCESSOR, np.random.default_rng(0))
    np.testing.assert_array_equal(raw.values, before)
    assert not SeriesAugmentation().active
    assert (changed(count=10).values == PROCESSOR.prepare(raw).values).all()


def test_it_is_an_option_of_augment_and_follows_seed_epoch_and_row():
    augment = Augmentation(series={"noise": 1.0})
    assert augment.active and augment.changes(PROCESSOR) and not Augmentation().changes(PROCESSOR)
    first, again, other = (
        augment.prepare(series(5), PROCESSOR, sample_draw(0, 0, row)).values.tolist() for row in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": -1.0}, "augment.series.noise=-1.0 must be at least 0"),
        ({"scale": float("nan")}, "augment.series.scale=nan must be at least 0"),
        ({"gap_share": 1.0}, "augment.series.gap_share=1.0 must be at least 0 and below 1"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        SeriesAugmentation(**options)


def test_a_processor_without_statistics_is_refused():
    SeriesAugmentation(gap_share=0.5).check("wrist", SimpleNamespace())
    with pytest.raises(ConfigError, match="which the encoder 'wrist' does not know"):
        SeriesAugmentation(noise=0.5).check("wrist", SimpleNamespace())
