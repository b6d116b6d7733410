"""Gradients by sample: of every strategy those of one sample by itself, without padding and without the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fusion_harness import DIMS, STRATEGIES, WIDTH, options_of
from mmbert.core.errors import ConfigError
from mmbert.core.types import UNLABELLED, Batch, Encoded
from mmbert.data.loading.cached import StoredTokens, collate_stored
from mmbert.encoders.features import FeatureEncoder
from mmbert.fusion.base import Fusion
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification
from mmbert.tasks.regression import Regression
from mmbert.testing import random_inputs
from mmbert.training.private.refused import REFUSED_FUSIONS, check_private_fusion
from mmbert.training.private.sample_gradients import SampleGradients, SampleLoss

PRESENT = [[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 1]]
#: Strategies that draw in training at random: without that, as in evaluation.
DRAWING = {"embracenet", "product_of_experts"}
#: Strategies that work inside an encoder: test_encoder_gradients.py has them, with encoders.
INJECTING = [n for n in STRATEGIES if options_of(n)[0](DIMS, WIDTH, **options_of(n)[1]).injects_into is not None]
ALLOWED = [name for name in STRATEGIES if name not in {*REFUSED_FUSIONS, *INJECTING}]


class Heads(torch.nn.Module):
    """A model of what has been encoded: fusion and tasks, without encoders."""

    def __init__(self, fusion: Fusion, tasks: dict[str, Any]) -> None:
        super().__init__()
        self.fusion, self.tasks = fusion, torch.nn.ModuleDict(tasks)
        self.encoders = torch.nn.ModuleDict({name: torch.nn.Identity() for name in fusion.dims})
        from mmbert.tasks.decision_heads import DecisionHeads

        self.decision_heads = torch.nn.ModuleDict(
            {name: DecisionHeads(name, task, fusion) for name, task in tasks.items() if fusion.views}
        )

    named_encoders = MultimodalModel.named_encoders
    named_tasks = MultimodalModel.named_tasks
    named_decision_heads = MultimodalModel.named_decision_heads
    state = MultimodalModel.state
    answer = MultimodalModel.answer
    _outputs_of = MultimodalModel._outputs_of


#: Signed square roots have a slope without bound near zero, which makes much of the last digit of a product.
TOLERANCE = {"block": 2e-3}


def fusion_of(name: str) -> Fusion:
    """As its YAML builds it, in training mode, without what is drawn at random."""
    kind, options = options_of(name)
    torch.manual_seed(1)
    fusion = kind(DIMS, WIDTH, **options).train()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return fusion


def heads_of(fusion: Fusion) -> Heads:
    weights = None if type(fusion).__module__.endswith("tmc") else [0.5, 1.0, 3.0]  # its loss knows of none
    tasks: dict[str, Any] = {"kind": Classification(WIDTH, "kind", ["a", "b", "c"], class_weights=weights)}
    if not fusion.views:
        tasks["amount"] = Regression(WIDTH, "amount", mean=1.0, std=2.0)
    return without_dropout(Heads(fusion, tasks).train())


def without_dropout(model: Heads) -> Heads:
    """Nothing is drawn at random."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    return model


def tree_of(fusion: Fusion) -> dict[str, Any]:
    """Four samples: absent modalities, padding, a label that is missing in each task."""
    encoded = random_inputs(DIMS, len(PRESENT), present=torch.tensor(PRESENT).bool(), scattered=True)
    targets = {"kind": {"label": torch.tensor([0, 2, 1, UNLABELLED])}}
    if not fusion.views:
        targets["amount"] = {"label": torch.tensor([0.3, float("nan"), -1.0, 2.0])}
    parts = {n: {"tokens": x.tokens, "mask": x.mask, "pooled": x.pooled} for n, x in encoded.items()}
    return {"inputs": {}, "encoded": parts, "targets": targets, "rows": torch.arange(4)}


def alone(model: Heads, tree: dict[str, Any], b: int) -> list[Tensor]:
    """The gradient of one sample's loss by plain autograd, from its real tokens alone."""
    encoded = {}
    for name, x in tree["encoded"].items():
        mask = x["mask"][b]
        kept = mask.nonzero().flatten() if mask.any() else torch.tensor([0])
        # what stands between real tokens is padding; positions count, so the last real one ends the sequence
        end = int(kept[-1]) + 1
        encoded[name] = Encoded(x["tokens"][b : b + 1, :end], mask[None, :end], x["pooled"][b : b + 1])
    targets = {n: {k: v[b : b + 1] for k, v in t.items()} for n, t in tree["targets"].items()}
    output = model.answer(model.state(encoded), targets=targets)
    total = torch.zeros(())
    for name, task in model.named_tasks().items():
        loss = task.loss(output.outputs[name], targets[name])
        if name in output.decisions:
            heads = model.named_decision_heads()[name]
            terms = heads.losses(task, output.decisions[name], targets[name], 0, torch.tensor([b]))
            total = total + (0.0 if heads.decision.replaces_loss else loss.total)
            total = total + sum(term * loss.count for term in terms.values())
        else:
            total = total + loss.total
    total = total + sum(output.fused.auxiliary_losses.values())
    return list(torch.autograd.grad(total, list(model.parameters()), materialize_grads=True))


@pytest.mark.parametrize("name", ALLOWED)
def test_of_every_allowed_strategy_they_are_those_of_each_sample_alone(name: str) -> None:
    fusion = fusion_of(name)
    check_private_fusion(fusion)
    model, tree = heads_of(fusion), tree_of(fusion)
    fusion.train(name not in DRAWING)
    computed = SampleGradients(SampleLoss(model, dict.fromkeys(model.tasks, 1.0)))
    names = dict(model.named_parameters())
    for way in (computed.one_by_one, computed.at_once):
        torch.manual_seed(5)
        try:
            found, losses = way(tree)
        except (RuntimeError, NotImplementedError, ValueError, TypeError):
            if way == computed.one_by_one:
                raise
            continue
        assert losses.total.shape == (4,)
        for b in range(4):
            for (key, _), expected in zip(names.items(), alone(model, tree, b), strict=True):
                torch.testing.assert_close(
                    found[f"model.{key}"][b], expected, rtol=TOLERANCE.get(name, 1e-4), atol=1e-5
                )
    found, _ = computed.of(tree)
    assert all(g.shape[0] == 4 for g in found.values())


@pytest.mark.parametrize("name", sorted(REFUSED_FUSIONS))
def test_what_is_refused_says_why_and_what_to_do(name: str) -> None:
    with pytest.raises(ConfigError, match=f"privacy=dp does not go with fusion={name}: .* Instead: "):
        check_private_fusion(fusion_of(name))


@pytest.mark.parametrize("name", [n for n, (unless, _, _) in REFUSED_FUSIONS.items() if unless])
def test_the_remedy_of_a_refused_strategy_is_one(name: str) -> None:
    kind, options = options_of(name)
    words = dict(word.removeprefix("fusion.").split("=") for word in REFUSED_FUSIONS[name][2].split())
    check_private_fusion(kind(DIMS, WIDTH, **{**options, **{key: float(value) for key, value in words.items()}}))


@pytest.mark.parametrize("name", sorted({*ALLOWED} - DRAWING))
def test_the_loss_of_an_allowed_strategy_is_a_sum_over_samples(name: str) -> None:
    """The batch's own loss, as training without privacy takes it, is the mean of those of its samples."""
    fusion = fusion_of(name)
    model = heads_of(fusion)
    tree = tree_of(fusion)
    three = SampleLoss(model, dict.fromkeys(model.tasks, 1.0))
    whole, each = three(tree), SampleGradients(three).one_by_one(tree)[1]
    if not fusion.views:
        torch.testing.assert_close(whole.losses["kind"], each.losses["kind"].sum(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(whole.losses["amount"], each.losses["amount"].sum(), rtol=1e-4, atol=1e-5)


def test_copies_that_fill_a_batch_are_no_samples() -> None:
    model = heads_of(fusion_of("concat"))
    frozen = {name: FeatureEncoder(width, norm=False, frozen=True) for name, width in DIMS.items()}
    model.encoders = torch.nn.ModuleDict(frozen)
    inputs = {n: {"features": torch.randn(3, 2, d), "mask": torch.ones(3, 2).bool()} for n, d in DIMS.items()}
    targets = {"kind": {"label": torch.tensor([1, 0, 2])}, "amount": {"label": torch.zeros(3)}}
    tree = SampleLoss(model, {}).encode(Batch(inputs, targets, torch.tensor([3, -1, 5])))
    assert tree["targets"]["kind"]["label"].tolist() == [1, 2] and tree["rows"].tolist() == [3, 5]
    assert torch.equal(tree["encoded"]["text"]["tokens"], inputs["text"]["features"][[0, 2]])


def test_rows_that_the_store_lacks_are_samples_as_all_others() -> None:
    """Stored rows and others in one batch: the tensors of the others have a row each of them, not one a sample."""
    model = heads_of(fusion_of("concat"))
    model.encoders = torch.nn.ModuleDict({n: FeatureEncoder(d, norm=False, frozen=True) for n, d in DIMS.items()})
    values = {name: [np.ones((2, d), np.float32) * k for k in range(3)] for name, d in DIMS.items()}
    inputs = {}
    for name, rows in values.items():
        stored = [StoredTokens(x, x.mean(0)) for x in rows]
        mixed = [stored[0], torch.from_numpy(rows[1]), stored[2]]
        inputs[name] = collate_stored(mixed, model.encoders[name].processor)
    targets = {"kind": {"label": torch.tensor([1, 0, 2])}, "amount": {"label": torch.zeros(3)}}
    tree = SampleLoss(model, {}).encode(Batch(inputs, targets, torch.arange(3)))
    for name in DIMS:
        assert torch.equal(tree["encoded"][name]["tokens"], torch.from_numpy(np.stack(values[name])))
    gradients, _ = SampleGradients(SampleLoss(model, dict.fromkeys(model.tasks, 1.0))).of(tree)
    assert all(len(g) == 3 for g in gradients.values())
