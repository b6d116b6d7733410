"""GradNorm against an independent calculation."""

import math

import numpy as np
import torch
from torch import tensor
from torch.testing import assert_close

from mmbert.training.balance.fixed import FixedBalance
from mmbert.training.balance.gradnorm import GradNormBalance, weight_gradient
from three_tasks_model import gradients, module_of, part, samples


def test_the_gradient_of_the_weights_is_that_of_autograd():
    generator = torch.Generator().manual_seed(0)
    norms, weights, losses, first = (torch.rand(4, generator=generator) + 0.2 for _ in range(4))
    given = weights.clone().requires_grad_()
    lengths = given * norms
    ratios = losses / first
    targets = (lengths.mean() * (ratios / ratios.mean()) ** 1.5).detach()
    (lengths - targets).abs().sum().backward()
    assert_close(weight_gradient(norms, weights, losses, first, 1.5), given.grad)


def norms_and_losses(module, whole):
    """‖∂(w_t L_t)/∂ all that tasks read‖ and L_t, by autograd on a model that is not cut."""
    output = module(whole)
    found, losses = [], []
    for name, task in module.tasks.items():
        loss = task.loss(output.outputs[name], whole.targets[name]).mean
        shared = [output.fused.pooled, output.encoded["text"].pooled]
        vector, _ = torch.autograd.grad(
            module.balance.weights[name] * loss, shared, retain_graph=True, allow_unused=True
        )
        square = vector.square().sum()
        if name == "other":  # which reads the encoded text too
            at_output = torch.autograd.grad(loss, output.outputs[name]["value"], retain_graph=True)[0]
            square = square + 3 * at_output.square().sum()  # of three numbers that are added up
        found.append(float(square.sqrt()))
        losses.append(float(loss.detach()))
    return np.array(found), np.array(losses)


def test_a_runs_weights_follow_the_papers_rule():
    whole, module = samples(), module_of(GradNormBalance, alpha=1.0, lr=0.1)
    weights, mean, square, first = np.ones(3), np.zeros(3), np.zeros(3), None
    optimizer = torch.optim.SGD(module.model.parameters(), lr=0.05)
    for step in range(1, 6):
        norms, losses = norms_and_losses(module, whole)
        first = losses if first is None else first
        optimizer.zero_grad()
        gradients(module, [whole])
        optimizer.step()
        module.balance.stepped(dict)
        lengths, ratios = weights * norms, losses / first
        gradient = np.sign(lengths - lengths.mean() * ratios / ratios.mean()) * norms
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        weights = weights - 0.1 * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        weights = 3 * np.maximum(weights, 1e-3) / np.maximum(weights, 1e-3).sum()
        assert_close(module.balance.taught.value.numpy(), weights.astype(np.float32), rtol=1e-3, atol=1e-4)
    assert_close(float(module.balance.taught.value.sum()), 3.0)
    assert np.ptp(weights) > 0.05


def test_the_model_is_trained_by_the_weighted_sum():
    expected = gradients(module_of(FixedBalance), [samples()])
    module = module_of(GradNormBalance)
    for name, gradient in gradients(module, [samples()]).items():  # all weights are still 1
        assert_close(gradient, expected[name], rtol=1e-5, atol=5e-7)
    module.model.zero_grad()
    module.balance.taught.value.copy_(tensor([2.0, 0.0, 1.0]))
    fixed = module_of(FixedBalance)
    fixed.balance.weights = {"answer": 2.0, "value": 0.0, "other": 1.0}
    expected = gradients(fixed, [samples()])
    for name, gradient in gradients(module, [samples()]).items():
        assert_close(gradient, expected[name], rtol=1e-5, atol=5e-7)


def test_accumulated_batches_move_the_weights_as_one_batch():
    whole = samples(values=[False] * 3 + [True] * 5)
    one, other = module_of(GradNormBalance), module_of(GradNormBalance)
    for seed in range(3):
        whole = samples(seed, values=[False] * 3 + [True] * 5)
        gradients(one, [whole])
        gradients(other, [part(whole, 0, 2), part(whole, 2, 8)], 2)
        # Lightning divides by k what is weighed by k: the norms of the step are those of one batch, times k
        assert_close(other.balance.squares.sqrt() / 2, one.balance.squares.sqrt(), rtol=1e-5, atol=1e-7)
        one.balance.stepped(dict)
        other.balance.stepped(dict)
        assert_close(other.balance.taught.value, one.balance.taught.value, rtol=1e-4, atol=1e-5)


def test_a_task_without_labels_keeps_its_weight():
    module = module_of(GradNormBalance, lr=0.2)
    nobody = samples(values=[False] * 8)
    gradients(module, [nobody])
    module.balance.stepped(dict)
    assert module.balance.taught.steps.tolist() == [1, 0, 1]
    assert math.isnan(module.balance.first[1]) and not math.isnan(module.balance.first[0])
    assert_close(float(module.balance.taught.value.sum()), 3.0)


def test_state_goes_through_checkpoints():
    one, other = module_of(GradNormBalance), module_of(GradNormBalance)
    for seed in range(2):
        gradients(one, [samples(seed)])
        one.balance.stepped(dict)
    other.load_state_dict(one.state_dict())
    for module in (one, other):
        module.model.zero_grad()
        gradients(module, [samples(5)])
        module.balance.stepped(dict)
    assert torch.equal(one.balance.taught.value, other.balance.taught.value)
