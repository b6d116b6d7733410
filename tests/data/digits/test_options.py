"""Options of talking_digits: their ranges, by the name that the config has, and the fingerprint."""

from dataclasses import replace

import pytest

from mmbert.core.errors import ConfigError
from mmbert.data.digits.options import TalkingDigitsOptions, within
from mmbert.data.digits.pictures import PictureDifficulty
from mmbert.data.digits.speech import SoundDifficulty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "data.build_seed=-1: it must be at least 0"),
        ({"val": 0}, "data.sizes.val=0: it must be at least 1"),
        ({"train_voices": 0}, "train_voices=0: it must be at least 1"),
        ({"repeat_share": 1.5}, "data.repeat_share=1.5: it must be from 0 to 1"),
        ({"unseen_share": float("nan")}, "data.unseen_share=nan: it must be from 0 to 1"),
        ({"picture": PictureDifficulty(occlusion=-0.1)}, "data.picture.occlusion=-0.1: it must be from 0 to 1"),
        ({"picture": PictureDifficulty(blur=-1)}, "data.picture.blur=-1: it must be at least 0"),
        ({"sound": SoundDifficulty(snr_low_db=9, snr_high_db=3)}, "snr_low_db=9 lies above data.sound.snr_high_db=3"),
    ],
)
def test_values_out_of_range_are_named_as_in_the_config(options, message):
    with pytest.raises(ConfigError, match=message):
        TalkingDigitsOptions(**options)


def test_bounds_themselves_are_allowed():
    within("x", 0, 0, 1)
    within("x", 1, 0, 1)
    with pytest.raises(ConfigError, match="x=1.01: it must be from 0 to 1"):
        within("x", 1.01, 0, 1)


def test_sizes_and_a_fingerprint_of_every_option():
    options = TalkingDigitsOptions(train=4, val=3, test=2, test_missing=1)
    assert options.sizes == {"train": 4, "val": 3, "test": 2, "test_missing": 1}
    others = [replace(options, seed=1), replace(options, test=3), replace(options, picture=PictureDifficulty(blur=2))]
    prints = {options.fingerprint(), *(other.fingerprint() for other in others)}
    assert len(prints) == 4 and all(len(fingerprint) == 10 for fingerprint in prints)
    assert options.fingerprint() == replace(options).fingerprint()
