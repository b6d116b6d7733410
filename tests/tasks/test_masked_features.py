"""Which vectors are hidden, what the head is measured on, and numbers by NumPy and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score
from torch import tensor

from mmbert.core.errors import ConfigError
from mmbert.core.types import Fused, State
from mmbert.encoders.audio import SpeechEncoder
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.cross_attention import CrossAttentionFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.masked_features import ExplainedShare, MaskedFeatures, parts_of_input
from mmbert.tasks.masking.hidden_pictures import PictureParts
from mmbert.tasks.masking.hidden_sounds import FrameParts, WaveformParts
from mmbert.testing import task_tests

TestMaskedFeatures = task_tests(MaskedFeatures, share=0.5)
TestSpans = task_tests(MaskedFeatures, modality="audio", share=0.6, span=2, hidden_dim=8)


ENCODERS = {
    "text": TextEncoder("tiny"),
    "image": ImageEncoder("tiny", pretrained=False),
    "audio": MelspecCNN(8, [2, 3], [2, 2], num_mels=4),
}
SMALL_SPEECH = {
    "encoder_embed_dim": 16,
    "encoder_num_layers": 1,
    "encoder_num_heads": 2,
    "encoder_ff_interm_features": 16,
    "extractor_conv_layer_config": [(8, 10, 5), (8, 3, 2), (8, 3, 2), (8, 3, 2), (8, 3, 2), (8, 2, 2), (8, 2, 2)],
}
TestPictures = task_tests(MaskedFeatures, encoders=ENCODERS)
TestSounds = task_tests(MaskedFeatures, modality="audio", share=0.4, encoders=ENCODERS)


def model_of(**options):
    torch.manual_seed(0)
    encoders = {"frames": FeatureEncoder(5), "text": FeatureEncoder(3)}
    dims = {"frames": 5, "text": 3}
    tasks = {"m": MaskedFeatures(8, dims, modality="frames", **options)}
    return MultimodalModel(encoders, CrossAttentionFusion(dims, 8, num_heads=2, dropout=0.0), tasks).eval()


def test_hidden_vectors_are_zeros_and_their_targets_are_normalised():
    model = model_of(share=0.5)
    task, processor = model.tasks["m"].without_weights(), model.encoders["frames"].processor
    inputs = processor.collate([torch.randn(6, 5) * 7 + 3, None, torch.randn(4, 5), torch.randn(3, 5)])
    targets = task.collate([True, True, True, None])
    made, found = task.change_inputs({"frames": inputs}, range(4), targets)
    hidden, features = found["hidden"], made["frames"]["features"]
    assert hidden[0].sum() in (3, 4) and not hidden[1].any() and not hidden[3].any() and not hidden[2, 4:].any()
    assert float(features[hidden].abs().sum()) == 0 and torch.equal(features[~hidden], inputs["features"][~hidden])
    x = inputs["features"][hidden].numpy()
    wanted = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(found["vectors"][hidden].numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_loss_and_r2_by_independent_numbers():
    model = model_of(share=0.5)
    task = model.tasks["m"]
    inputs = {
        name: e.processor.collate([torch.randn(6, e.out_dim) for _ in range(4)])
        for name, e in model.named_encoders().items()
    }
    targets = task.collate([True] * 4)
    made, found = task.change_inputs({"frames": inputs["frames"]}, range(4), targets)
    targets = {**targets, **found}
    with torch.no_grad():
        outputs = model({**inputs, **made}, targets={"m": targets}).outputs["m"]
    guesses, vectors = outputs["guesses"][found["hidden"]].numpy(), found["vectors"][found["hidden"]].numpy()
    loss = task.loss(outputs, targets)
    np.testing.assert_allclose(float(loss.total), ((guesses - vectors) ** 2).mean(1).sum(), rtol=1e-5)
    assert int(loss.count) == int(task.count(targets)) == len(vectors)
    metrics = task.make_metrics()
    for row in range(4):
        one = {name: tensor[row : row + 1] for name, tensor in targets.items()}
        task.update(metrics, {"guesses": outputs["guesses"][row : row + 1]}, one)
    np.testing.assert_allclose(float(metrics.compute()["r2"]), r2_score(vectors.ravel(), guesses.ravel()), rtol=1e-4)


def test_the_score_is_what_the_guesses_spare_of_the_error_of_guessing_the_mean():
    model = model_of(share=0.5)
    task = model.tasks["m"]
    inputs = {
        name: e.processor.collate([torch.randn(6, e.out_dim) for _ in range(4)])
        for name, e in model.named_encoders().items()
    }
    targets = task.collate([True] * 4)
    _, found = task.change_inputs({"frames": inputs["frames"]}, range(4), targets)
    targets |= found
    guesses = torch.randn(4, 6, 5)
    hidden, vectors = targets["hidden"].numpy(), targets["vectors"].numpy()
    for row, score in enumerate(task.target_score({"guesses": guesses}, targets).tolist()):
        right, guessed = vectors[row][hidden[row]], guesses[row].numpy()[hidden[row]]
        assert score == pytest.approx((right**2).mean() - ((guessed - right) ** 2).mean(), rel=1e-4)
    assert task.target_score({"guesses": torch.zeros(4, 6, 5)}, targets).tolist() == [0] * 4
    assert float(task.target_score({"guesses": targets["vectors"]}, targets).min()) > 0.5
    nothing = {"counted": targets["counted"]}
    assert task.target_score({"guesses": guesses}, nothing).tolist() == [0] * 4


def test_what_is_hidden_is_learnt_from_another_modality():
    model = model_of(share=0.9, hidden_dim=32).train()
    task, optimizer = model.tasks["m"], torch.optim.Adam(model.parameters(), 0.01)
    generator = torch.Generator().manual_seed(0)
    codes, known = torch.randn(3, 5, generator=generator), torch.eye(3)
    for step in range(70):
        which = torch.randint(3, (32,), generator=generator)
        inputs = {
            "frames": model.encoders["frames"].processor.collate([codes[i].expand(4, 5) for i in which]),
            "text": model.encoders["text"].processor.collate([known[i : i + 1] for i in which]),
        }
        targets = task.collate([True] * 32)
        made, found = task.change_inputs({"frames": inputs["frames"]}, range(step * 32, step * 32 + 32), targets)
        targets = {**targets, **found}
        outputs = model({**inputs, **made}, targets={"m": targets}).outputs["m"]
        loss = task.loss(outputs, targets).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.4  # the mean vector would have about 1


def test_tokens_before_those_of_the_picture_are_asked_nothing():
    vit = {"embed_dim": 12, "depth": 1, "num_heads": 2, "reg_tokens": 2}
    encoder = ImageEncoder("vit_tiny_patch16_224", pretrained=False, image_size=[48, 32], options=vit)
    task = MaskedFeatures(8, {"image": 12}).eval()
    task.connect({"image": encoder})
    assert encoder.token_positions() == (3, 3, 2)  # class token and two registers
    tokens = torch.randn(2, 9, 8)
    guesses = task(State(Fused(torch.zeros(2, 8), {"image": tokens}), {}))["guesses"]
    torch.testing.assert_close(guesses, task.head(tokens[:, 3:]))
    assert guesses.shape == (2, 6, 3 * 16 * 16)


def test_beside_other_tasks_nothing_is_measured():
    task = model_of().tasks["m"]
    targets = task.collate([True, True])
    outputs = {"guesses": torch.randn(2, 3, 5, requires_grad=True)}
    loss = task.loss(outputs, targets)
    assert float(loss.total.detach()) == 0 == float(loss.count) and loss.total.requires_grad
    task.update(task.make_metrics(), outputs, targets)


def test_other_encoders_are_refused():
    with pytest.raises(ConfigError, match="modality=framse.* Did you mean 'frames'"):
        MaskedFeatures(8, {"frames": 5}, modality="framse")
    with pytest.raises(ConfigError, match="'text' is a TextEncoder. Of texts it is task=mlm"):
        MaskedFeatures(8, {"text": 5}, modality="text").connect({"text": TextEncoder("tiny")})
    frozen = ImageEncoder("tiny", pretrained=False, frozen=True)
    with pytest.raises(ConfigError, match="set encoders.scan.frozen=false"):
        MaskedFeatures(8, {"scan": 16}, modality="scan").connect({"scan": frozen})


def test_each_kind_of_input_has_its_parts_and_its_usual_share():
    assert isinstance(parts_of_input("image", ENCODERS["image"]), PictureParts)
    assert isinstance(parts_of_input("audio", ENCODERS["audio"]), FrameParts)
    speech = SpeechEncoder("wav2vec2_base", pretrained=False, options={**SMALL_SPEECH})
    assert isinstance(parts_of_input("audio", speech), WaveformParts)
    for name, share in (("image", 0.6), ("audio", 0.15)):
        task = MaskedFeatures(8, {"image": 16, "audio": 8}, modality=name)
        task.connect(ENCODERS)
        assert task.parts.share == share and len(task.state_dict()) == 2  # the head alone is saved


@pytest.mark.parametrize(("name", "width"), [("image", 3 * 4 * 4), ("audio", 4)])
def test_loss_of_pictures_and_sounds_is_the_mean_absolute_error_of_what_was_hidden(name, width):
    torch.manual_seed(0)
    dims = {key: encoder.out_dim for key, encoder in ENCODERS.items()}
    task = MaskedFeatures(8, dims, modality=name, share=0.5)
    model = MultimodalModel(ENCODERS, CrossAttentionFusion(dims, 8, num_heads=2, dropout=0.0), {"m": task}).eval()
    random = np.random.default_rng(0)
    inputs = {
        "text": ENCODERS["text"].processor.collate(["a b", "b", "c"]),
        "image": ENCODERS["image"].processor.collate([torch.randn(3, 16, 16), None, torch.randn(3, 16, 16)]),
        "audio": ENCODERS["audio"].processor.collate(
            [torch.from_numpy(random.standard_normal(n, np.float32)) for n in (9000, 4000)] + [None]
        ),
    }
    targets = task.collate([True] * 3)
    made, found = task.change_inputs({name: inputs[name]}, range(3), targets)
    targets = {**targets, **found}
    with torch.no_grad():
        outputs = model({**inputs, **made}, targets={"m": targets}).outputs["m"]
    hidden = found["hidden"].numpy()
    guesses = outputs["guesses"].numpy()[:, : hidden.shape[1]][hidden]
    vectors = found["vectors"].numpy()[hidden]
    loss = task.loss(outputs, targets)
    absent = 1 if name == "image" else 2
    assert len(vectors) and vectors.shape[1] == width and not hidden[absent].any()
    np.testing.assert_allclose(float(loss.total), np.abs(guesses - vectors).mean(1).sum(), rtol=1e-5)
    assert int(loss.count) == int(task.count(targets)) == len(vectors)


def test_constant_vectors_have_no_share_to_explain():
    metric = ExplainedShare()
    metric.update(tensor([[1.0, 2.0]]), tensor([[0.0, 0.0]]))
    assert bool(metric.compute().isnan())
