"""The arithmetic of absence against NumPy, with garbage where nothing is real."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.masks import blank, masked_max, masked_mean, masked_softmax

JUNK = [0.0, 1e30, math.nan, math.inf, -math.inf]
masks = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=4)


def dirty(values: torch.Tensor, mask: torch.Tensor, junk: float) -> torch.Tensor:
    gone = ~mask if values.ndim == mask.ndim else ~mask.unsqueeze(-1)
    return values.masked_fill(gone, junk)


@given(rows=masks, junk=st.sampled_from(JUNK))
@settings(deadline=None, max_examples=40)
def test_mean_and_max_are_numpys_over_the_real_tokens(rows, junk):
    mask = torch.tensor(rows)
    tokens = torch.randn(*mask.shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mean, highest = (f(dirty(tokens, mask, junk), mask) for f in (masked_mean, masked_max))
    for i, row in enumerate(rows):
        real = tokens[i].numpy()[np.array(row)]
        np.testing.assert_allclose(mean[i], real.mean(0) if len(real) else np.zeros(2), rtol=1e-12)
        np.testing.assert_allclose(highest[i], real.max(0) if len(real) else np.zeros(2), rtol=1e-12)


@given(rows=masks, junk=st.sampled_from(JUNK))
@settings(deadline=None, max_examples=40)
def test_softmax_is_numpys_over_the_real_entries(rows, junk):
    mask = torch.tensor(rows)
    scores = torch.randn(mask.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weights = masked_softmax(dirty(scores, mask, junk), mask)
    for i, row in enumerate(rows):
        real = np.array(row)
        expected = np.zeros(3)
        if real.any():
            raised = np.exp(scores[i].numpy()[real])
            expected[real] = raised / raised.sum()
        np.testing.assert_allclose(weights[i], expected, rtol=1e-12)


@pytest.mark.parametrize("function", [masked_mean, masked_max])
@pytest.mark.parametrize("junk", JUNK)
def test_no_gradient_reaches_what_is_not_real(function, junk):
    mask = torch.tensor([[True, True, False], [False, False, False]])
    tokens = dirty(torch.randn(2, 3, 2), mask, junk).requires_grad_()
    function(tokens, mask).sum().backward()
    assert torch.isfinite(tokens.grad).all()
    assert (tokens.grad[~mask] == 0).all()


@pytest.mark.parametrize("junk", JUNK)
def test_softmax_has_finite_gradients_even_where_a_row_is_empty(junk):
    mask = torch.tensor([[True, True, False], [False, False, False]])
    scores = dirty(torch.randn(2, 3), mask, junk).requires_grad_()
    (masked_softmax(scores, mask) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert torch.isfinite(scores.grad).all()
    assert scores.grad[0, :2].abs().min() > 0
    assert (scores.grad[~mask] == 0).all()


def test_blank_spreads_over_trailing_dimensions_and_keeps_the_dtype():
    values = torch.full((2, 3, 4), math.nan, dtype=torch.bfloat16)
    out = blank(values, torch.zeros(2, dtype=torch.bool))
    assert out.dtype == torch.bfloat16
    assert (out == 0).all()
