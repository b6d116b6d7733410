"""SpecAugment: whole bands and whole frames are masked, as many as allowed, in training alone."""

import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.encoders.spec_augment import SpecAugment, stretch


def test_in_evaluation_nothing_changes():
    frames = torch.randn(2, 10, 8)
    assert SpecAugment().eval()(frames, torch.ones(2, 10, dtype=torch.bool)) is frames


def test_masks_cover_whole_bands_and_frames_within_the_sound():
    torch.manual_seed(0)
    augment = SpecAugment(bands=2, frames=3, count=1, share=0.5).train()
    real = torch.arange(12) < torch.tensor([[12], [4]])
    covered = []
    for _ in range(200):
        gone = augment(torch.ones(2, 12, 8), real) == 0
        bands, rows = gone.all(1).sum(1), gone.all(2)
        assert (bands <= 2).all() and (rows.sum(1) <= torch.tensor([3, 2])).all()  # of 4 frames at most a half
        assert torch.equal(gone, gone.all(1, keepdim=True) | rows.unsqueeze(2)) and not (rows & ~real).any()
        covered.append(torch.cat([bands, rows.sum(1)]))
    assert torch.stack(covered).amax(0).tolist() == [2, 2, 3, 2] and torch.stack(covered).amin(0).tolist() == [0] * 4


def test_a_stretch_is_drawn_evenly_and_lies_inside():
    torch.manual_seed(0)
    drawn = stretch(6, torch.full((6000,), 5), torch.full((6000,), 2))
    shares = torch.bincount(drawn.sum(1), minlength=3) / 6000
    torch.testing.assert_close(shares, torch.full((3,), 1 / 3), atol=0.03, rtol=0)
    assert not drawn[:, 5].any() and drawn[:, :5].any(0).all()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"bands": -1}, "spec_augment.bands=-1 must be at least 0"),
        ({"share": 1.5}, "spec_augment.share=1.5 must be from 0 to 1"),
    ],
)
def test_options_outside_their_range_are_refused(option, message):
    with pytest.raises(ConfigError, match=message):
        SpecAugment(**option)
