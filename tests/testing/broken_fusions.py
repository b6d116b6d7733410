"""Fusions with a planted fault each, and the law that must catch it. All but the fault is sound."""

from __future__ import annotations

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

from mmbert.core.masks import blank, masked_mean, masked_softmax
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.decision_level import Decision

BROKEN: list[tuple[type[Fusion], str]] = []


def breaks(law):
    """Registers a class under the law that it breaks."""

    def register(kind):
        BROKEN.append((kind, law))
        return kind

    return register


class Sound(Fusion):
    """A sound fusion to start from: mean over present modalities of tanh projections."""

    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.project = nn.ModuleDict({m: nn.Linear(d, out_dim) for m, d in dims.items()})

    def values(self, inputs):
        """(B, M, H) and (B, M)."""
        stacked = torch.stack([self.project[m](x.pooled).tanh() for m, x in inputs.items()], 1)
        return stacked, torch.stack([x.present for x in inputs.values()], 1)

    def fuse(self, inputs):
        return masked_mean(*self.values(inputs))


class Unblanked(Sound):
    """The inputs themselves reach ``fuse``, as in a fusion that overrides ``forward``."""

    def _checked(self, inputs):
        super()._checked(inputs)
        return {m: inputs[m] for m in self.dims}


def blanked(inputs):
    """What the base class does to inputs."""
    return {m: Encoded(blank(x.tokens, x.mask), x.mask, blank(x.pooled, x.present)) for m, x in inputs.items()}


# padding ------------------------------------------------------------------------------------------------------------


@breaks("padding changes nothing")
class MeanOverTheWholeLength(Sound):
    def fuse(self, inputs):
        return super().fuse({m: Encoded(x.tokens, x.mask, x.tokens.mean(1)) for m, x in inputs.items()})


@breaks("padding changes nothing")
class SoftmaxOverPadding(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.score = nn.ModuleDict({m: nn.Linear(d, 1) for m, d in dims.items()})

    def fuse(self, inputs):
        attended = {}
        for m, x in inputs.items():
            weights = self.score[m](x.tokens).squeeze(-1).softmax(1)
            attended[m] = Encoded(x.tokens, x.mask, blank((weights.unsqueeze(-1) * x.tokens).sum(1), x.present))
        return super().fuse(attended)


@breaks("padding changes nothing")
class MaximumWithPadding(Sound):
    def fuse(self, inputs):
        return super().fuse({m: Encoded(x.tokens, x.mask, x.tokens.sub(9).amax(1)) for m, x in inputs.items()})


@breaks("padding changes nothing")
class UncheckedInputs(Sound):
    """Goes around the base class, which blanks padding."""

    def forward(self, inputs, diagnostics=False):
        ordered = {m: inputs[m] for m in self.dims}
        clean = {m: Encoded(x.tokens, x.mask, blank(x.pooled, x.present)) for m, x in ordered.items()}
        weighted = {m: Encoded(x.tokens, x.mask, (x.tokens * x.mask.unsqueeze(-1)).sum(1)) for m, x in clean.items()}
        return self._with_tokens(
            self.fuse(weighted), {m: Encoded(blank(x.tokens, x.mask), x.mask, x.pooled) for m, x in ordered.items()}
        )


@breaks("padding changes nothing")
class PaddingLeaksInTrainingAlone(Unblanked):
    def fuse(self, inputs):
        clean = blanked(inputs)
        fused = super().fuse(clean)
        if self.training:
            fused = fused + 0.1 * torch.stack([x.tokens.mean((1, 2)) for x in inputs.values()], 1).sum(1, keepdim=True)
        return self._with_tokens(fused, clean)


@breaks("padding changes nothing")
class AttentionMapShowsPadding(Unblanked):
    def fuse(self, inputs, diagnostics=False):
        clean = blanked(inputs)
        fused = self._with_tokens(super().fuse(clean), clean)
        seen = {f"attention/{m}": x.tokens.mean(2).softmax(1) for m, x in inputs.items()} if diagnostics else {}
        return Fused(fused.pooled, fused.tokens, fused.masks, diagnostics=seen)


@breaks("padding changes nothing")
class RealTokensAreSoughtInFront(Unblanked):
    """Right for sequences padded at their end; others have padding before or between their tokens."""

    def fuse(self, inputs):
        clean, means = blanked(inputs), {}
        for m, x in inputs.items():
            places = torch.arange(x.mask.shape[1], device=x.mask.device)
            means[m] = Encoded(x.tokens, x.mask, masked_mean(x.tokens, places < x.mask.sum(1, keepdim=True)))
        return self._with_tokens(super().fuse(means), clean)


# absence ------------------------------------------------------------------------------------------------------------


@breaks("absence changes nothing")
class AbsentVectorsAreRead(Sound):
    def forward(self, inputs, diagnostics=False):
        clean = {
            m: Encoded(blank(inputs[m].tokens, inputs[m].mask), inputs[m].mask, inputs[m].pooled) for m in self.dims
        }
        values = torch.stack([self.project[m](x.pooled).tanh() for m, x in clean.items()], 1)
        return self._with_tokens(values.mean(1), clean)


@breaks("absence changes nothing")
class AttentionWithoutAValidKeyIsNan(Sound):
    def fuse(self, inputs):
        values, present = self.values(inputs)
        others = present.unsqueeze(1) & ~torch.eye(present.shape[1], dtype=torch.bool)  # each looks at the others
        scores = (values @ values.mT).masked_fill(~others, float("-inf"))
        return masked_mean(scores.softmax(-1) @ values + values, present)


@breaks("absence changes nothing")
class PositionAfterAnAbsentSequence(Sound):
    """Positions counted over the joined sequence, absent modalities' places included."""

    def fuse(self, inputs):
        start, pooled = 0, super().fuse(inputs)
        for x in inputs.values():
            pooled = pooled + blank(torch.full_like(pooled, 0.1 * start), x.present)
            start += x.mask.shape[1]
        return pooled


@breaks("layers of absent modalities change nothing")
class MeanOverAbsentModalities(Sound):
    """Zeros come in, but W · 0 + b is b, and the mean is over all modalities."""

    def fuse(self, inputs):
        return self.values(inputs)[0].mean(1)


@breaks("layers of absent modalities change nothing")
class GateFromZerosOfAnAbsentModality(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.gate = nn.ModuleDict({m: nn.Linear(d, 1) for m, d in dims.items()})

    def fuse(self, inputs):
        values, present = self.values(inputs)
        gates = torch.cat([self.gate[m](x.pooled) for m, x in inputs.items()], 1).softmax(1)
        return (gates.unsqueeze(-1) * blank(values, present)).sum(1)


@breaks("layers of absent modalities change nothing")
class SigmoidsDividedByThoseOfTheAbsent(Sound):
    def fuse(self, inputs):
        values, present = self.values(inputs)
        gates = values.sigmoid()
        return (gates * blank(values, present)).sum(1) / gates.sum(1)


# samples ------------------------------------------------------------------------------------------------------------


@breaks("samples are independent")
class CentredOverTheBatch(Sound):
    def fuse(self, inputs):
        fused = super().fuse(inputs)
        return fused - fused.mean(0, keepdim=True)


@breaks("samples are independent")
class BatchStatisticsInEvaluation(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.norm = nn.BatchNorm1d(out_dim, track_running_stats=False)

    def fuse(self, inputs):
        fused = super().fuse(inputs)
        return self.norm(torch.cat([fused, fused + 1]))[: len(fused)]


@breaks("samples are independent")
class SoftmaxOverTheWrongDimension(Sound):
    def fuse(self, inputs):
        fused = super().fuse(inputs)
        return fused * fused.softmax(0)


@breaks("samples are independent")
class FirstSamplesModalitiesForAll(Sound):
    def fuse(self, inputs):
        values, present = self.values(inputs)
        return masked_mean(values, present) * (1 + present[:1].sum())


@breaks("samples are independent")
class WrongBroadcastInAProduct(Sound):
    """A factor of shape (B,) beside (B, H): it scales the columns of another sample, wherever B and H allow it."""

    def fuse(self, inputs):
        values, present = self.values(inputs)
        factor = torch.where(present, values.sum(-1), 1.0).prod(1)  # (B,), and no keepdim
        return (masked_mean(values, present).unsqueeze(1) * factor.unsqueeze(-1)).mean(1)


@breaks("samples are independent")
class RunningMeanUpdatedInEvaluation(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.register_buffer("level", torch.zeros(out_dim))

    def fuse(self, inputs):
        fused = super().fuse(inputs)
        with torch.no_grad():
            self.level = 0.9 * self.level + 0.1 * fused.mean(0)
        return fused - self.level


# presence -----------------------------------------------------------------------------------------------------------


@breaks("every present modality is used")
class LastModalityIgnored(Sound):
    def fuse(self, inputs):
        values, present = self.values(inputs)
        return masked_mean(values[:, :-1], present[:, :-1]) + 0 * values.sum(1)


@breaks("every present modality is used")
class FirstModalityDetached(Sound):
    def fuse(self, inputs):
        first = next(iter(inputs))
        x = inputs[first]
        return super().fuse({**inputs, first: Encoded(x.tokens.detach(), x.mask, x.pooled.detach())})


@breaks("every present modality is used")
class OneAloneUnlessAllArePresent(Sound):
    def fuse(self, inputs):
        values, present = self.values(inputs)
        first = present & (present.cumsum(1) == 1)
        return masked_mean(values, torch.where(present.all(1, keepdim=True), present, first))


@breaks("every present modality is used")
class ProductWithTheZerosOfTheAbsent(Sound):
    """One absent modality makes the whole product zero."""

    def fuse(self, inputs):
        values, present = self.values(inputs)
        return blank(values, present).prod(1)


@breaks("every present modality is used")
class HardChoiceOfTheLongest(Sound):
    """Only the modality with the most tokens is used."""

    def fuse(self, inputs):
        values, _ = self.values(inputs)
        longest = torch.stack([x.mask.sum(1) for x in inputs.values()], 1).argmax(1)
        return values[torch.arange(len(values), device=values.device), longest]


@breaks("everything learns")
class ForgottenModalityEmbedding(Sound):
    """Made, and never added."""

    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.embedding = nn.ParameterDict({m: nn.Parameter(torch.randn(out_dim)) for m in dims})


@breaks("everything learns")
class EmbeddingOfTheWrongRow(Sound):
    """Every modality is given the first one's embedding."""

    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.embedding = nn.ParameterList([nn.Parameter(torch.randn(out_dim)) for _ in dims])

    def fuse(self, inputs):
        values, present = self.values(inputs)
        return masked_mean(values + torch.stack([self.embedding[0] for _ in self.embedding]), present)


@breaks("everything learns")
class WeightMadeOfAParameterWhenBuilt(Sound):
    """The product is computed once: its graph is used up after a step, and the parameter stays behind."""

    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.log_scale = nn.Parameter(torch.zeros(out_dim))
        self.scale = self.log_scale.exp()

    def fuse(self, inputs):
        return super().fuse(inputs) * self.scale.detach()


@breaks("everything learns")
class FactorInAPlainList(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.factors = [nn.Parameter(torch.randn(out_dim))]

    def fuse(self, inputs):
        return super().fuse(inputs) * self.factors[0]


@breaks("everything learns")
class LayersInAPlainList(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.more = [nn.Linear(out_dim, out_dim)]

    def fuse(self, inputs):
        return self.more[0](super().fuse(inputs))


@breaks("everything learns")
class TensorThatIsNoBuffer(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.scale = torch.full((out_dim,), 2.0)

    def fuse(self, inputs):
        return super().fuse(inputs) * self.scale


@breaks("everything learns")
class UnusedLayer(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.forgotten = nn.Linear(out_dim, out_dim)


@breaks("everything learns")
class FactorInAnObject(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.kept = SimpleNamespace(factor=nn.Parameter(torch.ones(out_dim)))

    def fuse(self, inputs):
        return super().fuse(inputs) * self.kept.factor


@breaks("everything learns")
class FactorInAFunction(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        factor = nn.Parameter(torch.ones(out_dim))
        self.scale = lambda x: x * factor

    def fuse(self, inputs):
        return self.scale(super().fuse(inputs))


@breaks("everything learns")
class FactorOfTheClass(Sound):
    factors = [torch.full((1,), 2.0, requires_grad=True)]

    def fuse(self, inputs):
        return super().fuse(inputs) * self.factors[0]


@breaks("everything learns")
class ResultKeptWithItsGraph(Sound):
    def fuse(self, inputs):
        self.last = super().fuse(inputs)
        return self.last


# craft --------------------------------------------------------------------------------------------------------------


@breaks("deterministic in evaluation")
class DropoutInEvaluation(Sound):
    def fuse(self, inputs):
        return F.dropout(super().fuse(inputs), 0.5)


@breaks("deterministic in evaluation")
class NoiseInEvaluation(Sound):
    def fuse(self, inputs):
        fused = super().fuse(inputs)
        return fused + 0.1 * torch.randn_like(fused)


@breaks("inputs are left alone")
class VectorEditedInPlace(Unblanked):
    def fuse(self, inputs):
        for x in inputs.values():
            with torch.no_grad():
                x.pooled.mul_(0.5)
        return super().fuse(inputs)


@breaks("inputs are left alone")
class TokensFilledInPlace(Unblanked):
    def fuse(self, inputs):
        for x in inputs.values():
            with torch.no_grad():
                x.tokens[:, 0] = 1.0
        return super().fuse(inputs)


@breaks("a batch of one works")
class Squeezed(Sound):
    def fuse(self, inputs):
        return super().fuse(inputs).squeeze()


@breaks("a batch of one works")
class BatchNormInTraining(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.norm = nn.BatchNorm1d(out_dim)

    def fuse(self, inputs):
        return self.norm(super().fuse(inputs))


@breaks("number formats are kept")
class CastToFloat32(Sound):
    def fuse(self, inputs):
        return super().fuse(inputs).float()


@breaks("number formats are kept")
class ConstantInTheDefaultFormat(Sound):
    def fuse(self, inputs):
        fused = super().fuse(inputs)
        return torch.cat([fused[:, :-1], torch.ones(len(fused), 1) * fused[:, -1:].float()], 1)


@breaks("number formats are kept")
class FormatsMeetInPlace(Sound):
    """Under autocast the vectors are float32 and what a linear layer makes of them is bfloat16."""

    def fuse(self, inputs):
        fused = super().fuse(inputs)
        kept = fused.new_zeros(fused.shape, dtype=list(inputs.values())[-1 if len(inputs) < 3 else 1].pooled.dtype)
        kept[fused.isfinite().all(1)] = fused[fused.isfinite().all(1)]
        return kept


@breaks("devices are kept")
class PositionsMadeOnTheCpu(Sound):
    def fuse(self, inputs):
        fused = super().fuse(inputs)
        return fused + 0.01 * torch.arange(fused.shape[1], dtype=fused.dtype)


@breaks("devices are kept")
class ZerosMadeOnTheCpu(Sound):
    def fuse(self, inputs):
        fused = super().fuse(inputs)
        return torch.cat([fused[:, :-1], torch.zeros(fused.shape[0], 1, dtype=fused.dtype) + fused[:, -1:]], 1)


@breaks("the order of keys changes nothing")
class WeightsByPlaceInTheInputs(Sound):
    def forward(self, inputs, diagnostics=False):
        weighted = {m: Encoded(x.tokens, x.mask, x.pooled * (i + 1)) for i, (m, x) in enumerate(inputs.items())}
        return super().forward(weighted, diagnostics)


@breaks("the order of keys changes nothing")
class ChainInTheOrderGiven(Sound):
    def forward(self, inputs, diagnostics=False):
        clean = self._checked(inputs)
        chain = torch.zeros_like(self.fuse(clean))
        for m in inputs:
            step = chain + self.project[m](clean[m].pooled).tanh()
            chain = torch.where(clean[m].present.unsqueeze(1), 0.5 * step, chain)
        return self._with_tokens(chain, clean)


@breaks("state is complete")
class RunningMeanInANumber(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.level = 0.0

    def fuse(self, inputs):
        fused = super().fuse(inputs)
        if self.training:
            self.level = 0.9 * self.level + 0.1 * float(fused.detach().mean())
        return fused - self.level


@breaks("state is complete")
class RandomSketchThatIsNotSaved(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.register_buffer("signs", torch.randint(0, 2, (out_dim,)) * 2.0 - 1, persistent=False)

    def fuse(self, inputs):
        return super().fuse(inputs) * self.signs


@breaks("state is complete")
class RandomOrderDrawnWhenBuilt(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.order = torch.randperm(out_dim).tolist()

    def fuse(self, inputs):
        return super().fuse(inputs)[:, self.order]


@breaks("shapes")
class DiagnosticsUnasked(Sound):
    def fuse(self, inputs):
        fused = self._with_tokens(super().fuse(inputs), inputs)
        return Fused(fused.pooled, fused.tokens, fused.masks, diagnostics={"gate": fused.pooled})


@breaks("shapes")
class WrongWidth(Sound):
    def fuse(self, inputs):
        return self._with_tokens(super().fuse(inputs), inputs).__class__(super().fuse(inputs)[:, :-1])


@breaks("tokens can be dropped")
class ReadsTheProjectionOfTheBase(Sound):
    def fuse(self, inputs):
        fused = super().fuse(inputs)
        if self.token_projection:
            fused = fused + masked_mean(
                torch.stack([self.token_projection[m](x.pooled) for m, x in inputs.items()], 1), self.values(inputs)[1]
            )
        return fused


@breaks("tokens can be dropped")
class DependsOnWhetherTokensAreWanted(Sound):
    def fuse(self, inputs):
        return super().fuse(inputs) * (1 if self._emits_tokens else 2)


@breaks("tokens can be dropped")
class LayerForTokensAlone(Sound):
    """Left without a gradient when nobody reads tokens: several processes would wait for it."""

    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.enrich = nn.Linear(out_dim, out_dim)

    def fuse(self, inputs):
        fused = self._with_tokens(super().fuse(inputs), inputs)
        tokens = {m: blank(self.enrich(t), fused.masks[m]) for m, t in fused.tokens.items()}
        return Fused(fused.pooled, tokens, fused.masks)


@breaks("can be built")
class TakesTwoModalities(Sound):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        first, second = dims.values()
        self.bilinear = nn.Bilinear(first, second, out_dim)


@breaks("can be built")
class NamesTheWidthOtherwise(Sound):
    def __init__(self, dims, hidden_size=8):
        super().__init__(dims, hidden_size)


@breaks("compiles")
class CompiledToOtherNumbers(Sound):
    def fuse(self, inputs):
        return super().fuse(inputs) * (1 if torch.compiler.is_compiling() else 2)


@breaks("compiles")
class BranchesOnValues(Sound):
    def fuse(self, inputs):
        fused = super().fuse(inputs)
        return fused if bool((fused > 0).any()) else -fused


@breaks("exports")
class LoopsOverCounts(Sound):
    def fuse(self, inputs):
        fused = super().fuse(inputs)
        for _ in range(int(next(iter(inputs.values())).mask.sum())):
            fused = fused * 1.01
        return fused


@breaks("exports")
class TiedToTheBatchSize(Sound):
    def fuse(self, inputs):
        fused = super().fuse(inputs)
        return fused.reshape(len(fused), 2, -1).flatten(1)


# decisions -----------------------------------------------------------------------------------------------------------


class SoundVote(Sound):
    """Correct: a view a modality, and the mean of what heads say of them."""

    vote: type[Decision]

    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.views = tuple(dims)

    def fuse(self, inputs):
        values, present = self.values(inputs)
        views = {m: blank(values[:, i], present[:, i]) for i, m in enumerate(inputs)}
        masks = {m: present[:, i] for i, m in enumerate(inputs)}
        return Fused(masked_mean(values, present), views=views, view_masks=masks)

    def decision(self, spec):
        return self.vote(spec, self.views, view_weight=1.0)


class Vote(Decision):
    def forward(self, outputs, present):
        return masked_mean(outputs, present)


SoundVote.vote = Vote


@breaks("decisions are sound")
class PromisesOtherViews(SoundVote):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.views = tuple(f"{m}_again" for m in dims)


@breaks("decisions are sound")
class AbsentViewsVote(SoundVote):
    class vote(Vote):
        def forward(self, outputs, present):
            return outputs.mean(1)


@breaks("decisions are sound")
class UnlabelledSamplesAreTaught(SoundVote):
    class vote(Vote):
        def losses(self, output, truth):
            return {"size": output.joined.square().mean()}


@breaks("every present modality is used")
class LoudestViewAlone(SoundVote):
    class vote(Vote):
        def forward(self, outputs, present):
            first = present.float().argmax(1)
            return outputs[torch.arange(len(first)), first]


class SoundPair(Sound):
    """Correct: modules that are registered may stand in a list too."""

    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.in_order = [self.project[m] for m in dims]

    def fuse(self, inputs):
        values = torch.stack([p(x.pooled).tanh() for p, x in zip(self.in_order, inputs.values(), strict=True)], 1)
        return masked_mean(values, self.values(inputs)[1])


class SoundWithMore(Sound):
    """Correct: a vector, a loss and a diagnostic, and tokens left to the base class."""

    def fuse(self, inputs, diagnostics=False):
        values, present = self.values(inputs)
        shares = present / present.sum(1, keepdim=True)
        seen = {"share": shares} if diagnostics else {}
        loss = blank(values, present).square().mean()
        return Fused(masked_mean(values, present), auxiliary_losses={"small": loss}, diagnostics=seen)


class SoundGate(Sound):
    """Correct: a softmax over the present modalities."""

    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        # without a bias, which a softmax over a single modality would leave without a gradient
        self.mix = nn.Linear(out_dim, out_dim)

    def fuse(self, inputs):
        values, present = self.values(inputs)
        weights = masked_softmax(values.sum(-1), present)
        return self.mix((weights.unsqueeze(-1) * values).sum(1))


class SoundStandIn(Sound):
    """Correct: a learned vector stands in for an absent modality, and learns only where one is absent."""

    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        absent = {m: nn.Parameter(torch.randn(out_dim)) for m in dims} if len(dims) > 1 else {}
        self.stand_in = nn.ParameterDict(absent)

    def fuse(self, inputs):
        values, present = self.values(inputs)
        if self.stand_in:
            values = torch.where(present.unsqueeze(-1), values, torch.stack(list(self.stand_in.values())))
        return values.mean(1)


class SoundOuter(Sound):
    """Correct: tensor fusion's factor [v; 1] leaves the bias alone where v is absent, and says that it does."""

    zeros_mean_absent = True

    def fuse(self, inputs):
        return self.values(inputs)[0].add(1).prod(1)


class SoundTokens(Sound):
    """Correct: attention over the joined tokens, with an embedding of each modality; it gives its own tokens."""

    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.token_projection = nn.ModuleDict()
        self.embedding = nn.ParameterDict({m: nn.Parameter(torch.randn(out_dim)) for m in dims})
        self.key = nn.Linear(out_dim, 1, bias=False)

    def fuse(self, inputs):
        tokens = {m: blank(self.project[m](x.tokens).tanh() + self.embedding[m], x.mask) for m, x in inputs.items()}
        joined, mask = torch.cat(list(tokens.values()), 1), torch.cat([x.mask for x in inputs.values()], 1)
        weights = masked_softmax(self.key(joined).squeeze(-1), mask)
        pooled = (weights.unsqueeze(-1) * joined).sum(1)
        if not self._emits_tokens:
            return pooled
        return Fused(pooled, tokens, {m: x.mask for m, x in inputs.items()})


SOUND = [Sound, SoundPair, SoundVote, SoundWithMore, SoundGate, SoundStandIn, SoundOuter, SoundTokens]
