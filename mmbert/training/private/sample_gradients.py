"""The gradient of each sample's own loss: all at once by ``torch.func``, or one by one where that cannot be.

The loss of a sample is what the model and the tasks make of a batch that holds this sample alone, so nothing in its
gradient can come from another sample. Both ways compute the same numbers; what cannot be vectorised (control flow that
depends on values, shapes that depend on masks) goes one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from mmbert.core.injection import LayerInjection
from mmbert.core.masks import blank
from mmbert.core.types import Batch, Encoded, Inputs, Tensors, map_leaves, rows_of
from mmbert.data.loading.cached import FRESH, POOLED
from mmbert.encoders.base import Encoder
from mmbert.model import MultimodalModel

#: A batch as dictionaries of tensors alone, samples first: ``inputs``, ``encoded``, ``targets``, ``rows``.
SampleTree = dict[str, Any]
#: How far the two ways may lie apart in the first batch, relative to the largest gradient; float32.
AGREE = 1e-3
#: So many samples of the first batch are computed in both ways.
COMPARED = 8


class SampleLosses(NamedTuple):
    """Of one sample, or of B: () or (B,) each.

    Attributes:
        losses: by task, its contribution; 0 where it has no label.
        counts: by task, how much of it is labelled.
        total: what is differentiated: Σ_t w_t · loss_t and the fusion's auxiliary losses.
    """

    losses: Tensors
    counts: Tensors
    total: Tensor


class SampleLoss(nn.Module):
    """The loss of one sample.

    A task that reads tokens contributes the mean over the sample's labelled tokens; any other its loss times the
    weight of the sample's class. An unlabelled sample contributes 0.

    Args:
        model: whose trainable parameters are differentiated.
        weights: of the tasks, by name.
        live: encoders that are part of what is trained: they have adapters, or the fusion changes them from within.
    """

    def __init__(self, model: MultimodalModel, weights: Mapping[str, float], live: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.model = model
        self.weights = dict(weights)
        self.live = live
        self.epoch = 0

    def encode(self, batch: Batch) -> SampleTree:
        """A batch whose frozen encoders have run, B samples together, without the copies that only fill it up.

        Where some rows of an encoder are from the store and others are not, its inputs are left out: their tensors are
        not one row a sample. Only live encoders would read them, and those have no tokens in the store.
        """
        encoders = self.model.named_encoders()
        with torch.no_grad():
            encoded = {name: e(batch.inputs[name]) for name, e in encoders.items() if name not in self.live}
        parts = {n: {"tokens": x.tokens, "mask": x.mask, "pooled": x.pooled} for n, x in encoded.items()}
        inputs = {name: tensors for name, tensors in batch.inputs.items() if FRESH not in tensors}
        tree = {"inputs": inputs, "encoded": parts, "targets": batch.targets, "rows": batch.rows}
        real = batch.rows >= 0
        return tree if bool(real.all()) else rows_of(tree, real)

    def forward(self, tree: SampleTree) -> SampleLosses:
        """A batch of one sample -> its losses, () each."""
        model = self.model
        encoded = self._encoded(tree)
        output = model.answer(model.state(encoded, inputs=tree["inputs"]), targets=tree["targets"])
        heads, losses, counts, total = model.named_decision_heads(), {}, {}, []
        for name, task in model.named_tasks().items():
            targets = tree["targets"][name]
            loss = task.loss(output.outputs[name], targets)
            terms = [loss.mean if task.reads_tokens else loss.total]
            if name in output.decisions:
                part = heads[name]
                more = part.losses(task, output.decisions[name], targets, self.epoch, tree["rows"])
                # means of a batch of one, in which the weight of the sample's class has cancelled out
                terms = [*([] if part.decision.replaces_loss else terms), *(x * loss.count for x in more.values())]
            losses[name] = torch.stack([term.float() for term in terms]).sum()
            counts[name] = loss.count.detach().float()
            total.append(self.weights[name] * losses[name])
        total += [value.float() for value in output.fused.auxiliary_losses.values()]
        return SampleLosses(losses, counts, torch.stack(total).sum())

    def _encoded(self, tree: SampleTree) -> dict[str, Encoded]:
        fusion, encoders = self.model.fusion, self.model.named_encoders()
        encoded = {name: Encoded(**parts) for name, parts in tree["encoded"].items()}
        for name in self.live:
            if name != fusion.injects_into:
                encoded[name] = encoded_alone(encoders[name], tree["inputs"][name])
        if (injected := fusion.injects_into) is not None:
            encoded[injected] = encoded_alone(encoders[injected], tree["inputs"][injected], fusion.injection(encoded))
        return {name: encoded[name] for name in encoders}


def encoded_alone(encoder: Encoder, inputs: Inputs, injection: LayerInjection | None = None) -> Encoded:
    """What an encoder's ``forward`` gives of one sample, whether it has the modality or not.

    ``forward`` looks first which samples have it; what depends on values cannot be vectorised. Of one sample there is
    nothing to choose: where it lacks the modality the network runs over a blank there too, and zeros are returned.
    """
    if POOLED in inputs:
        return encoder(inputs, injection)  # type: ignore[no-any-return]
    made = encoder.encode(inputs) if injection is None else encoder.encode_injected(inputs, injection)
    return Encoded(blank(made.tokens, made.mask), made.mask, blank(made.pooled, made.present), injection is not None)


class SampleGradients:
    """Computes the gradients of B samples.

    Args:
        loss: of one sample.

    Attributes:
        vectorised: whether all samples are differentiated at once; None = the first batch decides.
        reason: why they are not.
    """

    def __init__(self, loss: SampleLoss, vectorised: bool | None = None) -> None:
        self.loss = loss
        self.vectorised = vectorised
        self.reason = ""

    def parameters(self) -> dict[str, nn.Parameter]:
        """What is differentiated, by name in the ``SampleLoss``."""
        return {name: p for name, p in self.loss.named_parameters() if p.requires_grad}

    def of(self, tree: SampleTree) -> tuple[dict[str, Tensor], SampleLosses]:
        """The gradients (B, …) by parameter, and the losses (B,) of B ≥ 1 samples."""
        if self.vectorised is None:
            self.vectorised = self._can_be_vectorised(tree)
        return self.at_once(tree) if self.vectorised else self.one_by_one(tree)

    def at_once(self, tree: SampleTree) -> tuple[dict[str, Tensor], SampleLosses]:
        """By ``torch.func``."""

        def of_one(parameters: dict[str, Tensor], one: SampleTree) -> tuple[Tensor, SampleLosses]:
            losses = functional_call(self.loss, parameters, (map_leaves(one, lambda x: x.unsqueeze(0)),))
            return losses.total, losses

        parameters = {name: p.detach() for name, p in self.parameters().items()}
        every = vmap(grad_and_value(of_one, has_aux=True), in_dims=(None, 0), randomness="different")
        with warnings.catch_warnings():  # fused attention on a CPU has no rule of its own, and is faster all the same
            warnings.filterwarnings(
                "ignore", "There is a performance drop because we have not yet implemented the batch"
            )
            gradients, (_, losses) = every(parameters, tree)
        return gradients, detached(losses)

    def one_by_one(self, tree: SampleTree) -> tuple[dict[str, Tensor], SampleLosses]:
        """By one backward pass a sample."""
        parameters, found, seen = self.parameters(), [], []
        with torch.enable_grad():
            for index in torch.arange(len(tree["rows"]), device=tree["rows"].device):
                losses = self.loss(rows_of(tree, index.unsqueeze(0)))
                seen.append(detached(losses))
                if not losses.total.requires_grad:
                    found.append([torch.zeros_like(p) for p in parameters.values()])
                    continue
                found.append(list(torch.autograd.grad(losses.total, list(parameters.values()), materialize_grads=True)))
        gradients = {
            name: torch.stack(column) for name, column in zip(parameters, zip(*found, strict=True), strict=True)
        }
        losses_of = {name: torch.stack([s.losses[name] for s in seen]) for name in seen[0].losses}
        counts_of = {name: torch.stack([s.counts[name] for s in seen]) for name in seen[0].counts}
        return gradients, SampleLosses(losses_of, counts_of, torch.stack([s.total for s in seen]))

    def _can_be_vectorised(self, tree: SampleTree) -> bool:
        """Whether the first samples have the same gradients in both ways without dropout, and can be drawn with it."""
        few = rows_of(tree, torch.arange(min(COMPARED, len(tree["rows"])), device=tree["rows"].device))
        training = {module: module.training for module in self.loss.modules()}
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            try:
                self.loss.eval()
                if not self._same(few):
                    return False
            finally:
                for module, mode in training.items():
                    module.training = mode
            return self._tried_at_once(few) is not None

    def _tried_at_once(self, tree: SampleTree) -> dict[str, Tensor] | None:
        """The gradients by ``torch.func``; None where it cannot, for the ``reason``."""
        try:
            return self.at_once(tree)[0]
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
            self.reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            return None

    def _same(self, tree: SampleTree) -> bool:
        expected, given = self.one_by_one(tree)[0], self._tried_at_once(tree)
        if given is None:
            return False
        largest = max(float(g.abs().max()) for g in expected.values()) or 1.0
        apart = max(float((given[name] - g).abs().max()) for name, g in expected.items())
        if not apart <= AGREE * largest:
            self.reason = f"torch.func is {apart / largest:.2g} away from one by one"
            return False
        return True


def detached(given: SampleLosses) -> SampleLosses:
    """The same numbers without their graph."""
    losses, counts = ({name: x.detach() for name, x in part.items()} for part in (given.losses, given.counts))
    return SampleLosses(losses, counts, given.total.detach())
