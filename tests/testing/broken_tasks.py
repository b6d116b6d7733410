"""Tasks with a planted fault each, and the law that must catch it. All but the fault is sound."""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torchmetrics import Metric, MetricCollection

from mmbert.core.errors import DataError
from mmbert.core.masks import blank, masked_mean
from mmbert.core.types import UNLABELLED, Loss
from mmbert.tasks.base import Task

BROKEN: list[tuple[type[Task], str]] = []


def breaks(law):
    """Registers a class under the law that it breaks."""

    def register(kind):
        BROKEN.append((kind, law))
        return kind

    return register


class Share(Metric):
    """Share of right answers."""

    def __init__(self):
        super().__init__()
        self.add_state("right", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("seen", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, predicted, label):
        self.right += (predicted == label).sum()
        self.seen += len(label)

    def compute(self):
        return self.right / self.seen


class Sound(Task):
    """A sound task to start from: classes, from the joint vector and the mean of the text's tokens."""

    kind = "classification"
    reads_tokens = True
    main_metric = "accuracy"

    def __init__(self, in_dim, column, classes, weight=1.0):
        super().__init__(in_dim, column, weight)
        self.classes = list(classes)
        self.head = nn.Linear(2 * in_dim, len(self.classes))

    @classmethod
    def fit_labels(cls, cells, column):
        return {"classes": sorted({cell for cell in cells if cell is not None})}

    def encode(self, cells, prepared, draw=None):
        cell = cells[self.columns[0]]
        if cell is None:
            return None
        if cell not in self.classes:
            raise DataError(f"the label {cell!r} is no class")
        return self.classes.index(cell)

    def collate(self, targets):
        return {"label": torch.tensor([UNLABELLED if target is None else target for target in targets])}

    def labelled(self, targets):
        return targets["label"] != UNLABELLED

    def decode(self, targets):
        return [None if i == UNLABELLED else self.classes[i] for i in targets["label"].tolist()]

    def read(self, state):
        """(B, 2 H)."""
        tokens = masked_mean(state.fused.tokens["text"], state.fused.masks["text"])
        return torch.cat([state.fused.pooled, tokens], 1)

    def forward(self, state, targets=None):
        return {"logits": self.head(self.read(state))}

    def loss(self, outputs, targets):
        logits = blank(outputs["logits"].float(), self.labelled(targets))
        total = F.cross_entropy(logits, targets["label"], ignore_index=UNLABELLED, reduction="sum")
        return Loss(total, self.count(targets))

    def make_metrics(self):
        return MetricCollection({"accuracy": Share()})

    def update(self, metrics, outputs, targets):
        labelled = self.labelled(targets)
        metrics.update(outputs["logits"][labelled].argmax(-1), targets["label"][labelled])

    def predict(self, state, outputs):
        return self.answers(outputs["logits"].argmax(-1).tolist(), outputs)

    def answers(self, best, outputs):
        """Predictions of the classes numbered ``best`` (B)."""
        shares = outputs["logits"].float().softmax(-1).tolist()
        return [
            {"prediction": self.classes[i], "probabilities": dict(zip(self.classes, row, strict=True))}
            for i, row in zip(best, shares, strict=True)
        ]


# building, shapes ----------------------------------------------------------------------------------------------------


@breaks("can be built")
class ColumnsIsAString(Sound):
    def __init__(self, in_dim, column, classes):
        super().__init__(in_dim, column, classes)
        self.columns = column


@breaks("can be built")
class KindWithoutCells(Sound):
    kind = "ranking"

    def __init__(self, in_dim, column="order", classes=("a", "b")):
        super().__init__(in_dim, column, classes)


@breaks("shapes")
class MeanInPlaceOfLoss(Sound):
    def loss(self, outputs, targets):
        return super().loss(outputs, targets).mean


@breaks("shapes")
class ClassesFirst(Sound):
    def forward(self, state, targets=None):
        return {"logits": self.head(self.read(state)), "scores": self.head(self.read(state)).T}


@breaks("shapes")
class MainMetricIsNoMetric(Sound):
    main_metric = "acuracy"


@breaks("shapes")
class CountOfAllSamples(Sound):
    def count(self, targets):
        return 2 * super().count(targets)

    def loss(self, outputs, targets):
        return Loss(super().loss(outputs, targets).total, self.labelled(targets).sum())


@breaks("shapes")
class PredictsTensors(Sound):
    def predict(self, state, outputs):
        return [{**one, "prediction": outputs["logits"].argmax()} for one in super().predict(state, outputs)]


@breaks("shapes")
class NoProbabilities(Sound):
    def predict(self, state, outputs):
        return [{"prediction": one["prediction"]} for one in super().predict(state, outputs)]


# labels --------------------------------------------------------------------------------------------------------------


@breaks("labels survive the round trip")
class DecodesInAnotherOrder(Sound):
    def decode(self, targets):
        return [None if i == UNLABELLED else sorted(self.classes)[::-1][i] for i in targets["label"].tolist()]


@breaks("labels survive the round trip")
class DecodesTheUnlabelled(Sound):
    def decode(self, targets):
        return [self.classes[max(i, 0)] for i in targets["label"].tolist()]


@breaks("labels survive the round trip")
class DecodesIndices(Sound):
    def decode(self, targets):
        return [None if i == UNLABELLED else i for i in targets["label"].tolist()]


@breaks("labels survive the round trip")
class DoesNotDecode(Sound):
    def decode(self, targets):
        return Task.decode(self, targets)


@breaks("wrong labels raise DataError")
class UnknownLabelIsAValueError(Sound):
    def encode(self, cells, prepared, draw=None):
        cell = cells[self.columns[0]]
        return None if cell is None else self.classes.index(cell)


@breaks("wrong labels raise DataError")
class UnknownLabelIsTheFirstClass(Sound):
    def encode(self, cells, prepared, draw=None):
        try:
            return super().encode(cells, prepared)
        except DataError:
            return 0


@breaks("predictions are the labels' words")
class PredictsInAnotherOrder(Sound):
    def predict(self, state, outputs):
        return self.answers((len(self.classes) - 1 - outputs["logits"].argmax(-1)).tolist(), outputs)


@breaks("predictions are the labels' words")
class PredictsTheLeastLikely(Sound):
    def predict(self, state, outputs):
        return super().predict(state, {"logits": -outputs["logits"]})


@breaks("predictions are the labels' words")
class StandardisedPredictions(Task):
    """A number whose loss is taken in standard deviations, and which is predicted in them too."""

    kind = "regression"

    def __init__(self, in_dim, column, std=1.0):
        super().__init__(in_dim, column)
        self.std = std
        self.head = nn.Linear(in_dim, 1)

    @classmethod
    def fit_labels(cls, cells, column):
        return {"std": float(torch.tensor(cells).std())}

    def encode(self, cells, prepared, draw=None):
        cell = cells[self.columns[0]]
        if cell is not None and not isinstance(cell, float):
            raise DataError(f"{cell!r} is no number")
        return cell

    def collate(self, targets):
        return {"label": torch.tensor([torch.nan if target is None else target for target in targets])}

    def labelled(self, targets):
        return ~targets["label"].isnan()

    def decode(self, targets):
        return [None if value != value else value for value in targets["label"].tolist()]

    def forward(self, state, targets=None):
        return {"value": self.head(state.fused.pooled).squeeze(-1)}

    def loss(self, outputs, targets):
        labelled = self.labelled(targets)
        wrong = blank(outputs["value"].float(), labelled) - blank(targets["label"], labelled) / self.std
        return Loss(blank(wrong.square(), labelled).sum(), labelled.sum())

    def predict(self, state, outputs):
        return [{"prediction": value} for value in outputs["value"].tolist()]


@breaks("the task travels to workers")
class EncodesWithAModule(Sound):
    def encode(self, cells, prepared, draw=None):
        return None if self.head.weight is None else super().encode(cells, prepared)


@breaks("the task travels to workers")
class KeepsAFunction(Sound):
    def __init__(self, in_dim, column, classes):
        super().__init__(in_dim, column, classes)
        self.spell = lambda cell: cell


@breaks("the task travels to workers")
class EncodesAtRandom(Sound):
    def encode(self, cells, prepared, draw=None):
        index = super().encode(cells, prepared)
        return index if index is None or random.random() < 0.5 else (index + 1) % len(self.classes)


# missing labels ------------------------------------------------------------------------------------------------------


@breaks("missing labels change nothing")
class UnlabelledOutputsReachTheGradient(Sound):
    def loss(self, outputs, targets):
        each = F.cross_entropy(outputs["logits"].float(), targets["label"].clamp(min=0), reduction="none")
        return Loss((each * self.labelled(targets)).sum(), self.count(targets))


@breaks("missing labels change nothing")
class UnlabelledAreTheFirstClass(Sound):
    def loss(self, outputs, targets):
        total = F.cross_entropy(outputs["logits"].float().nan_to_num(), targets["label"].clamp(min=0), reduction="sum")
        return Loss(total, torch.tensor(len(targets["label"])))

    def count(self, targets):
        return torch.tensor(len(targets["label"]))


@breaks("missing labels change nothing")
class UnlabelledAreMeasured(Sound):
    def update(self, metrics, outputs, targets):
        metrics.update(outputs["logits"].argmax(-1), targets["label"])


@breaks("no labels give 0")
class MeanTimesCount(Sound):
    def loss(self, outputs, targets):
        logits = blank(outputs["logits"].float(), self.labelled(targets))
        mean = F.cross_entropy(logits, targets["label"], ignore_index=UNLABELLED)
        return Loss(mean * self.count(targets), self.count(targets))


@breaks("no labels give 0")
class NoGraphWithoutLabels(Sound):
    def loss(self, outputs, targets):
        if not bool(self.labelled(targets).any()):
            return Loss(torch.zeros(()), torch.zeros(()))
        return super().loss(outputs, targets)


# padding, absence, other samples -------------------------------------------------------------------------------------


@breaks("padding changes nothing")
class MeanOverTheWholeLength(Sound):
    def read(self, state):
        return torch.cat([state.fused.pooled, state.fused.tokens["text"].mean(1)], 1)


@breaks("padding changes nothing")
class LastToken(Sound):
    def read(self, state):
        return torch.cat([state.fused.pooled, state.fused.tokens["text"][:, -1]], 1)


@breaks("absence gives finite numbers")
class DividesByTheLength(Sound):
    def read(self, state):
        tokens, mask = state.fused.tokens["text"], state.fused.masks["text"]
        return torch.cat([state.fused.pooled, blank(tokens, mask).sum(1) / mask.sum(1, keepdim=True)], 1)


@breaks("absence gives finite numbers")
class SoftmaxOverNothing(Sound):
    def __init__(self, in_dim, column, classes):
        super().__init__(in_dim, column, classes)
        self.score = nn.Linear(in_dim, 1)

    def read(self, state):
        tokens, mask = state.fused.tokens["text"], state.fused.masks["text"]
        weights = self.score(tokens).squeeze(-1).masked_fill(~mask, float("-inf")).softmax(1)
        return torch.cat([state.fused.pooled, (weights.unsqueeze(-1) * blank(tokens, mask)).sum(1)], 1)


@breaks("samples are independent")
class CentredOverTheBatch(Sound):
    def forward(self, state, targets=None):
        logits = super().forward(state)["logits"]
        return {"logits": logits - logits.mean(0)}


@breaks("samples are independent")
class PredictsTheCommonest(Sound):
    def predict(self, state, outputs):
        commonest = int(outputs["logits"].mean(0).argmax())
        return self.answers([commonest] * len(outputs["logits"]), outputs)


@breaks("the loss adds up over batches")
class TotalIsAMean(Sound):
    def loss(self, outputs, targets):
        loss = super().loss(outputs, targets)
        return Loss(loss.mean, loss.count)


@breaks("the loss adds up over batches")
class WeighedByTheBatch(Sound):
    """Classes are balanced within the batch."""

    def loss(self, outputs, targets):
        labelled = self.labelled(targets)
        counts = torch.bincount(targets["label"][labelled], minlength=len(self.classes)).clamp(min=1)
        logits = blank(outputs["logits"].float(), labelled)
        weight = 1 / counts.float()
        total = F.cross_entropy(logits, targets["label"], weight, ignore_index=UNLABELLED, reduction="sum")
        return Loss(total, self.count(targets))


class MeanOfMeans(Metric):
    """Each batch counts alike, whatever its size."""

    def __init__(self):
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("batches", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, predicted, label):
        if len(label):
            self.total += (predicted == label).float().mean()
            self.batches += 1

    def compute(self):
        return self.total / self.batches


@breaks("metrics do not depend on batches")
class BatchesCountAlike(Sound):
    def make_metrics(self):
        return MetricCollection({"accuracy": MeanOfMeans()})


class LastBatch(Share):
    def update(self, predicted, label):
        if len(label):
            self.right, self.seen = (predicted == label).sum().float(), torch.tensor(float(len(label)))


@breaks("metrics do not depend on batches")
class OnlyTheLastBatch(Sound):
    def make_metrics(self):
        return MetricCollection({"accuracy": LastBatch()})


class NotGathered(Metric):
    """Counts in plain attributes."""

    def __init__(self):
        super().__init__()
        self.right, self.seen = 0, 0

    def update(self, predicted, label):
        self.right += int((predicted == label).sum())
        self.seen += len(label)

    def compute(self):
        return torch.tensor(self.right / self.seen)


@breaks("metrics add up over processes")
class CountsInAttributes(Sound):
    def make_metrics(self):
        return MetricCollection({"accuracy": NotGathered()})


class ListOfAnswers(Metric):
    """Keeps answers in a list of which torchmetrics does not know how it is joined."""

    def __init__(self):
        super().__init__()
        self.add_state("right", [], dist_reduce_fx=None)

    def update(self, predicted, label):
        if len(label):
            self.right.append((predicted == label).float())

    def compute(self):
        return torch.cat([part.reshape(-1) for part in self.right]).mean()


@breaks("metrics add up over processes")
class ProcessWithoutLabelsSendsNothing(Sound):
    def make_metrics(self):
        return MetricCollection({"accuracy": ListOfAnswers()})


# modes, formats, saving ----------------------------------------------------------------------------------------------


@breaks("everything learns")
class LayerWithoutUse(Sound):
    def __init__(self, in_dim, column, classes):
        super().__init__(in_dim, column, classes)
        self.hidden = nn.Linear(in_dim, in_dim)


@breaks("everything learns")
class WeightsInAList(Sound):
    def __init__(self, in_dim, column, classes):
        super().__init__(in_dim, column, classes)
        self.scales = [torch.ones(len(classes), requires_grad=True)]

    def forward(self, state, targets=None):
        return {"logits": self.head(self.read(state)) * self.scales[0]}


@breaks("deterministic in evaluation")
class DropoutInEvaluation(Sound):
    def read(self, state):
        return F.dropout(super().read(state), 0.2)


@breaks("labels change no output")
class LeaksItsLabel(Sound):
    def forward(self, state, targets=None):
        outputs = super().forward(state, targets)
        if targets is None:
            return outputs
        label = targets["label"].clamp(min=0)
        known = (targets["label"] != UNLABELLED).unsqueeze(1)
        return outputs | {"logits": outputs["logits"] + F.one_hot(label, outputs["logits"].shape[1]) * known}


@breaks("labels change no output")
class AnswersOtherwiseWhenItIsGivenLabels(Sound):
    def forward(self, state, targets=None):
        outputs = super().forward(state, targets)
        return outputs if targets is None else outputs | {"logits": 2 * outputs["logits"]}


@breaks("deterministic in evaluation")
class SamplesItsPrediction(Sound):
    def predict(self, state, outputs):
        drawn = torch.multinomial(outputs["logits"].float().softmax(-1), 1).squeeze(1)
        return self.answers(drawn.tolist(), outputs)


@breaks("inputs are left alone")
class EditsItsTargets(Sound):
    def loss(self, outputs, targets):
        loss = super().loss(outputs, targets)
        targets["label"].clamp_(max=0)
        return loss


@breaks("inputs are left alone")
class EditsTheJointVector(Sound):
    def read(self, state):
        read = super().read(state)
        state.fused.pooled.mul_(0.5)
        return read


@breaks("small batches work")
class SqueezesTheBatch(Sound):
    def predict(self, state, outputs):
        return self.answers(outputs["logits"].argmax(-1).squeeze().tolist(), outputs)


@breaks("small batches work")
class BatchStatistics(Sound):
    def __init__(self, in_dim, column, classes):
        super().__init__(in_dim, column, classes)
        self.norm = nn.BatchNorm1d(2 * in_dim)

    def read(self, state):
        return self.norm(super().read(state))


@breaks("bfloat16 works")
class SumInBfloat16(Sound):
    def loss(self, outputs, targets):
        logits = blank(outputs["logits"], self.labelled(targets))
        each = -logits.log_softmax(-1).to(logits.dtype).gather(1, targets["label"].clamp(min=0).unsqueeze(1)).squeeze(1)
        return Loss(blank(each, self.labelled(targets)).sum(), self.count(targets))


@breaks("bfloat16 works")
class WritesIntoAnotherFormat(Sound):
    def forward(self, state, targets=None):
        logits = self.head(self.read(state))
        full = torch.zeros(logits.shape)
        full[state.fused.masks["text"].any(1)] = logits[state.fused.masks["text"].any(1)]
        return {"logits": full}


@breaks("saved and rebuilt is equal")
class LosesItsFile(Sound):
    def __init__(self, in_dim, column, classes, order=None):
        super().__init__(in_dim, column, classes)
        self.classes = [self.classes[i] for i in order or range(len(self.classes))]

    def save_assets(self, folder):
        (folder / "order.txt").write_text("\n".join(self.classes))

    @classmethod
    def rebuild_args(cls, args, folder):
        return {**args, "order": [2, 1, 0]} if (folder / "order.txt").exists() else args


@breaks("saved and rebuilt is equal")
class DrawsAnOrder(Sound):
    def __init__(self, in_dim, column, classes):
        super().__init__(in_dim, column, classes)
        self.classes = [self.classes[i] for i in torch.randperm(len(self.classes)).tolist()]


@breaks("saved and rebuilt is equal")
class TakesATensor(Sound):
    def __init__(self, in_dim, column, classes, prior=None):
        super().__init__(in_dim, column, classes)
        self.init_args["prior"] = torch.ones(3)


@breaks("saved and rebuilt is equal")
class TunesWhatIsNotSaved(Sound):
    tunes = True
    threshold = 0.0

    def tuning_data(self, state, outputs, targets):
        return [1.0] * len(targets["label"])

    def tune(self, samples):
        self.threshold = sum(samples)
        return {"threshold": self.threshold}

    def predict(self, state, outputs):
        return [{**answer, "threshold": self.threshold} for answer in super().predict(state, outputs)]


@breaks("saved and rebuilt is equal")
class TunesOnSomeSamples(TunesWhatIsNotSaved):
    def tuning_data(self, state, outputs, targets):
        return [1.0] * (len(targets["label"]) - 1)


@breaks("saved and rebuilt is equal")
class TunesATensor(TunesWhatIsNotSaved):
    def tune(self, samples):
        return {"threshold": torch.zeros(2)}


# sound ---------------------------------------------------------------------------------------------------------------


class Tagging(Task):
    """A tag for each word, at the first of its tokens."""

    reads_tokens = True
    aligned_to = ("text",)

    def __init__(self, in_dim, column, tags=("no", "yes")):
        super().__init__(in_dim, column)
        self.tags = list(tags)
        self.head = nn.Linear(in_dim, len(tags))

    def encode(self, cells, prepared, draw=None):
        tags, text = cells[self.columns[0]], prepared["text"]
        if tags is None or text is None:
            return None
        words = text["word_ids"].tolist()
        if len(tags) != max(words) + 1 or any(tag not in self.tags for tag in tags):
            raise DataError(f"{tags!r} are no tags of {max(words) + 1} words")
        firsts = [word >= 0 and word != before for word, before in zip(words, [-1, *words], strict=False)]
        return [self.tags.index(tags[w]) if first else UNLABELLED for w, first in zip(words, firsts, strict=True)]

    def collate(self, targets):
        rows = [torch.tensor([UNLABELLED] if target is None else target) for target in targets]
        return {"tags": pad_sequence(rows, True, UNLABELLED)}

    def labelled(self, targets):
        return (targets["tags"] != UNLABELLED).any(1)

    def count(self, targets):
        return (targets["tags"] != UNLABELLED).sum()

    def decode(self, targets):
        rows = [[self.tags[i] for i in row if i != UNLABELLED] for row in targets["tags"].tolist()]
        return [row or None for row in rows]

    def forward(self, state, targets=None):
        return {"logits": self.head(state.fused.tokens["text"]), "mask": state.fused.masks["text"]}

    def loss(self, outputs, targets):
        length = min(outputs["logits"].shape[1], targets["tags"].shape[1])
        tags = targets["tags"][:, :length]
        logits = blank(outputs["logits"][:, :length].float(), tags != UNLABELLED)
        total = F.cross_entropy(logits.flatten(0, 1), tags.flatten(), ignore_index=UNLABELLED, reduction="sum")
        return Loss(total, self.count(targets))

    def predict(self, state, outputs):
        best = outputs["logits"].argmax(-1)
        return [
            {"prediction": [self.tags[i] for i in row[mask].tolist()]}
            for row, mask in zip(best, outputs["mask"], strict=True)
        ]


class Retrieval(Task):
    """Pairs of two modalities of one sample against those of others; it needs no label."""

    def __init__(self, in_dim, dims, between=("text", "image"), width=8):
        super().__init__(in_dim)
        self.between = tuple(between)
        self.project = nn.ModuleDict({m: nn.Linear(dims[m], width) for m in between})

    def forward(self, state, targets=None):
        vectors = {m: F.normalize(self.project[m](state.encoded[m].pooled), dim=-1) for m in self.between}
        return {**vectors, "paired": torch.stack([state.encoded[m].present for m in self.between]).all(0)}

    def loss(self, outputs, targets):
        kept = outputs["paired"] & self.labelled(targets)
        first, second = (outputs[m].float()[kept] for m in self.between)
        scores, right = first @ second.T / 0.07, torch.arange(len(first))
        if not len(first):
            return Loss(0 * sum(p.sum() for p in self.parameters()), kept.sum())
        return Loss(F.cross_entropy(scores, right, reduction="sum"), kept.sum())

    def predict(self, state, outputs):
        return [{"prediction": row.tolist()} for row in outputs[self.between[0]].float()]
