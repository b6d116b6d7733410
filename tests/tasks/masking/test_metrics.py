"""Accuracy and perplexity over tokens equal NumPy's and torchmetrics', however they are batched."""

import math

import numpy as np
import torch
from torchmetrics.text import Perplexity as Reference

from mmbert.tasks.masking.metrics import Perplexity, TokenAccuracy


def test_they_equal_a_calculation_over_all_tokens_at_once():
    generator = torch.Generator().manual_seed(0)
    logits, words = torch.randn(37, 9, generator=generator) * 3, torch.randint(9, (37,), generator=generator)
    accuracy, perplexity, reference = TokenAccuracy(), Perplexity(), Reference()
    for part in (slice(0, 5), slice(5, 5), slice(5, 37)):
        accuracy.update(logits[part], words[part])
        perplexity.update(logits[part], words[part])
    reference.update(logits.unsqueeze(0), words.unsqueeze(0))
    x = logits.double().numpy()
    log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
    right = log_p[np.arange(37), words.numpy()]
    np.testing.assert_allclose(float(perplexity.compute()), np.exp(-right.mean()), rtol=1e-5)
    np.testing.assert_allclose(float(perplexity.compute()), float(reference.compute()), rtol=1e-5)
    assert float(accuracy.compute()) == float(np.float32((x.argmax(1) == words.numpy()).mean()))


def test_a_word_that_is_next_to_impossible_gives_a_finite_perplexity():
    metric = Perplexity()
    metric.update(torch.tensor([[0.0, -80.0], [0.0, 0.0]]), torch.tensor([1, 0]))
    # exp((80 + log 2) / 2); a probability of e^-80 would still be representable, e^-120 not
    torch.testing.assert_close(metric.compute(), torch.tensor(math.exp((80 + math.log(2)) / 2)))
    metric.update(torch.tensor([[0.0, -150.0]]), torch.tensor([1]))
    assert math.isfinite(float(metric.compute()))


def test_nothing_masked_is_nan_and_no_zero():
    assert math.isnan(float(TokenAccuracy().compute())) and math.isnan(float(Perplexity().compute()))
