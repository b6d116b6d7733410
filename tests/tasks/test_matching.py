"""Who is exchanged with whom, what is no mismatch, and the numbers of scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import tensor

from mmbert.core.errors import ConfigError
from mmbert.core.types import UNLABELLED, Encoded, Fused, State
from mmbert.encoders.features import FeatureEncoder
from mmbert.fusion.concat import ConcatFusion
from mmbert.fusion.late_mean import LateMeanFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.matching import Matching
from mmbert.tasks.retrieval import Retrieval
from mmbert.testing import check_task, task_tests
from mmbert.testing.task_contract import LAWS

TestMatching = task_tests(Matching)
TestMatchingOfTexts = task_tests(Matching, swap="text", share=0.6)
#: Of a sample's own pairs alone, which is all that a head is given here, there is no AUROC.
HARD_LAWS = [law for law in LAWS if law != "absence gives finite numbers"]
DIMS = {"text": 4, "image": 3}


def exchanged(task, vectors, cells=None, draws=None, counted=None):
    inputs = FeatureEncoder(3).processor.collate(vectors)
    labels = [task.encode({"caption": cell}, {}) for cell in cells or [None] * len(vectors)]
    given = task.collate(
        [label if real else None for label, real in zip(labels, counted or [True] * 999, strict=False)]
    )
    made, found = task.change_inputs({"image": inputs}, draws or range(len(vectors)), given)
    return inputs["features"], made["image"]["features"], found["match"]


def test_a_mismatch_has_another_samples_input_and_a_match_its_own():
    task = Matching(4, DIMS)
    before, after, match = exchanged(task, [torch.full((2, 3), float(i)) for i in range(200)])
    own = (before == after).flatten(1).all(1)
    assert torch.equal(own.long(), match)
    assert abs(int(match.sum()) - 100) < 4 * 50**0.5  # share 0.5 of 200, standard deviation sqrt(50)
    assert len({float(x) for x in after[~own][:, 0, 0]}) > 50  # donors are many
    assert torch.equal(after, exchanged(task, [torch.full((2, 3), float(i)) for i in range(200)])[1])
    others = exchanged(task, [torch.full((2, 3), float(i)) for i in range(200)], draws=range(500, 700))[2]
    assert not torch.equal(match, others)


def test_absent_and_copied_samples_neither_give_nor_take():
    task = Matching(4, DIMS, share=0.99)
    vectors = [torch.full((1, 3), float(i)) if i != 2 else None for i in range(6)]
    _, after, match = exchanged(task, vectors, counted=[True] * 5 + [False], draws=range(10, 16))
    assert match[[2, 5]].tolist() == [UNLABELLED] * 2 and float(after[2].abs().sum()) == 0
    assert not (after[:5] == 5).any() and (match[[0, 1, 3, 4]] == 0).any()


def test_equal_captions_and_equal_pictures_are_no_mismatches():
    task = Matching(4, DIMS, share=0.99, duplicates="caption")
    assert task.columns == ("caption",)
    vectors = [torch.full((1, 3), float(i)) for i in range(4)]
    for draws in (range(20), range(100, 120)):
        chosen = list(draws)[:4]
        _, after, match = exchanged(task, vectors, ["a dog", "a dog", "a cat", None], chosen)
        for row in (0, 1):
            assert match[row] == 1 or float(after[row, 0, 0]) in (2, 3)
    same = [torch.ones(1, 3)] * 4
    assert exchanged(task, same)[2].tolist() == [1, 1, 1, 1]  # nobody has another picture
    assert exchanged(task, vectors, ["a dog"] * 4)[2].tolist() == [1, 1, 1, 1]


def test_only_pairs_count_and_auroc_is_scikit_learns():
    task = Matching(4, DIMS).eval()
    torch.manual_seed(1)
    pooled = torch.randn(6, 4)
    image = Encoded(torch.zeros(6, 1, 3), tensor([[True]] * 5 + [[False]]), torch.zeros(6, 3))
    text = Encoded(torch.zeros(6, 1, 4), tensor([[True]] * 4 + [[False], [True]]), torch.zeros(6, 4))
    state = State(Fused(pooled), {"text": text, "image": image})
    targets = {"counted": torch.ones(6, dtype=torch.bool), "match": tensor([1, 0, 1, 0, 1, UNLABELLED])}
    outputs = task(state, targets)
    assert outputs["paired"].tolist() == [True] * 4 + [False] * 2
    z, y = outputs["logits"][:4].detach(), tensor([1.0, 0, 1, 0])
    loss = task.loss(outputs, targets)
    torch.testing.assert_close(loss.total, -(y * z.sigmoid().log() + (1 - y) * (-z).sigmoid().log()).sum())
    assert int(loss.count) == 4
    metrics = task.make_metrics()
    task.update(metrics, outputs, targets)
    assert float(metrics.compute()["auroc"]) == pytest.approx(roc_auc_score(y, z))
    assert float(metrics.compute()["accuracy"]) == pytest.approx(((z > 0) == y.bool()).float().mean())
    answers = task.predict(state, outputs)
    assert [answer["prediction"] for answer in answers[4:]] == [None, None]
    assert answers[0]["probabilities"]["match"] == pytest.approx(float(z[0].sigmoid()))
    assert task.decode(targets) == ["match", "mismatch", "match", "mismatch", "match", None]


def test_the_score_is_the_probability_of_the_right_answer_and_0_without_a_pair():
    task = Matching(4, DIMS)
    outputs = {"logits": tensor([2.0, 2.0, -1.0, 3.0]), "paired": tensor([True, True, True, False])}
    targets = {"counted": tensor([True] * 4), "match": tensor([1, 0, UNLABELLED, 1])}
    found = task.target_score(outputs, targets)
    np.testing.assert_allclose(found, [1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2)), 0, 0], rtol=1e-6)
    assert task.answers_in == ("image",) and task.chance == roc_auc_score([0, 1], [0.3, 0.3])


def test_a_bilinear_pair_is_learnt_from_pairs_alone():
    torch.manual_seed(0)
    encoders = {name: FeatureEncoder(4, norm=False) for name in ("text", "image")}
    dims = dict.fromkeys(encoders, 4)
    model = MultimodalModel(encoders, ConcatFusion(dims, 64, dropout=0.0), {"m": Matching(64, dims, hidden_dim=64)})
    task, optimizer = model.tasks["m"], torch.optim.Adam(model.parameters(), 0.01)
    processor = encoders["image"].processor
    for step in range(150):
        x = torch.nn.functional.one_hot(torch.randint(4, (64,)), 4).float().unsqueeze(1)
        inputs = {name: processor.collate(list(x)) for name in encoders}
        given = task.collate([0] * 64)
        made, found = task.change_inputs({"image": inputs["image"]}, range(step * 64, step * 64 + 64), given)
        inputs, targets = {**inputs, **made}, {"m": {**given, **found}}
        loss = task.loss(model(inputs, targets=targets).outputs["m"], targets["m"]).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3  # chance is 0.69: whether the two words are the same needs both


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="swap=imag.* Did you mean 'image'"):
        Matching(4, DIMS, swap="imag")
    with pytest.raises(ConfigError, match="needs another modality beside 'image'"):
        Matching(4, {"image": 3})


@pytest.mark.parametrize("law", HARD_LAWS)
def test_with_hard_negatives_it_keeps_the_laws_of_tasks(law):
    assert check_task(Matching, negatives="hard", only=[law], raise_on_failure=False).broken == []


COLUMNS = {"text": "caption", "image": "file", "audio": "sound"}


def hard_model(names=("text", "image"), fusion=ConcatFusion, seed=0, **options):
    torch.manual_seed(seed)
    encoders = {name: FeatureEncoder(4, norm=False) for name in names}
    dims = dict.fromkeys(encoders, 4)
    columns = {name: COLUMNS[name] for name in names}
    hard = Matching(8, dims, negatives="hard", input_columns=columns, dropout=0.0, **options)
    tasks = {"m": hard, "pairs": Retrieval(8, dims, embed_dim=3, input_columns=columns)}
    return MultimodalModel(encoders, fusion(dims, 8), tasks).eval()


def hard_batch(model, size, lacking=(), cells=None, counted=None, seed=0):
    """Inputs and targets of samples; ``lacking``: (sample, modality)."""
    generator = torch.Generator().manual_seed(seed)
    inputs, names = {}, list(model.encoders)
    for name in names:
        vectors = [torch.randn(1, 4, generator=generator) for _ in range(size)]
        parts = [None if (i, name) in lacking else vector for i, vector in enumerate(vectors)]
        inputs[name] = model.encoders[name].processor.collate(parts)
    rows = cells or [{COLUMNS[name]: f"{name} {i}" for name in names} for i in range(size)]
    targets = {}
    for key, task in model.named_tasks().items():
        encoded = [task.encode(row, {}) if not counted or counted[i] else None for i, row in enumerate(rows)]
        targets[key] = task.collate(encoded)
    return inputs, targets


def test_the_hard_negative_is_the_nearest_by_numpy_and_is_fused_in_the_samples_place():
    model = hard_model()
    inputs, targets = hard_batch(model, 7, lacking={(2, "image"), (4, "text")}, counted=[True] * 6 + [False])
    with torch.no_grad():
        output = model(inputs, targets=targets)
    outputs, vectors = output.outputs["m"], output.outputs["pairs"]["vectors"].numpy().astype(np.float64)
    cosines = vectors[:, 0] @ vectors[:, 1].T  # (text, image)
    may_give = np.array([True, True, False, True, True, True, False])  # has a picture and counts
    expected = np.where(may_give[None] & ~np.eye(7, dtype=bool), cosines, -np.inf).argmax(1)
    takes = np.array([True, True, False, True, False, True, False])  # has both and counts
    assert outputs["exchanged"].tolist() == takes.tolist()
    for row in np.flatnonzero(takes):
        pair = {name: {k: x[row : row + 1] for k, x in part.items()} for name, part in inputs.items()}
        pair["image"] = {k: x[expected[row]][None] for k, x in inputs["image"].items()}
        with torch.no_grad():
            alone = model(pair).outputs["m"]["logits"]
        torch.testing.assert_close(outputs["exchanged_logits"][row], alone[0])
    task, z = model.tasks["m"], {k: outputs[k].double().numpy() for k in ("logits", "exchanged_logits")}
    own, other = np.log1p(np.exp(-z["logits"])), np.log1p(np.exp(z["exchanged_logits"]))
    loss = task.loss(outputs, targets["m"])
    np.testing.assert_allclose(float(loss.total), ((own + other) / 2)[takes].sum(), rtol=1e-5)
    assert int(loss.count) == 4
    metrics = task.make_metrics()
    task.update(metrics, outputs, targets["m"])
    scores, labels = np.concatenate([z["logits"][takes], z["exchanged_logits"][takes]]), [1] * 4 + [0] * 4
    assert float(metrics.compute()["auroc"]) == pytest.approx(roc_auc_score(labels, scores))
    assert task.decode(targets["m"]) == ["match"] * 6 + [None]
    torch.testing.assert_close(model(inputs).outputs["m"]["logits"], outputs["logits"])  # predictions know no negatives


def test_of_several_modalities_the_mean_of_those_that_are_there_is_compared():
    model = hard_model(("text", "image", "audio"))
    inputs, targets = hard_batch(model, 6, lacking={(1, "text"), (3, "audio")})
    with torch.no_grad():
        state = model.state(model.encode(inputs))
        vectors = model.tasks["pairs"](state)["vectors"].numpy().astype(np.float64)
        source, found = model.tasks["m"].hard_sources(state, targets["m"])
    near = np.stack([vectors[:, 0] @ vectors[:, 1].T, vectors[:, 2] @ vectors[:, 1].T])
    near[0, 1], near[1, 3] = np.nan, np.nan
    expected = np.where(np.eye(6, dtype=bool), -np.inf, np.nanmean(near, 0)).argmax(1)
    assert found.all() and source.tolist() == expected.tolist()


def test_a_caption_or_a_picture_that_is_the_same_is_never_a_negative():
    cells = [{"caption": c, "file": f, "topic": t} for c, f, t in zip("aabcd", "12234", "xyxzw", strict=True)]
    model = hard_model(duplicates="topic")
    model.tasks["m"].train()
    with torch.no_grad():
        model.tasks["pairs"].log_scale.zero_()  # all chances are alike, but for the cosine
    inputs, targets = hard_batch(model, 5, cells=cells)
    assert model.tasks["m"].columns == ("caption", "file", "topic")
    allowed = {0: {3, 4}, 1: {3, 4}, 2: {3, 4}, 3: {0, 1, 2, 4}, 4: {0, 1, 2, 3}}
    seen = {row: set() for row in allowed}
    state = model.state(model.encode(inputs))
    for seed in range(200):
        torch.manual_seed(seed)
        for row, source in enumerate(model.tasks["m"].hard_sources(state, targets["m"])[0].tolist()):
            seen[row].add(source)
    assert seen == allowed
    everyone = [{"caption": "a", "file": str(i)} for i in range(5)]
    model = hard_model()
    inputs, targets = hard_batch(model, 5, cells=everyone)
    assert not model(inputs, targets=targets).outputs["m"]["exchanged"].any()


def test_what_an_absent_picture_or_a_copy_holds_reaches_no_loss():
    model = hard_model()
    inputs, targets = hard_batch(model, 6, lacking={(2, "image")}, counted=[True] * 5 + [False])

    def loss_of(inputs):
        return model.tasks["m"].loss(model(inputs, targets=targets).outputs["m"], targets["m"]).total

    dirty = {**inputs["image"], "features": inputs["image"]["features"].clone()}
    dirty["features"][2], dirty["features"][5] = float("nan"), 1e6
    assert torch.equal(loss_of(inputs), loss_of({**inputs, "image": dirty}))


def test_other_tasks_read_what_the_table_holds_and_both_pairs_train_the_encoders():
    model, plain = hard_model().train(), hard_model().train()
    inputs, targets = hard_batch(model, 6)
    torch.manual_seed(1)
    together = model(inputs, targets=targets)
    torch.testing.assert_close(together.outputs["pairs"]["vectors"], plain(inputs).outputs["pairs"]["vectors"])
    outputs = together.outputs["m"]
    for name in ("logits", "exchanged_logits"):
        (gradient,) = torch.autograd.grad(outputs[name].sum(), model.fusion.parameters().__next__(), retain_graph=True)
        assert bool(gradient.any())


def test_hard_negatives_without_what_they_need_are_refused():
    encoders = {name: FeatureEncoder(4) for name in ("text", "image")}
    dims = dict.fromkeys(encoders, 4)

    def build(fusion=ConcatFusion, tasks=1, **options):
        more = {f"pairs{i}": Retrieval(8, dims) for i in range(tasks)}
        hard = {"m": Matching(8, dims, negatives="hard", **options)}
        return MultimodalModel(encoders, fusion(dims, 8), hard | more)

    with pytest.raises(ConfigError, match="needs a retrieval task.*task@tasks.pairs=retrieval"):
        build(tasks=0)
    with pytest.raises(ConfigError, match="name one of pairs0, pairs1 by similarity"):
        build(tasks=2)
    with pytest.raises(ConfigError, match="similarity=pairs9: no retrieval task"):
        build(similarity="pairs9")
    assert build(tasks=2, similarity="pairs1").tasks["m"].nearness["by"].init_args
    with pytest.raises(ConfigError, match="LateMeanFusion decides on each modality alone"):
        build(LateMeanFusion)
