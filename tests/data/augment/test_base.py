"""An augmentation that overrides nothing changes nothing."""

import numpy as np
import pytest
import torch

from mmbert.data.augment.base import InputAugmentation


class Processor:
    def prepare(self, raw):
        return [2 * raw]


def test_by_itself_it_prepares_and_collates_as_without_it():
    augmentation, batch = InputAugmentation(), {"mask": torch.ones(1, 1)}
    random = np.random.default_rng(0)
    state = random.bit_generator.state
    augmentation.check("text", Processor())
    assert augmentation.prepare(3, Processor(), random) == [6]
    assert augmentation.collated(batch, Processor(), iter([random])) is batch
    assert random.bit_generator.state == state, "nothing is drawn"


def test_a_subclass_must_know_whether_it_is_active():
    with pytest.raises(NotImplementedError):
        InputAugmentation().active  # noqa: B018
