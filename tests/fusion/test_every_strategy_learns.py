"""Every strategy that has a YAML file learns XOR of two modalities, unless theory says that it cannot.

The samples are those of the setting ``synergy`` of mmbert.data.synthetic: each modality tells nothing of the label,
both together tell all of it. A score that is a sum of one term a modality, f(a) + g(b), cannot order such samples: a
positive sample less a negative one is f(1) - f(0), f(0) - f(1), g(1) - g(0) or g(0) - g(1), each as often, so that half
of the pairs are in order whatever f and g are. But for the noise, the area under its ROC curve is 1/2.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.functional import auroc

import fusion_harness
from fusion_harness import options_of
from mmbert.core.types import Encoded
from mmbert.data.synthetic import Recipe, codebooks, split_columns
from mmbert.data.synthetic_information import Information
from mmbert.encoders.features import FeatureEncoder
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification

#: With layer injection into a text encoder a strategy is tried with one: tests/fusion/test_mag.py.
ELSEWHERE = {"mag"}
STRATEGIES = sorted({*fusion_harness.STRATEGIES} - ELSEWHERE)
DIMS = {"a": 8, "b": 8}
ROWS = {"train": 1024, "test": 1000}
#: Steps of training; at most so many for a strategy that has not got there before.
STEPS, MOST_STEPS = 300, 3000
#: Sums of one term a modality. With a linear head behind them they stay at chance; a hidden layer is what they need.
LINEAR = {
    "mean": "the mean of linear maps is a sum of one term a modality",
    "weighted_sum": "so is a sum with learned weights that are the same for all samples",
    "concat": "a linear map of vectors side by side is a sum of linear maps",
    "embracenet": "each number comes from one modality, and chance says which, not what the modalities hold",
    "adapter": "the module of its YAML puts vectors side by side",
    "reconstruction": "its base strategy is concat, and with all modalities present nothing else is added",
}
#: Means with weights that are a softmax over the modalities of one score each, w_a = e^s(a) / (e^s(a) + e^s(b)). With
#: a linear head, w_a f(a) + w_b g(b) > c if and only if e^s(a) (f(a) - c) + e^s(b) (g(b) - c) > 0: the sign of a sum of
#: one term a modality, which gets three of the four states right and no more.
WEIGHTED = {"attention_pool": "all numbers of the vector share the weights"}
#: Decisions of one head a modality, joined by a rule that is a sum in some scale: no head can help.
SEPARATE = {
    "late_mean": "the mean of probabilities, each of one modality",
    "late_product": "the sum of log-probabilities, each of one modality",
    "late_weighted": "as late_mean, with weights that are the same for all samples",
    "qmf": "a sum of logits, each with a weight that its own modality alone decides",
    "tmc": "the class of the larger product of commonalities, which is a sum of their logarithms",
}
#: Run every time; the others with ``pytest -m slow``.
QUICK = ("concat", "mean", "product")


def listed(names):
    return [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in names]


@pytest.fixture(scope="module")
def samples():
    """By split: {modality: Encoded} of sequences of three tokens, and labels (N,)."""
    recipe = Recipe(Information.of("synergy"), sizes=ROWS, dim=8, length=3, noise=0.3)
    books = codebooks(recipe)

    def tensors(number, split):
        rows = split_columns(recipe, books, number, split)
        tokens = {name: torch.tensor(np.array(rows[name])) for name in DIMS}
        present = torch.ones(ROWS[split], recipe.length, dtype=torch.bool)
        encoded = {name: Encoded.from_tokens(sequence, present) for name, sequence in tokens.items()}
        return encoded, torch.tensor([int(label == "y1") for label in rows["label"]])

    return {split: tensors(number, split) for number, split in enumerate(ROWS)}


def model_of(name, hidden_dim):
    """The strategy with the options of its YAML, without dropout where it has such, and a head."""
    kind, options = options_of(name)
    torch.manual_seed(0)
    fusion = kind(DIMS, 32, **(options | ({"dropout": 0.0} if "dropout" in options else {})))
    encoders = {m: FeatureEncoder(width) for m, width in DIMS.items()}
    task = Classification(fusion.out_dim, "label", ["y0", "y1"], hidden_dim=hidden_dim, dropout=0.0)
    return MultimodalModel(encoders, fusion, {"label": task})


def train(model, encoded, labels, steps):
    """A plain loop: Adam, batches of 128, the task's loss and those of the strategy itself."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(steps):
        rows = torch.randint(len(labels), (128,), generator=generator)
        batch = {name: Encoded(x.tokens[rows], x.mask[rows], x.pooled[rows]) for name, x in encoded.items()}
        output = model.decode(batch)
        loss = model.named_tasks()["label"].loss(output.outputs["label"], {"label": labels[rows]}).mean
        loss = loss + sum(output.fused.auxiliary_losses.values())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def scores_of(model, encoded, labels):
    """Accuracy and area under the ROC curve."""
    with torch.no_grad():
        logits = model.eval().decode(encoded).outputs["label"]["logits"]
    accuracy = float((logits.argmax(1) == labels).double().mean())
    return accuracy, float(auroc(logits[:, 1] - logits[:, 0], labels, task="binary"))


def measure(name, hidden_dim, samples):
    """Accuracy and area under the ROC curve on the test samples after ``STEPS`` steps."""
    model = model_of(name, hidden_dim)
    train(model, *samples["train"], STEPS)
    return scores_of(model, *samples["test"])


def learn(name, hidden_dim, samples):
    """Accuracy on the test samples, of a training that ends as soon as those of the training are known."""
    model = model_of(name, hidden_dim)
    for _ in range(MOST_STEPS // STEPS):
        train(model, *samples["train"], STEPS)
        if scores_of(model, *samples["train"])[0] > 0.98:
            break
    return scores_of(model, *samples["test"])[0]


def assert_no_more_than_chance(accuracy, area):
    """Both within four deviations of chance: of a binomial share, and of the rank sum of Mann and Whitney."""
    rows = ROWS["test"]
    assert abs(accuracy - 0.5) < 4 * math.sqrt(0.25 / rows)
    half = rows / 2  # positives and negatives, about as many of each
    assert abs(area - 0.5) < 4 * math.sqrt((rows + 1) / (12 * half * half))


@pytest.mark.parametrize("name", listed(name for name in STRATEGIES if name not in {**LINEAR, **WEIGHTED, **SEPARATE}))
def test_it_learns_xor_with_a_linear_head(name, samples):
    assert learn(name, 0, samples) > 0.95


@pytest.mark.parametrize("name", listed(name for name in STRATEGIES if name in LINEAR))
def test_a_sum_over_modalities_stays_at_chance_with_a_linear_head(name, samples):
    assert_no_more_than_chance(*measure(name, 0, samples))


@pytest.mark.parametrize("name", listed(name for name in STRATEGIES if name in WEIGHTED))
def test_a_mean_with_weights_from_a_softmax_gets_three_quarters_with_a_linear_head(name, samples):
    accuracy = measure(name, 0, samples)[0]
    assert accuracy < 0.75 + 4 * math.sqrt(0.75 * 0.25 / ROWS["test"])


@pytest.mark.parametrize("name", listed(name for name in STRATEGIES if name in {**LINEAR, **WEIGHTED}))
def test_a_hidden_layer_behind_a_sum_over_modalities_learns_xor(name, samples):
    assert learn(name, 32, samples) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in STRATEGIES if name in SEPARATE])
def test_decisions_of_one_modality_each_do_not_add_up_to_xor_whatever_the_head(name, samples):
    accuracy, area = measure(name, 32, samples)
    assert accuracy < 0.75 + 4 * math.sqrt(0.75 * 0.25 / ROWS["test"])  # three of the four states
    if name != "tmc":  # its class is a sum's sign, but how sure it is of it is no sum
        assert abs(area - 0.5) < 0.08  # four deviations are 0.073


def test_the_samples_tell_the_label_to_whoever_reads_both(samples):
    encoded, labels = samples["test"]
    signs = {}
    for name, x in encoded.items():
        centred = x.pooled - x.pooled.mean(0)
        signs[name] = centred @ torch.linalg.svd(centred, full_matrices=False).Vh[0] > 0
    right = (signs["a"] ^ signs["b"] == labels.bool()).double().mean()
    assert max(right, 1 - right) == 1.0
    for sign in signs.values():
        assert abs((sign == labels.bool()).double().mean() - 0.5) < 4 * math.sqrt(0.25 / len(labels))
