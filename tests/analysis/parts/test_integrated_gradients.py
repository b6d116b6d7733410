"""Integrated gradients: by hand for a linear model, complete for real ones, blind to padding, absence and batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from explained_models import Plain, linear_model, real_batch, real_model, vectors
from mmbert.analysis.parts.answers import TaskAnswers, explained_tasks
from mmbert.analysis.parts.differentiable import ReadFunction, differentiable
from mmbert.analysis.parts.explain import PathOptions, explain_parts, explained_answers
from mmbert.analysis.parts.integrated_gradients import integrated_gradients
from mmbert.core.errors import ConfigError
from mmbert.core.types import Batch, Encoded
from mmbert.fusion.concat import ConcatFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.regression import Regression
from mmbert.tasks.retrieval import Retrieval

CPU = torch.device("cpu")
COVERS = ("answers", "differentiable")


def test_a_linear_model_has_its_weights_times_the_change_by_hand():
    model, inputs = linear_model(), vectors()
    for encoder in model.named_encoders().values():
        encoder.neutral = 0.5
    with differentiable(model):
        function = ReadFunction(TaskAnswers(model, "value"), inputs)
        made = integrated_gradients(function, torch.arange(3), torch.zeros(3, dtype=torch.int64), steps=2, most_steps=2)
    head = next(layer for layer in model.tasks["value"].modules() if isinstance(layer, nn.Linear))
    for name, each in inputs.items():
        # value = 2 · head(W_a mean(a) + W_b mean(b)) + 5: each real token has one of n shares of the slope
        slope = 2 * head.weight[0] @ model.fusion.layers[name].weight / each["mask"].sum(1).clamp(min=1)[:, None]
        expected = slope[:, None] * (each["vectors"] - 0.5) * each["mask"][..., None]
        torch.testing.assert_close(made.parts[name], expected.detach(), atol=1e-6, rtol=1e-5)
    assert float(made.parts["a"].abs().sum()) > 0.1 and made.gap.max() < 1e-5


OPTIONS = PathOptions(steps=64, most_steps=512, tolerance=0.005)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_parts_of_a_real_model_sum_up_to_what_the_output_changes_by(kind, frozen):
    model = real_model(kind=kind, frozen=frozen)
    batch = real_batch(model)
    found = explain_parts(model, [batch], explained_tasks(model, [], []), CPU, OPTIONS)
    with torch.no_grad():
        told = model.answers(model(batch.inputs))
    for sample, answer in zip(found, told, strict=True):
        for each in sample.answers:
            total = sum(each.contributions().values())
            scale = 2 if kind == "regression" else 1  # the deviation in training
            assert each.much == (each.gap > 0.005 * scale) and each.gap < 0.02 * scale
            assert each.gap == pytest.approx(abs(total - each.output + each.baseline), abs=1e-5)
            said = answer["answer"]
            expected = said["prediction"] if kind == "regression" else said["probabilities"][each.answer]
            assert each.output == pytest.approx(expected, abs=1e-5)
        names = [each.answer for each in sample.answers]
        if kind == "classification":
            assert names == [answer["answer"]["prediction"]]
        elif kind == "multilabel":
            likely = answer["answer"]["probabilities"]
            assert names == (answer["answer"]["prediction"] or [max(likely, key=likely.get)])
    assert max(abs(v) for s in found for a in s.answers for v in a.contributions().values()) > 0.01


def test_padding_and_absent_modalities_have_exactly_nothing():
    model = real_model()
    batch = real_batch(model)
    with differentiable(model):
        function = ReadFunction(TaskAnswers(model, "answer"), batch.inputs)
        made = integrated_gradients(function, torch.arange(4), torch.zeros(4, dtype=torch.int64), 8, 8)
    for name, parts in made.parts.items():
        real = function.read[name].real.expand_as(parts)
        assert (parts[~real] == 0).all() and parts[real].abs().sum() > 0 and (~real).any()
    found = explain_parts(model, [batch], explained_tasks(model, [], []), CPU, PathOptions(8, 8))
    assert [sorted(sample.answers[0].parts) for sample in found] == [
        ["audio", "image", "text"], ["image", "text"], ["audio", "image"], ["audio", "text"],
    ]  # fmt: skip


@given(kept=st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True))
@settings(deadline=None, max_examples=8)
def test_how_samples_are_batched_changes_nothing(kept):
    model = real_model()
    batch = real_batch(model)
    whole = explain_parts(model, [batch], explained_tasks(model, [], []), CPU, PathOptions(8, 8))
    rows = torch.tensor(kept)
    inputs = {name: {key: t[rows] for key, t in each.items()} for name, each in batch.inputs.items()}
    some = Batch(inputs, {}, rows, (), {"text": [batch.alignments["text"][row] for row in kept]})
    for sample in explain_parts(model, [some], explained_tasks(model, [], []), CPU, PathOptions(8, 8)):
        other = whole[sample.row]
        for one, two in zip(sample.answers, other.answers, strict=True):
            assert one.answer == two.answer and one.output == pytest.approx(two.output, abs=1e-5)
            for name, part in one.parts.items():
                np.testing.assert_allclose(part, two.parts[name], atol=1e-5)


def test_steps_are_raised_until_the_gap_is_small_and_no_further():
    model = real_model()
    inputs = real_batch(model).inputs
    answers = TaskAnswers(model, "answer")
    with differentiable(model):
        few = dict(explained_answers(answers, inputs, PathOptions(2, 2, 1e-4)))
        more = dict(explained_answers(answers, inputs, PathOptions(2, 256, 1e-4)))
    assert all(answer.steps == 2 for answer in few.values()) and any(answer.much for answer in few.values())
    for row, answer in more.items():
        assert answer.much == (answer.gap > 1e-4)
        assert (answer.steps == 2) == (few[row].gap <= 1e-4) and (answer.steps == 256 or not answer.much)
        assert answer.gap < few[row].gap or answer.steps == 2


def test_a_class_that_is_asked_for_is_explained_by_its_own_gradient():
    model = real_model()
    batch = real_batch(model)
    alike = PathOptions(16, 16)  # the same points of the way for all classes
    made = {
        name: explain_parts(model, [batch], explained_tasks(model, ["answer"], [name]), CPU, alike) for name in "abc"
    }
    for samples in zip(*made.values(), strict=True):
        # the probabilities of all classes sum to 1 before and after, so that what the classes are given sums to 0
        for name in samples[0].answers[0].parts:
            total = sum(sample.answers[0].parts[name] for sample in samples)
            np.testing.assert_allclose(total, 0, atol=1e-5)
        outputs = [sample.answers[0].output for sample in samples]
        assert sum(outputs) == pytest.approx(1, abs=1e-5)


def test_the_model_is_left_as_it_was():
    model = real_model(frozen=True).train()
    wanted = {name: weight.requires_grad for name, weight in model.named_parameters()}
    modes = {name: module.training for name, module in model.named_modules()}
    fast = torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(ZeroDivisionError), differentiable(model):
        assert not torch.backends.mha.get_fastpath_enabled() and not model.encoders["text"].frozen
        raise ZeroDivisionError
    assert wanted == {name: weight.requires_grad for name, weight in model.named_parameters()}
    assert modes == {name: module.training for name, module in model.named_modules()}
    assert model.encoders["text"].frozen and torch.backends.mha.get_fastpath_enabled() == fast


def test_gradients_through_fused_attention_are_those_of_eager_attention():
    model = real_model()
    batch = real_batch(model)
    made = {}
    for how in ("sdpa", "eager"):
        model.encoders["text"].network.set_attn_implementation(how)
        with differentiable(model):
            function = ReadFunction(TaskAnswers(model, "answer"), batch.inputs)
            numbers = [read.numbers.clone().requires_grad_() for read in function.read.values()]
            total = function(*numbers, torch.arange(4), torch.zeros(4, dtype=torch.int64)).sum()
            made[how] = torch.autograd.grad(total, numbers)
    for fused, eager in zip(made["sdpa"], made["eager"], strict=True):
        torch.testing.assert_close(fused, eager, atol=1e-6, rtol=1e-4)


class Adapted(nn.Linear):
    """A layer with something around it, as an adapter is, which the fused path does not call."""

    def forward(self, x):
        return super().forward(x) * 3


class Layered(Plain):
    """One of torch's own transformer layers, which has a fused path in evaluation mode."""

    def __init__(self, dim):
        super().__init__(dim)
        self.layer = nn.TransformerEncoderLayer(dim, 2, 8, 0.0, batch_first=True)
        self.layer.linear1 = Adapted(dim, 8)

    def encode(self, inputs):
        tokens = self.layer(inputs["vectors"], src_key_padding_mask=~inputs["mask"])
        return Encoded.from_tokens(tokens, inputs["mask"])


def test_what_torchs_fused_layer_passes_by_is_in_both_the_output_and_its_gradient():
    torch.manual_seed(0)
    encoders = {"a": Layered(4), "b": Plain(3)}
    task = Regression(4, "value", mean=0.0, std=1.0, dropout=0.0)
    model = MultimodalModel(encoders, ConcatFusion({"a": 4, "b": 3}, 4, dropout=0.0), {"value": task}).eval()
    inputs = vectors()
    inputs["a"] = {"vectors": torch.randn(3, 2, 4), "mask": inputs["a"]["mask"]}
    answers = TaskAnswers(model, "value")
    with differentiable(model):
        function = ReadFunction(answers, inputs)
        numbers = {name: read.numbers for name, read in function.read.items()}
        with torch.no_grad():
            without = function.all_numbers(numbers, torch.arange(3))
        with_graph = function.all_numbers({n: x.requires_grad_() for n, x in numbers.items()}, torch.arange(3))
        made = integrated_gradients(function, torch.arange(3), torch.zeros(3, dtype=torch.int64), 64, 256)
    torch.testing.assert_close(without, with_graph.detach())
    assert (
        made.gap.max()
        < 0.05
        < (without - function.all_numbers({n: r.baseline for n, r in function.read.items()}, torch.arange(3)))
        .abs()
        .max()
    )
    with torch.no_grad():
        fused = model(inputs).outputs["value"]["value"]
    assert (fused.reshape(-1) - without[:, 0]).abs().max() > 1e-3  # what the fused path would have said


def test_what_has_no_number_a_sample_is_refused_with_the_reason():
    model = linear_model()
    with pytest.raises(ConfigError, match="task=valu: the model has no such task. Did you mean 'value'"):
        explained_tasks(model, ["valu"], [])
    with pytest.raises(ConfigError, match="class=12: the task 'value' has no such class"):
        explained_tasks(model, ["value"], ["12"])
    fusion = ConcatFusion({"a": 2, "b": 3}, 4, dropout=0.0)
    other = MultimodalModel({"a": Plain(2), "b": Plain(3)}, fusion, {"found": Retrieval(4, {"a": 2, "b": 3})})
    with pytest.raises(ConfigError, match="None of the model's tasks \\(found: retrieval\\)"):
        explained_tasks(other, [], [])
    with pytest.raises(ConfigError, match="task=found: it is of the kind retrieval"):
        explained_tasks(other, ["found"], [])
