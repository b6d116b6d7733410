"""Encoders with a planted fault each, and the law that must catch it. All but the fault is sound."""

from __future__ import annotations

import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mmbert.core.errors import InputError
from mmbert.core.masks import blank
from mmbert.core.types import Encoded
from mmbert.data.modalities.features import as_sequence
from mmbert.encoders.base import Encoder
from mmbert.encoders.features import FeatureProcessor

BROKEN: list[tuple[type[Encoder], str]] = []


def breaks(law):
    """Registers a class under the law that it breaks."""

    def register(kind):
        BROKEN.append((kind, law))
        return kind

    return register


class SoundProcessor(FeatureProcessor):
    """Sequences, cut and scaled, that may be kept on disk."""

    packed = ("float32", "int8", 0)

    def __init__(self, width, max_tokens, scale=1.0):
        super().__init__(width, max_tokens)
        self.scale = scale

    def prepare(self, raw):
        return super().prepare(raw) * self.scale

    def settings(self):
        return {"width": self.width, "max_tokens": self.max_tokens, "scale": self.scale}

    def pack(self, raw):
        return self.prepare(raw).numpy(), np.zeros(0, np.int8)

    def unpack(self, long, fixed):
        return torch.from_numpy(long.reshape(-1, self.width).copy())


class Sound(Encoder):
    """A sound encoder to start from: a convolution over the sequence, a norm over each token, dropout."""

    kind = "features"

    def __init__(self, out_dim=6, width=5, max_tokens=512, scale=1.0, frozen=False, lr_scale=1.0):
        super().__init__(frozen, lr_scale)
        self.out_dim = out_dim
        self.processor = SoundProcessor(width, max_tokens, scale)
        self.convolution = nn.Conv1d(width, out_dim, 3, padding=1)
        self.norm = nn.LayerNorm(out_dim)
        self.dropout = nn.Dropout(0.1)
        self.freeze()

    def tokens(self, features, mask):
        """(B, L, width) -> (B, L, D)."""
        return self.dropout(self.norm(self.convolution(blank(features, mask).mT).mT))

    def encode(self, inputs):
        return Encoded.from_tokens(self.tokens(inputs["features"], inputs["mask"]), inputs["mask"])


# building, shapes ----------------------------------------------------------------------------------------------------


@breaks("can be built")
class NoProcessor(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        del self.processor


@breaks("can be built")
class UnknownKind(Sound):
    kind = "featuers"


@breaks("shapes")
class WidthIsNotOutDim(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.out_dim = 7


@breaks("shapes")
class MaskOfNumbers(Sound):
    def encode(self, inputs):
        encoded = super().encode(inputs)
        return Encoded(encoded.tokens, encoded.mask.long(), encoded.pooled)

    def forward(self, inputs, injection=None):
        return self.encode(inputs)


@breaks("shapes")
class FirstTokenIsNotMarked(Sound):
    def encode(self, inputs):
        encoded = super().encode(inputs)
        mask = encoded.mask.clone()
        mask[:, 0] = mask[:, 0] & (mask.sum(1) == 1)
        return Encoded.from_tokens(encoded.tokens, mask)


@breaks("shapes")
class EverySampleIsPresent(Sound):
    def forward(self, inputs, injection=None):
        return super().forward({**inputs, "mask": torch.ones_like(inputs["mask"])})


@breaks("no valid input is refused")
class RefusesLongSequences(Sound):
    def encode(self, inputs):
        if inputs["mask"].shape[1] > 100:
            raise InputError("too long")
        return super().encode(inputs)


@breaks("no valid input is refused")
class DividesByTheDeviation(Sound):
    def encode(self, inputs):
        features = inputs["features"]
        scale = features.flatten(1).square().sum(1).sqrt().view(-1, 1, 1)
        return super().encode({**inputs, "features": blank(features / scale, inputs["mask"])})


# absence, padding, other samples -------------------------------------------------------------------------------------


class Unblanked(Sound):
    """Every sample runs through ``encode``, and nothing is blanked afterwards."""

    def forward(self, inputs, injection=None):
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.encode(inputs)


@breaks("absence changes nothing")
class BiasOfTheAbsent(Unblanked):
    def encode(self, inputs):
        return Encoded(self.tokens(inputs["features"], inputs["mask"]), inputs["mask"], super().encode(inputs).pooled)


@breaks("absence changes nothing")
class CentredOverAllRows(Unblanked):
    def encode(self, inputs):
        encoded = super().encode(inputs)
        tokens = blank(encoded.tokens - encoded.pooled.mean(0), encoded.mask)
        return Encoded.from_tokens(tokens, encoded.mask)


@breaks("padding changes nothing")
class ConvolutionOverPadding(Sound):
    def tokens(self, features, mask):
        return self.dropout(self.norm(self.convolution(features.mT).mT))


@breaks("padding changes nothing")
class MeanOverTheWholeLength(Sound):
    def encode(self, inputs):
        encoded = super().encode(inputs)
        return Encoded(encoded.tokens, encoded.mask, encoded.tokens.mean(1))


@breaks("padding changes nothing")
class NormOverTheWholeLength(Sound):
    def encode(self, inputs):
        features = blank(inputs["features"], inputs["mask"])
        return super().encode({**inputs, "features": F.layer_norm(features, features.shape[1:])})


@breaks("samples are independent")
class CentredOverTheBatch(Sound):
    def encode(self, inputs):
        encoded = super().encode(inputs)
        return Encoded(encoded.tokens, encoded.mask, encoded.pooled - encoded.pooled.mean(0))


@breaks("samples are independent")
class CutToTheShortest(Sound):
    """What is cut is made up for by the first token, so that no mask changes."""

    def encode(self, inputs):
        shortest = int(inputs["mask"].sum(1).min())
        tokens = self.tokens(inputs["features"], inputs["mask"])
        cut = torch.where((torch.arange(tokens.shape[1]) < shortest).view(1, -1, 1), tokens, tokens[:, :1])
        return Encoded.from_tokens(cut, inputs["mask"])


# modes ---------------------------------------------------------------------------------------------------------------


@breaks("deterministic in evaluation")
class DropoutInEvaluation(Sound):
    def tokens(self, features, mask):
        return F.dropout(super().tokens(features, mask), 0.1)


@breaks("deterministic in evaluation")
class NoiseOnVectors(Sound):
    def encode(self, inputs):
        encoded = super().encode(inputs)
        return Encoded(encoded.tokens, encoded.mask, encoded.pooled + 0.01 * torch.randn(encoded.pooled.shape))


@breaks("frozen stays frozen")
class ForgetsToFreeze(Sound):
    def freeze(self):
        pass


@breaks("frozen stays frozen")
class TrainsThoughFrozen(Sound):
    def train(self, mode=True):
        return nn.Module.train(self, mode)


@breaks("frozen stays frozen")
class GraphThoughFrozen(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.shift = nn.Parameter(torch.ones(()))
        self.shift.requires_grad_(not frozen)

    def forward(self, inputs, injection=None):
        features = inputs["features"].requires_grad_() if self.frozen else inputs["features"]
        encoded = self._encode_present({**inputs, "features": features * self.shift})
        return Encoded(blank(encoded.tokens, encoded.mask), encoded.mask, blank(encoded.pooled, encoded.present))


@breaks("frozen stays frozen")
class CountsItsPasses(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.register_buffer("passes", torch.zeros(()))

    def encode(self, inputs):
        self.passes += 1
        return super().encode(inputs)


@breaks("everything learns")
class LayerWithoutUse(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.pooler = nn.Linear(6, 6)
        self.freeze()


@breaks("everything learns")
class DetachedConvolution(Sound):
    def tokens(self, features, mask):
        return self.dropout(self.norm(self.convolution(blank(features, mask).mT).mT.detach()))


@breaks("everything learns")
class WeightsInAList(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.scales = [torch.ones(6, requires_grad=True)]

    def tokens(self, features, mask):
        return super().tokens(features, mask) * self.scales[0]


@breaks("everything learns")
class NormStaysInEvaluation(Sound):
    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self


@breaks("inputs are left alone")
class ScalesItsInputs(Sound):
    def encode(self, inputs):
        inputs["features"] *= 0.5
        return super().encode(inputs)


class CentringProcessor(SoundProcessor):
    def prepare(self, raw):
        raw -= raw.mean()
        return super().prepare(raw)


@breaks("inputs are left alone")
class CentresTheRawSample(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.processor = CentringProcessor(5, 512)


# sizes, formats ------------------------------------------------------------------------------------------------------


@breaks("small batches work")
class SqueezesTheBatch(Sound):
    def encode(self, inputs):
        encoded = super().encode(inputs)
        return Encoded(encoded.tokens, encoded.mask, encoded.pooled.squeeze())


@breaks("small batches work")
class BatchStatisticsOfVectors(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.batch_norm = nn.BatchNorm1d(6)
        self.freeze()

    def encode(self, inputs):
        encoded = super().encode(inputs)
        return Encoded(encoded.tokens, encoded.mask, self.batch_norm(encoded.pooled))


@breaks("small batches work")
class NoGraphWhereAllAreAbsent(Sound):
    def forward(self, inputs, injection=None):
        encoded = super().forward(inputs)
        if not bool(inputs["mask"].any()):
            return Encoded(encoded.tokens.detach(), encoded.mask, encoded.pooled.detach())
        return encoded


@breaks("bfloat16 works")
class WritesIntoAnotherFormat(Sound):
    def encode(self, inputs):
        projected = self.convolution(blank(inputs["features"], inputs["mask"]).mT).mT
        tokens = torch.zeros(projected.shape)
        tokens[inputs["mask"]] = projected[inputs["mask"]]
        return Encoded.from_tokens(self.dropout(self.norm(tokens)), inputs["mask"])


@breaks("bfloat16 works")
class DifferenceOfLargeNumbers(Sound):
    def tokens(self, features, mask):
        projected = self.convolution(blank(features, mask).mT).mT
        return self.dropout(self.norm((projected + 200.0).to(projected.dtype) - 200.0))


# state, saving -------------------------------------------------------------------------------------------------------


class ShiftedProcessor(SoundProcessor):
    """Adds something of its own."""

    def __init__(self, width, max_tokens, shift):
        super().__init__(width, max_tokens)
        self.shift = shift

    def prepare(self, raw):
        return super().prepare(raw) + self.shift


@breaks("state is complete")
class DrawsATensorThatIsNotSaved(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.register_buffer("shift", torch.randn(6), persistent=False)

    def tokens(self, features, mask):
        return super().tokens(features, mask) + self.shift


@breaks("state is complete")
class RemembersWhatItHasSeen(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.known = {}

    def tokens(self, features, mask):
        if self.training:
            return super().tokens(features, mask)
        key = features.sum().item()
        if key not in self.known:
            self.known[key] = super().tokens(features, mask).detach()
        return self.known[key]


@breaks("saved and rebuilt is equal")
class DropsAnOption(Sound):
    @classmethod
    def rebuild_args(cls, args, folder):
        return {name: value for name, value in args.items() if name != "scale"}


@breaks("saved and rebuilt is equal")
class TakesAModule(Sound):
    def __init__(self, layer=None, frozen=False):
        super().__init__(frozen=frozen)
        self.init_args["layer"] = self.norm


@breaks("saved and rebuilt is equal")
class LearnsANumberWhenBuilt(Sound):
    """A statistic that came from elsewhere, and is neither an argument nor an asset."""

    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.processor = ShiftedProcessor(5, 512, float(torch.rand(())))


@breaks("saved and rebuilt is equal")
class RemembersItsFolder(Sound):
    def __init__(self, assets=None, frozen=False):
        super().__init__(frozen=frozen)

    @classmethod
    def rebuild_args(cls, args, folder):
        return {**args, "assets": str(folder)}


# the processor -------------------------------------------------------------------------------------------------------


class ProcessorWithAFunction(SoundProcessor):
    def __init__(self):
        super().__init__(5, 512)
        self.change = lambda sequence: sequence

    def prepare(self, raw):
        return self.change(super().prepare(raw))


@breaks("the processor travels to workers")
class ProcessorCannotBePickled(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.processor = ProcessorWithAFunction()


@breaks("the processor travels to workers")
class ProcessorHoldsTheNetwork(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.processor.network = self.convolution


class NoisyProcessor(SoundProcessor):
    def prepare(self, raw):
        sequence = super().prepare(raw)
        return sequence + 0.1 * random.random()


@breaks("the processor travels to workers")
class ProcessorDraws(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.processor = NoisyProcessor(5, 512)


class HalfPrecision(SoundProcessor):
    packed = ("float16", "int8", 0)

    def pack(self, raw):
        return self.prepare(raw).half().numpy(), np.zeros(0, np.int8)

    def unpack(self, long, fixed):
        return torch.from_numpy(long.reshape(-1, self.width).copy()).float()


@breaks("packed inputs are equal")
class PackingLosesDigits(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.processor = HalfPrecision(5, 512)


class WrongType(SoundProcessor):
    packed = ("float64", "int8", 0)


@breaks("packed inputs are equal")
class PackingNamesAnotherType(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.processor = WrongType(5, 512)


class PacksWithoutScale(SoundProcessor):
    def pack(self, raw):
        return np.ascontiguousarray(as_sequence(raw)[: self.max_tokens]), np.zeros(0, np.int8)


@breaks("packed inputs are equal")
class PackingLeavesOutAnOption(Sound):
    def __init__(self, frozen=False):
        super().__init__(frozen=frozen)
        self.processor = PacksWithoutScale(5, 512, 2.0)


@breaks("the fingerprint is complete")
class OptionNotInTheFingerprint(Sound):
    NOT_IN_FINGERPRINT = Encoder.NOT_IN_FINGERPRINT | {"gain"}

    def __init__(self, gain=1.0, frozen=False):
        super().__init__(frozen=frozen)
        self.gain = gain

    def tokens(self, features, mask):
        return super().tokens(features, mask) * self.gain


class ScaleNotInSettings(SoundProcessor):
    def settings(self):
        return {"width": self.width, "max_tokens": self.max_tokens}


@breaks("the fingerprint is complete")
class OptionNotInTheSettings(Sound):
    def __init__(self, scale=1.0, frozen=False):
        super().__init__(frozen=frozen)
        self.processor = ScaleNotInSettings(5, 512, scale)


#: Sound encoders that a check must let pass.
SOUND = [Sound]


# alignment -----------------------------------------------------------------------------------------------------------


class Timed(SoundProcessor):
    """Says when its vectors are."""

    def alignment(self, raw):
        edges = torch.arange(len(self.prepare(raw)) + 1).double()
        return {"times": torch.stack([edges[:-1], edges[1:]], 1)}


class OneTooMany(Timed):
    def alignment(self, raw):
        return {"times": super().alignment([*raw, raw[-1]])["times"][: len(raw) + 1]}


class Overlapping(Timed):
    def alignment(self, raw):
        return {"times": super().alignment(raw)["times"] * torch.tensor([1.0, 1.5])}


@breaks("the alignment is as long as the tokens")
class CountsOneTokenTooMany(Sound):
    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.processor = OneTooMany(5, 512)


@breaks("the alignment is as long as the tokens")
class TokensThatOverlapInTime(Sound):
    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.processor = Overlapping(5, 512)
