"""Heads, channels and layers that are cut out: which, how many, and that the rest computes as it did."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmbert.core.errors import InputError
from mmbert.core.types import Encoded
from mmbert.deploy.compress import workshop
from mmbert.deploy.compress.methods import parse_methods
from mmbert.deploy.compress.structured import drop_layers, prune_channels
from mmbert.encoders.base import Encoder
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.mean import MeanFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification

BERT = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 40}


def text_encoder():
    torch.manual_seed(0)
    return TextEncoder("tiny", pretrained=False, config=BERT).eval()


def texts():
    torch.manual_seed(1)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    return {"input_ids": torch.randint(5, 60, (2, 7)), "mask": mask}


def sounds(samples=6000):
    torch.manual_seed(2)
    return {"waveform": torch.randn(2, samples), "mask": torch.ones(2, samples, dtype=torch.bool)}


def pictures(size):
    torch.manual_seed(3)
    return {"pixels": torch.randn(2, 3, *size), "mask": torch.ones(2, 1, dtype=torch.bool)}


def test_a_quarter_of_bert_goes_and_the_rest_is_the_original_with_those_parts_at_zero():
    whole = text_encoder()
    encoder = copy.deepcopy(whole)
    removed = prune_channels(encoder, texts(), 0.25)
    masked = copy.deepcopy(whole)
    for number, layer in enumerate(masked.network.encoder.layer):
        heads = removed.heads[f"network.encoder.layer.{number}.attention.self"]
        channels = removed.channels[f"network.encoder.layer.{number}.intermediate.dense"]
        assert len(heads) == 1 and len(channels) == 10  # a quarter of 4, and of 40
        with torch.no_grad():  # by what reads them, so that nothing of the cut itself is used here
            for head in heads:
                layer.attention.output.dense.weight[:, head * 8 : (head + 1) * 8] = 0
            layer.output.dense.weight[:, channels] = 0
    layer = encoder.network.encoder.layer[0]
    assert layer.attention.self.query.weight.shape == (24, 32) and layer.attention.self.num_attention_heads == 3
    assert layer.intermediate.dense.weight.shape == (30, 32) and layer.output.dense.weight.shape == (32, 30)
    with torch.no_grad():
        left, zeroed = encoder(texts()), masked(texts())
        assert not torch.allclose(whole(texts()).tokens, zeroed.tokens, atol=1e-3)
    torch.testing.assert_close(left.tokens, zeroed.tokens, rtol=0, atol=2e-6)
    torch.testing.assert_close(left.pooled, zeroed.pooled, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("amount", "heads", "channels"), [(0.3, 1, 12), (0.2, 0, 8), (0.5, 2, 20), (0.74, 2, 29)])
def test_no_more_goes_than_was_said(amount, heads, channels):
    removed = prune_channels(text_encoder(), texts(), amount)
    assert [len(gone) for gone in removed.heads.values()] == [heads] * 3 * bool(heads)
    assert [len(gone) for gone in removed.channels.values()] == [channels] * 3


def test_the_head_with_the_smallest_weights_goes():
    encoder = text_encoder()
    attention = encoder.network.encoder.layer[1].attention
    with torch.no_grad():
        for part in (attention.self.query, attention.self.key, attention.self.value):
            part.weight[16:24] *= 1e-3  # the third of four
        attention.output.dense.weight[:, 16:24] *= 1e-3
    assert prune_channels(encoder, texts(), 0.25).heads["network.encoder.layer.1.attention.self"] == [2]


def test_channels_of_convolutions_go_and_the_width_stays():
    encoder = ImageEncoder("resnet_mini", pretrained=False).eval()
    for module in encoder.modules():  # so that a channel whose norm is zero says nothing
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    whole = copy.deepcopy(encoder)
    removed = prune_channels(encoder, pictures((40, 56)), 0.25)
    counts = {name: len(places) for name, places in removed.channels.items()}
    assert sorted(counts.values()) == [4, 8, 16, 16]  # of 16, 32, 64 and 64; the last convolution is the output
    assert encoder(pictures((40, 56))).tokens.shape == (2, 35, 128)
    first = removed.channels["network.stages.0.conv"]
    with torch.no_grad():
        for places, reader in ((first, whole.network.stages[1].conv), *inner_readers(whole, removed.channels)):
            reader.weight[:, places] = 0
    torch.testing.assert_close(encoder(pictures((40, 56))).tokens, whole(pictures((40, 56))).tokens, rtol=0, atol=1e-5)


def inner_readers(whole, channels):
    """The convolutions that read what was cut: a residual sum is read by its block and by what follows it."""
    stages = whole.network.stages
    summed = channels.get("network.stages.5.second.conv") or channels["network.stages.3.conv"]
    yield channels["network.stages.1.conv"], stages[3].conv
    yield summed, stages[5].first.conv
    yield summed, stages[6].conv
    yield channels["network.stages.5.first.conv"], stages[5].second.conv


def test_the_network_over_spectrograms_too():
    torch.manual_seed(0)
    encoder = MelspecCNN(out_dim=16, channels=(4, 8, 8), time_strides=(2, 2, 1)).eval()
    for norm in encoder.norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    removed = prune_channels(encoder, sounds(), 0.5)
    assert {name: len(places) for name, places in removed.channels.items()} == {
        "convolutions.0": 2,
        "convolutions.1": 4,
        "convolutions.2": 4,
    }
    assert encoder.mix.weight.shape == (16, 4 * 5, 3) and encoder.norms[2].num_channels == 4
    assert encoder(sounds()).tokens.shape[2] == 16


def test_the_columns_behind_a_channel_of_a_spectrogram_go_with_it():
    torch.manual_seed(0)
    encoder = MelspecCNN(out_dim=16, channels=(4, 6), time_strides=(2, 1), num_mels=8).eval()
    before = encoder.mix.weight.detach().clone().view(16, 6, 2, 3)
    gone = prune_channels(encoder, sounds(), 0.34).channels["convolutions.1"]
    kept = [channel for channel in range(6) if channel not in gone]
    assert len(gone) == 2
    torch.testing.assert_close(encoder.mix.weight.detach().view(16, 4, 2, 3), before[:, kept])


def test_top_layers_go_and_one_stays():
    encoder = text_encoder()
    below = copy.deepcopy(encoder)
    del below.network.encoder.layer[1:]
    removed = drop_layers(encoder, 0.9)
    assert removed.layers == [1, 2] and encoder.network.config.num_hidden_layers == 1
    torch.testing.assert_close(encoder(texts()).tokens, below(texts()).tokens)
    assert drop_layers(encoder, 0.9).kept_whole == "0.9 of 1 layers is less than one"
    assert "text encoders" in drop_layers(MelspecCNN(), 0.5).kept_whole


@pytest.mark.parametrize("twice", [False, True])
def test_a_pruned_model_is_saved_and_loaded_as_it_is(tmp_path, twice):
    torch.manual_seed(0)
    encoders = {"text": text_encoder(), "image": ImageEncoder("tiny", pretrained=False), "audio": MelspecCNN(32)}
    fusion = MeanFusion({name: encoder.out_dim for name, encoder in encoders.items()}, 16)
    model = MultimodalModel(encoders, fusion, {"answer": Classification(16, "answer", ["a", "b"])}).eval()
    inputs = {"text": texts(), "image": pictures((16, 16)), "audio": sounds()}
    for name, encoder in encoders.items():
        prune_channels(encoder, inputs[name], 0.25)
    if twice:
        drop_layers(encoders["text"], 0.4)
        prune_channels(encoders["text"], texts(), 0.34)
        assert encoders["text"].network.encoder.layer[1].attention.self.query.weight.shape == (16, 32)
    with torch.no_grad():
        expected = model(inputs).outputs["answer"]["logits"]
    model.save_pretrained(tmp_path / "model")
    again = MultimodalModel.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        assert torch.equal(again(inputs).outputs["answer"]["logits"], expected)
    for name, encoder in encoders.items():
        assert again.named_encoders()[name].pruned_shapes == encoder.pruned_shapes is not None


def timm_model(name):
    """A model of pictures whose norms compute something, and three pictures."""
    options = {
        "efficientnet_lite0": {},
        "vit_tiny_patch16_224": {"depth": 2},
        "convnext_atto": {"depths": [1, 1, 1, 1], "ls_init_value": 0.5},
    }
    torch.manual_seed(0)
    encoder = ImageEncoder(name, pretrained=False, image_size=64, options=options[name])
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    fusion = MeanFusion({"image": encoder.out_dim}, 8)
    task = Classification(8, "answer", ["a", "b"], dropout=0.0)
    return MultimodalModel({"image": encoder}, fusion, {"answer": task}).eval(), {"image": pictures((64, 64))}


@pytest.mark.parametrize(
    "name", [pytest.param("efficientnet_lite0", marks=pytest.mark.slow), "vit_tiny_patch16_224", "convnext_atto"]
)
def test_a_pruned_network_of_timm_is_smaller_saved_loaded_and_trained_on(name, tmp_path):
    model, inputs = timm_model(name)
    whole = copy.deepcopy(model)
    encoder = model.named_encoders()["image"]
    removed = prune_channels(encoder, inputs["image"], 0.25)
    assert removed.channels and not removed.kept_whole
    counts = [sum(weight.numel() for weight in one.parameters()) for one in (model, whole)]
    assert counts[0] < 0.9 * counts[1]
    with torch.no_grad():
        expected, before = (one(inputs).outputs["answer"]["logits"] for one in (model, whole))
        assert encoder(inputs["image"]).tokens.shape == whole.named_encoders()["image"](inputs["image"]).tokens.shape
    assert expected.isfinite().all() and not torch.allclose(expected, before, atol=1e-6)
    for one, folder in ((whole, "whole"), (model, "pruned")):
        one.save_pretrained(tmp_path / folder)
    sizes = [(tmp_path / folder / "model.safetensors").stat().st_size for folder in ("pruned", "whole")]
    assert sizes[0] < 0.9 * sizes[1] and sizes[0] >= 4 * counts[0]
    again = MultimodalModel.from_pretrained(tmp_path / "pruned")
    kept = again.state_dict()
    assert all(torch.equal(kept[key], tensor) for key, tensor in model.state_dict().items())
    with torch.no_grad():  # where weights lie in memory changes the last digit of a convolution
        torch.testing.assert_close(again(inputs).outputs["answer"]["logits"], expected, rtol=0, atol=1e-6)
    # what was loaded learns, and remains as small
    optimizer = torch.optim.SGD(again.train().parameters(), lr=0.1)
    shapes = {key: weight.shape for key, weight in again.named_parameters()}
    for _ in range(2):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(again(inputs).outputs["answer"]["logits"], torch.tensor([0, 1]))
        loss.backward()
        optimizer.step()
    start = model.state_dict()
    learnt = {key for key, weight in again.named_parameters() if not torch.equal(weight, start[key])}
    cut = {f"encoders.image.{key}" for key in encoder.pruned_shapes["tensors"]} & set(shapes)
    assert cut and cut <= learnt and {key: w.shape for key, w in again.named_parameters()} == shapes
    again.eval().save_pretrained(tmp_path / "trained")
    with torch.no_grad():
        trained = MultimodalModel.from_pretrained(tmp_path / "trained")(inputs).outputs["answer"]["logits"]
        torch.testing.assert_close(trained, again(inputs).outputs["answer"]["logits"], rtol=0, atol=1e-6)
        assert not torch.allclose(trained, expected, atol=1e-5)


def test_heads_of_a_vision_transformer_stay_whole_and_its_feed_forward_layers_are_the_original_at_zero():
    model, inputs = timm_model("vit_tiny_patch16_224")
    whole = copy.deepcopy(model)
    removed = prune_channels(model.named_encoders()["image"], inputs["image"], 0.25)
    blocks = whole.named_encoders()["image"].network.blocks
    assert set(removed.channels) == {f"network.blocks.{i}.mlp.fc1" for i in range(2)}
    with torch.no_grad():
        for i, block in enumerate(blocks):
            places = removed.channels[f"network.blocks.{i}.mlp.fc1"]
            assert len(places) == 192  # a quarter of 768
            block.mlp.fc2.weight[:, places] = 0
        found, zeroed = (one(inputs).outputs["answer"]["logits"] for one in (model, whole))
    torch.testing.assert_close(found, zeroed, rtol=0, atol=1e-5)


class Scaled(Encoder):
    """A network with a buffer as wide as its hidden layer, of which torch-pruning knows nothing."""

    kind = "features"

    def __init__(self):
        super().__init__()
        self.out_dim = 6
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 6)
        self.norm = nn.LayerNorm(6)
        self.register_buffer("scale", torch.rand(8))

    def encode(self, inputs):
        hidden = self.second(self.first(inputs["tokens"]) * self.scale)
        return Encoded.from_tokens(self.norm(hidden), inputs["mask"])


def vectors(width, key="tokens"):
    torch.manual_seed(4)
    return {key: torch.randn(2, 3, width), "mask": torch.ones(2, 3, dtype=torch.bool)}


def test_a_network_that_cannot_be_cut_is_refused_with_its_reason():
    reason = r"cannot cut channels out of Scaled \(RuntimeError: .*size of tensor.*\[magnitude\]"
    with pytest.raises(InputError, match=reason):
        prune_channels(Scaled().eval(), vectors(4), 0.5)


def test_what_cannot_be_cut_costs_no_other_row_and_leaves_the_model_as_it_was(monkeypatch, tmp_path):
    torch.manual_seed(0)
    encoders = {"face": FeatureEncoder(3), "scaled": Scaled()}
    tasks = {"answer": Classification(8, "answer", ["a", "b"])}
    model = MultimodalModel(encoders, MeanFusion({"face": 3, "scaled": 6}, 8), tasks).eval()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    given = {"face": vectors(3, "features"), "scaled": vectors(4)}
    monkeypatch.setattr(workshop, "tracing_inputs", lambda *asked: given)
    settings = SimpleNamespace(
        methods=parse_methods(["structured", "without"]), amount=0.5, folder=tmp_path, out=tmp_path, data=None, split=""
    )
    found = workshop.Workshop(model, settings, lambda what: None)
    assert [row.name for row in found.variants()] == ["original", "without face", "without scaled"]
    assert list(found.failed) == ["structured"] and "Scaled (RuntimeError" in found.failed["structured"]
    assert set(before) == set(model.state_dict())
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_methods_that_could_change_nothing_are_no_rows_and_say_why(monkeypatch, tmp_path):
    """A row equal to the original, called structured or int8, would pass for a result."""
    tasks = {"answer": Classification(8, "answer", ["a", "b"])}
    model = MultimodalModel({"face": FeatureEncoder(3)}, MeanFusion({"face": 3}, 8), tasks).eval()
    monkeypatch.setattr(workshop, "tracing_inputs", lambda *asked: {"face": vectors(3, "features")})
    words = ["structured", "layers", "magnitude", "int8_torchao", "without"]
    settings = SimpleNamespace(
        methods=parse_methods(words), amount=0.5, folder=tmp_path, out=tmp_path, data=None, split=""
    )
    found = workshop.Workshop(model, settings, lambda what: None)
    assert [row.name for row in found.variants()] == ["original"]
    assert list(found.failed) == words
    assert found.failed["structured"].startswith("face: kept whole (") and "text encoders" in found.failed["layers"]
    assert "whose weights could be held at zero" in found.failed["magnitude"]
    assert "no encoder has linear layers" in found.failed["int8_torchao"]
    assert found.failed["without"] == "the model has 'face' alone, and nothing is left without it"
