"""Options of ``augment.text``: their range, and which processors they fit."""

from types import SimpleNamespace

import numpy as np
import pytest

from mmbert.core.errors import ConfigError
from mmbert.data.augment.text import TextAugmentation


def test_a_share_is_handed_to_the_processor_with_a_generator_for_each_sample():
    seen = []

    def mask_tokens(inputs, share, randoms):
        seen.append((share, len(randoms)))
        return "masked"

    processor, randoms = SimpleNamespace(mask_tokens=mask_tokens), [np.random.default_rng(n) for n in range(3)]
    augment = TextAugmentation(0.25)
    assert augment.active and augment.collated({}, processor, iter(randoms)) == "masked"
    assert seen == [(0.25, 3)]
    inputs = {}
    assert not TextAugmentation().active and TextAugmentation().collated(inputs, processor, iter(())) is inputs


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(ConfigError, match="augment.text.mask=.* must be at least 0 and below 1"):
        TextAugmentation(share)


def test_a_processor_without_a_mask_token_is_refused():
    TextAugmentation(0.0).check("text", object())
    with pytest.raises(ConfigError, match="augment.text.mask cannot change what the encoder 'notes' prepares"):
        TextAugmentation(0.1).check("notes", object())
