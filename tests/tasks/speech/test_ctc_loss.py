"""The loss against a sum over every path, written out."""

import itertools
import math

import pytest
import torch

from mmbert.tasks.speech.ctc_loss import ctc_losses
from mmbert.tasks.speech.ctc_search import collapsed


def by_hand(logits, text):
    """-log of the sum over all paths whose text it is, symbol 0 being the blank."""
    shares = logits.double().softmax(-1)
    total = 0.0
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        if collapsed(path) == list(text):
            total += math.prod(float(shares[frame, symbol]) for frame, symbol in enumerate(path))
    return -math.log(total)


def test_it_is_the_sum_over_all_paths_of_the_real_tokens():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 5, 3, generator=generator)
    frames, length = torch.tensor([5, 3, 4, 5]), torch.tensor([2, 2, 1, 3])
    ids = torch.tensor([[1, 2, 0], [2, 1, 0], [1, 0, 0], [2, 2, 1]])
    found = ctc_losses(logits, frames, ids, length)
    for row in range(4):
        expected = by_hand(logits[row, : frames[row]], ids[row, : length[row]].tolist())
        assert float(found[row]) == pytest.approx(expected, rel=1e-5)


def test_what_lies_beyond_a_sounds_or_a_transcripts_end_is_not_read():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 6, 4, generator=generator)
    frames, ids, length = torch.tensor([4, 6]), torch.tensor([[1, 0], [2, 3]]), torch.tensor([1, 2])
    plain = ctc_losses(logits, frames, ids, length)
    logits[0, 4:], ids[0, 1] = 50.0, 3
    assert torch.equal(ctc_losses(logits, frames, ids, length), plain)


def test_nothing_said_or_nothing_heard_is_0_and_has_no_gradient():
    logits = torch.randn(3, 4, 3)
    logits[0] = torch.nan
    logits.requires_grad_()
    found = ctc_losses(logits, torch.tensor([4, 0, 4]), torch.ones(3, 1).long(), torch.tensor([0, 1, 1]))
    found.sum().backward()
    assert found[:2].tolist() == [0, 0] and found[2] > 0
    assert not logits.grad[:2].any() and logits.grad[2].any()
