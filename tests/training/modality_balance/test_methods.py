"""Methods that balance modalities: formulas by hand, gradients that change by the coefficient, schedules, resuming."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmbert.core.errors import ConfigError
from mmbert.core.types import UNLABELLED, Batch
from mmbert.data.augment.augmentation import Augmentation, sample_draw
from mmbert.data.loading.cached import FRESH
from mmbert.encoders.base import Encoder
from mmbert.fusion.concat import ConcatFusion
from mmbert.fusion.mean import MeanFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.base import Task
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.regression import Regression
from mmbert.testing import random_inputs
from mmbert.training.balance.fixed import FixedBalance
from mmbert.training.epoch_means import EpochMeans
from mmbert.training.loss_weights import LossWeights
from mmbert.training.modality_balance.dropout_schedule import ModalityDropoutSchedule, drop, without
from mmbert.training.modality_balance.gradient_blending import GradientBlending, blend, offline_weights
from mmbert.training.modality_balance.ogm_ge import OGMGE, coefficients, modulate
from mmbert.training.modality_balance.unimodal import decode_unimodal, without_dropout

COVERS = ("dropout_schedule", "gradient_blending", "ogm_ge", "unimodal")

DIMS = {"text": 4, "image": 3, "audio": 5}
PRESENT = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 0]]).bool()


class Linear(Encoder):
    """One linear layer on tokens."""

    kind = "features"

    def __init__(self, dim, frozen=False):
        super().__init__(frozen)
        self.out_dim = dim
        self.layer = nn.Linear(dim, dim)
        self.freeze()


def model_of(fusion=MeanFusion, frozen=(), dropout=0.0):
    torch.manual_seed(0)
    encoders = {name: Linear(dim, name in frozen) for name, dim in DIMS.items()}
    tasks = {
        "answer": Classification(8, "answer", ["a", "b", "c"], dropout=dropout),
        "value": Regression(8, "value", weight=0.5, dropout=dropout),
    }
    return MultimodalModel(encoders, fusion(DIMS, 8, dropout=dropout), tasks)


def batch_of(encoded):
    answer, value = torch.tensor([0, 2, UNLABELLED, 1]), torch.tensor([0.5, math.nan, -1.0, 2.0])
    targets = {"answer": {"label": answer}, "value": {"label": value}}
    return Batch({name: {"mask": x.mask} for name, x in encoded.items()}, targets, torch.arange(4))


@pytest.fixture
def scene():
    """A module as far as the methods look at it, a batch and what the model makes of it."""
    model = model_of()
    encoded = random_inputs(DIMS, 4, present=PRESENT)
    module = SimpleNamespace(
        model=model,
        tasks=model.named_tasks(),
        balance=FixedBalance(model.named_tasks()),
        means={"train": EpochMeans(), "val": EpochMeans()},
        device=torch.device("cpu"),
        weights=LossWeights(),
    )
    return SimpleNamespace(module=module, batch=batch_of(encoded), output=model.decode(encoded), encoded=encoded)


# ------------------------------------------------------------------------------------------------------------- alone


def test_alone_is_what_the_model_says_of_samples_that_have_nothing_else(scene):
    output, targets = decode_unimodal(scene.module.model, scene.batch, scene.encoded, "audio")
    only = {name: x.rows(torch.tensor([0, 1])) for name, x in scene.encoded.items()}
    only = {name: x if name == "audio" else x.absent() for name, x in only.items()}
    torch.testing.assert_close(output.outputs["answer"], scene.module.model.decode(only).outputs["answer"])
    assert targets["answer"]["label"].tolist() == [0, 2]
    fused = scene.module.model.fusion
    by_hand = fused.project["audio"](scene.encoded["audio"].pooled[:2], torch.tensor([True, True]))
    torch.testing.assert_close(output.fused.pooled, by_hand)  # a mean over one modality is that one
    gone = {**scene.encoded, "audio": scene.encoded["audio"].absent()}
    assert decode_unimodal(scene.module.model, scene.batch, gone, "audio") is None


def test_modes_come_back_and_nothing_is_drawn():
    model = model_of(dropout=0.5).train()
    model.tasks["value"].eval()
    state = torch.get_rng_state()
    with without_dropout(model):
        model.decode(random_inputs(DIMS, 4))
    assert model.fusion.training and model.tasks["answer"].training and not model.tasks["value"].training
    assert torch.equal(torch.get_rng_state(), state)


def test_target_probability_by_hand():
    logits = torch.tensor([[1.0, 0.0, -1.0], [0.0, 3.0, 0.0]])
    answer = Classification(2, "x", ["a", "b", "c"])
    e = math.e
    got = answer.target_probability({"logits": logits}, {"label": torch.tensor([0, UNLABELLED])})
    torch.testing.assert_close(got, torch.tensor([e / (e + 1 + 1 / e), 0.0]))
    both = Multilabel(2, "x", ["a", "b"])
    logits, label = torch.tensor([[0.0, 2.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0], [math.nan, 1.0]])
    got = both.target_probability({"logits": logits}, {"label": label})
    torch.testing.assert_close(got, torch.tensor([(0.5 + 1 - 1 / (1 + math.exp(-2))) / 2, 0.0]))
    for loss, expected in (("mse", math.exp(-2.0)), ("l1", math.exp(-2.0)), ("huber", math.exp(-1.5))):
        number = Regression(2, "x", mean=1.0, std=3.0, loss=loss)
        value, label = torch.tensor([7.0, 0.0]), torch.tensor([1.0, math.nan])  # r = 2
        got = number.target_probability({"value": value}, {"label": label})
        torch.testing.assert_close(got, torch.tensor([expected, 0.0]))


def test_ogm_ge_refuses_tasks_whose_labels_have_no_probability():
    class Silent(Classification):
        target_probability = Task.target_probability

    model = model_of()
    model.tasks["answer"] = Silent(8, "answer", ["a", "b"])
    with pytest.raises(ConfigError, match="Silent .the task 'answer'. has no target_probability"):
        OGMGE().setup(SimpleNamespace(strategy=None), SimpleNamespace(model=model), "fit")


# ------------------------------------------------------------------------------------------------------------ OGM-GE


def test_two_modalities_have_the_papers_coefficients():
    v, a = 0.6, 0.4
    assert coefficients([v, a], 0.8) == pytest.approx([1 - np.tanh(0.8 * 1.5), 1.0], abs=1e-12)
    assert coefficients([a, v], 0.8) == pytest.approx([1.0, 1 - np.tanh(0.8 * 1.5)], abs=1e-12)
    assert coefficients([a, a], 0.8) == [1.0, 1.0]


def test_each_of_several_is_held_against_the_mean_of_the_others():
    expected = [1 - np.tanh(0.3 * 0.6 / 0.25), 1 - np.tanh(0.3 * 0.4 / 0.35), 1.0]
    assert coefficients([0.6, 0.4, 0.1], 0.3) == pytest.approx(expected, abs=1e-12)
    assert coefficients([0.6, math.nan, 0.1], 0.3) == pytest.approx([1 - np.tanh(0.3 * 6), 1.0, 1.0], abs=1e-12)
    assert coefficients([0.6, math.nan], 0.3) == [1.0, 1.0] and coefficients([0.6, 0.0], 0.3) == [1.0, 1.0]


def test_noise_has_the_spread_of_the_gradient_before_it_is_modulated():
    parameter, single, still = (nn.Parameter(torch.zeros(n)) for n in (200_000, 1, 3))
    torch.manual_seed(0)
    gradient = 3 * torch.randn(200_000) + 1
    parameter.grad, single.grad, still.grad = gradient.clone(), torch.tensor([2.0]), torch.ones(3)
    modulate([parameter, single, still], 0.25, seed=5)
    noise = parameter.grad - 0.25 * gradient
    assert noise.std().item() == pytest.approx(gradient.std().item(), rel=0.01)
    assert noise.mean().item() == pytest.approx(0, abs=0.03)
    assert abs(np.corrcoef(noise, gradient)[0, 1]) < 0.01
    assert single.grad.item() == 0.5 and still.grad.tolist() == [0.25] * 3
    again = nn.Parameter(torch.zeros(200_000))
    again.grad = gradient.clone()
    modulate([again], 0.25, seed=5)
    assert torch.equal(again.grad, parameter.grad)


def step_of(method, scene, epoch=0, global_step=7):
    trainer = SimpleNamespace(current_epoch=epoch, global_step=global_step, strategy=None)
    method.setup(trainer, scene.module, "fit")
    assert method.trained_loss(scene.module, scene.batch, scene.output, torch.tensor(2.0)) == 2.0
    for number, parameter in enumerate(scene.module.model.parameters()):
        parameter.grad = torch.full_like(parameter, number + 1.0)
    before = {name: p.grad.clone() for name, p in scene.module.model.named_parameters()}
    method.on_before_optimizer_step(trainer, scene.module, None)
    return before, {name: p.grad for name, p in scene.module.model.named_parameters()}


def scores_by_hand(scene):
    """Mean probability of the right answer over labelled samples and tasks, each modality alone."""
    scores = {}
    for column, name in enumerate(DIMS):
        told = []
        for row in range(4):
            if not PRESENT[row, column]:
                continue
            one = {m: x.rows(torch.tensor([row])) for m, x in scene.encoded.items()}
            said = scene.module.model.decode({m: x if m == name else x.absent() for m, x in one.items()}).outputs
            logits, number = said["answer"]["logits"].detach().numpy()[0].astype(float), said["value"]["value"].item()
            target, value = (scene.batch.targets[task]["label"][row].item() for task in ("answer", "value"))
            if target >= 0:
                told.append(np.exp(logits[target]) / np.exp(logits).sum())
            if value == value:
                told.append(np.exp(-((number - value) ** 2) / 2))
        scores[name] = np.mean(told)
    return scores


def test_gradients_change_by_the_coefficient_and_only_those_of_the_encoders(scene):
    before, after = step_of(OGMGE(alpha=0.8, noise=False), scene)
    scores = scores_by_hand(scene)
    slowed = 0
    for name in DIMS:
        ratio = scores[name] / np.mean([s for other, s in scores.items() if other != name])
        factor = 1 - np.tanh(0.8 * ratio) if ratio > 1 else 1.0
        slowed += ratio > 1
        for part in ("weight", "bias"):
            path = f"encoders.{name}.layer.{part}"
            np.testing.assert_allclose(after[path], before[path] * factor, rtol=1e-5)
    assert 0 < slowed < 3
    assert all(torch.equal(after[path], before[path]) for path in before if not path.startswith("encoders."))
    logged = scene.module.means["train"].compute()
    for name, score in scores.items():
        assert logged[f"alone/{name}/score"].item() == pytest.approx(score, abs=1e-6)


def test_outside_its_epochs_nothing_changes(scene):
    for epoch in (0, 4):
        before, after = step_of(OGMGE(alpha=0.8, first_epoch=1, last_epoch=3), scene, epoch=epoch)
        assert all(torch.equal(after[path], before[path]) for path in before)
        assert scene.module.means["train"].compute()["modulation/text"] == 1


def test_of_frozen_encoders_the_fusions_own_weights_are_modulated_or_it_is_refused(scene):
    scene.module.model = model_of(frozen=("text", "image"))
    before, after = step_of(OGMGE(alpha=5.0, noise=False), scene)
    moved = {path for path in before if not torch.equal(before[path], after[path])}
    assert moved and moved <= {path for path in before if ".text." in path or ".image." in path or ".audio." in path}
    assert not any(path.startswith("fusion.project.audio") for path in moved)  # audio's encoder learns
    scene.module.model = model_of(ConcatFusion, frozen=("text",))
    with pytest.raises(ConfigError, match=r"nothing to modulate for 'text'.*ConcatFusion.*frozen=false"):
        OGMGE().setup(SimpleNamespace(strategy=None), scene.module, "fit")


# ------------------------------------------------------------------------------------------------- gradient blending


def test_blending_weights_by_hand():
    before = {"text": (1.0, 1.1), "image": (1.0, 1.2), "joint": (0.9, 1.0)}
    now = {"text": (0.5, 0.9), "image": (0.2, 1.3), "joint": (0.6, 0.8)}
    # text: G = 0.2, O = 0.4 - 0.1 = 0.3;  image got worse;  joint: G = 0.2, O = 0.2 - 0.1 = 0.1
    raw = {"text": 0.2 / 0.09, "image": 0.0, "joint": 0.2 / 0.01}
    expected = {name: value / sum(raw.values()) for name, value in raw.items()}
    assert blend(before, now) == pytest.approx(expected, abs=1e-9)
    assert blend(now, before | {"text": (0.1, 1.0), "joint": (1, 1)}) is not None  # image gained
    assert blend(before, before) is None


def test_the_blended_loss_is_the_weighted_sum(scene):
    weights = {"text": 0.2, "image": 0.4, "audio": 0.2, "joint": 1.2}
    method = GradientBlending(weights=weights)
    method.setup(SimpleNamespace(), scene.module, "fit")
    total = method.trained_loss(scene.module, scene.batch, scene.output, torch.tensor(3.0))
    expected = 0.6 * 3
    for name, weight in (("text", 0.1), ("image", 0.2), ("audio", 0.1)):
        output, targets = decode_unimodal(scene.module.model, scene.batch, scene.encoded, name)
        for key, task in scene.module.tasks.items():
            expected += weight * task.weight * task.loss(output.outputs[key], targets[key]).mean.item()
    assert total.item() == pytest.approx(expected, abs=1e-6)
    total.backward()
    assert scene.module.model.fusion.project["audio"].linear.weight.grad.abs().sum() > 0


def means_of(text, image, audio, joint):
    told = {f"alone/{m}/answer/loss": torch.tensor(v) for m, v in zip(DIMS, (text, image, audio), strict=True)}
    return told | {"answer/loss": torch.tensor(joint), "padding/text": torch.tensor(0.5)}


def test_online_weights_follow_super_epochs_and_survive_a_checkpoint(scene):
    train = [means_of(1.0, 1.0, 1.0, 1.0), means_of(0.8, 0.8, 0.9, 0.7), means_of(0.5, 0.5, 0.8, 0.4)]
    val = [means_of(1.1, 1.1, 1.1, 1.1), means_of(1.0, 1.1, 1.0, 1.0), means_of(0.9, 1.2, 1.05, 0.7)]
    whole, resumed = GradientBlending(every_epochs=2), GradientBlending(every_epochs=2)
    for method in (whole, resumed):
        method.setup(SimpleNamespace(), scene.module, "fit")
        assert method.weights == dict.fromkeys([*DIMS, "joint"], 0.25)
    for t, v in zip(train, val, strict=True):
        assert whole.weights["joint"] == 0.25
        whole.validation_ended(v)
        whole.epoch_ended(t)
    resumed.validation_ended(val[0])
    resumed.epoch_ended(train[0])
    resumed.validation_ended(val[1])
    second = GradientBlending(every_epochs=2)
    second.setup(SimpleNamespace(), scene.module, "fit")
    second.load_state_dict(resumed.state_dict())  # between the validation and the end of the epoch
    second.epoch_ended(train[1])
    second.epoch_ended(train[1])  # an epoch without a validation counts for nothing
    second.validation_ended(val[2])
    second.epoch_ended(train[2])
    assert second.weights == whole.weights
    # G: 0.2, -0.1, 0.05, 0.4;  O: (0.4 - 0.1), -, (0.25 - 0.1), (0.3 - 0.1)
    raw = [0.2 / 0.09, 0.0, 0.05 / 0.0225, 0.4 / 0.04]
    assert list(whole.weights.values()) == pytest.approx(np.array(raw) / sum(raw), abs=1e-5)


def test_offline_weights_come_from_finished_runs(tmp_path, scene):
    curves = {
        "text": [(1.0, 1.1), (0.5, 0.9)],
        "image": [(1.0, 1.2), (0.2, 1.3)],
        "joint": [(0.9, 1.0), (0.6, 0.8), (0, 0)],
    }
    for name, curve in curves.items():
        (tmp_path / name).mkdir()
        lines = ["epoch,step,train/answer/loss,val/answer/loss"]
        for epoch, (train, val) in enumerate(curve):
            lines += [f"{epoch},{epoch},,{val}", f"{epoch},{epoch},{train},"]
        (tmp_path / name / "history.csv").write_text("\n".join([*lines, f"{epoch},9,,0.123\n"]))
    got = offline_weights({name: tmp_path / name for name in curves}, {"answer": 2.0})
    raw = {"text": 0.4 / 0.36, "image": 0, "joint": 0.4 / 0.04}  # twice the losses: G doubles, O² is four times
    assert got == pytest.approx({name: value / sum(raw.values()) for name, value in raw.items()}, abs=1e-9)
    with pytest.raises(ConfigError, match="no finished run"):
        offline_weights({"text": tmp_path / "nowhere"}, {"answer": 1.0})
    with pytest.raises(ConfigError, match="has 'train/heard/loss' for 0 epochs"):
        offline_weights({"text": tmp_path / "text"}, {"heard": 1.0})
    with pytest.raises(ConfigError, match=r"weights must name text, image, audio, joint"):
        GradientBlending(weights={"text": 1.0}).setup(SimpleNamespace(), scene.module, "fit")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradientBlending(every_epochs=0), "every_epochs=0"),
        (lambda: GradientBlending(weights={"a": 1}, runs={"a": "b"}), "exclude each other"),
        (lambda: GradientBlending(weights={"a": -1}), "must not be negative"),
        (lambda: OGMGE(alpha=-1), "alpha=-1"),
        (lambda: ModalityDropoutSchedule(end=1.0), "end=1.0 must be"),
        (lambda: ModalityDropoutSchedule(shape="cosin"), "Did you mean 'cosine'"),
        (lambda: ModalityDropoutSchedule(epochs=0), "epochs=0"),
    ],
)
def test_wrong_options_are_told(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


# -------------------------------------------------------------------------------------------------- dropout schedule


def test_rates_by_hand():
    linear = ModalityDropoutSchedule(0.1, {"text": 0.5}, epochs=4)
    assert linear.rates(0, ["text", "image"]) == pytest.approx({"text": 0.1, "image": 0.1})
    assert linear.rates(1, ["text", "image"]) == pytest.approx({"text": 0.2, "image": 0.075})
    assert linear.rates(9, ["text", "image"]) == pytest.approx({"text": 0.5, "image": 0.0})
    cosine = ModalityDropoutSchedule(0.0, 0.4, epochs=4, shape="cosine")
    assert cosine.rates(1, ["a"])["a"] == pytest.approx(0.4 * (1 - math.cos(math.pi / 4)) / 2)
    assert cosine.rates(2, ["a"])["a"] == pytest.approx(0.2)


def test_what_is_dropped_is_what_augment_would_drop_and_never_all():
    rows = torch.arange(100)
    batch = Batch({name: {"mask": torch.ones(100, 2, dtype=torch.bool)} for name in DIMS}, {}, rows)
    batch.inputs["audio"]["mask"][:50] = False
    drop(batch, Augmentation(modality_dropout=0.6), seed=3, epoch=2)
    kept = torch.stack([batch.inputs[name]["mask"].any(1) for name in DIMS], 1)
    assert kept.any(1).all() and kept.float().mean() < 0.6
    augment = Augmentation(modality_dropout=0.6)
    for row in range(100):
        there = [name for name in DIMS if name != "audio" or row >= 50]
        expected = augment.kept(there, sample_draw(3, 2, row))
        assert [name for name, one in zip(DIMS, kept[row].tolist(), strict=True) if one] == expected


def test_samples_that_the_store_lacks_are_dropped_too():
    inputs = {
        "mask": torch.tensor([[True], [False], [True]]),
        FRESH: torch.tensor([1]),
        "fresh.mask": torch.tensor([[True, True]]),
    }
    gone = without(inputs, torch.tensor([True, False, False]))
    assert gone["mask"].tolist() == [[True], [False], [False]] and not gone["fresh.mask"].any()
    assert inputs["fresh.mask"].all()
