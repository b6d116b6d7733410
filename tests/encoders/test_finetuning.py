"""Layers that learn, layers that stay, adapters, and the encoder's work on present samples alone."""

import copy

import pytest
import torch
from torch import nn

from mmbert.core.errors import ConfigError
from mmbert.encoders.audio import SpeechEncoder
from mmbert.encoders.finetuning import adaptable, add_adapters
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.text import TextEncoder
from mmbert.training.optim import AdamWOptimizer, parameter_groups

SMALL_SPEECH = {
    "encoder_num_layers": 3,
    "encoder_embed_dim": 32,
    "encoder_num_heads": 2,
    "encoder_ff_interm_features": 48,
    "extractor_conv_layer_config": [(16, 10, 5), (16, 8, 4), (16, 4, 4)],
    "encoder_dropout": 0.0,
    "encoder_attention_dropout": 0.0,
    "encoder_ff_interm_dropout": 0.0,
    "encoder_projection_dropout": 0.0,
    "encoder_pos_conv_kernel": 8,
    "encoder_pos_conv_groups": 2,
}


def text(**options):
    still = {"num_hidden_layers": 3, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return TextEncoder("tiny", config=still, **options)


def image(**options):
    return ImageEncoder("vit_tiny_patch16_224", pretrained=False, image_size=32, options={"depth": 3}, **options)


def convolutional(**options):
    return ImageEncoder("resnet10t", pretrained=False, image_size=64, options={"zero_init_last": False}, **options)


def audio(**options):
    return SpeechEncoder("wav2vec2_base", pretrained=False, options=SMALL_SPEECH, **options)


ENCODERS = {"text": text, "image": image, "convolutional": convolutional, "audio": audio}


def batch(encoder, missing=()):
    generator = torch.Generator().manual_seed(1)
    if encoder.kind == "text":
        texts = ["seven plus one", "minus two", "no", "a longer sentence than the others"]
        prepared = [None if i in missing else t for i, t in enumerate(texts)]
        return encoder.processor.collate(prepared)
    if encoder.kind == "image":
        mask = torch.tensor([[i not in missing] for i in range(4)])
        return {"pixels": torch.rand(4, 3, *encoder.processor.size, generator=generator), "mask": mask}
    waveform = torch.randn(4, 4000, generator=generator)
    mask = torch.arange(4000) < torch.tensor([[4000], [3000], [2500], [3600]])
    mask[list(missing)] = False
    return {"waveform": waveform, "mask": mask}


def learn_once(encoder):
    """Names of the parameters that a step of training moved."""
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    encoder.train()
    torch.manual_seed(0)
    for _ in range(2):  # an adapter's first half begins to learn when its second is no longer zero
        tokens = encoder(batch(encoder)).tokens
        learning = [p for p in encoder.parameters() if p.requires_grad]
        gradients = torch.autograd.grad((tokens * torch.randn_like(tokens)).sum(), learning, allow_unused=True)
        with torch.no_grad():
            for parameter, gradient in zip(learning, gradients, strict=True):
                if gradient is not None:
                    parameter -= 1e-2 * gradient
    return {name for name, p in encoder.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_parameter_is_in_one_layer(kind):
    encoder = ENCODERS[kind]()
    layers = encoder.layers()
    flat = [id(p) for layer in layers for p in layer]
    assert len(flat) == len(set(flat)) == len(list(encoder.parameters()))
    assert len(layers) > 3


@pytest.mark.parametrize("kind", ENCODERS)
def test_the_top_layers_alone_learn(kind):
    encoder = ENCODERS[kind](trainable_last_n=2)
    layers = encoder.layers()
    upper = {id(p) for layer in layers[-2:] for p in layer}
    learning = {id(p) for p in encoder.parameters() if p.requires_grad}
    assert learning <= upper and len(learning) > 5
    moved = {id(p) for name, p in encoder.named_parameters() if name in learn_once(copy.deepcopy(encoder))}
    assert moved and moved <= upper


def test_batch_norms_below_keep_their_statistics():
    encoder = convolutional(trainable_last_n=1)
    before = {name: b.clone() for name, b in encoder.named_buffers()}
    learn_once(encoder)
    moved = {name for name, b in encoder.named_buffers() if not torch.equal(b, before[name])}
    assert moved and all("layer4" in name for name in moved)
    assert encoder.training


@pytest.mark.parametrize("kind", ENCODERS)
def test_layers_decay_in_their_rates(kind):
    encoder = ENCODERS[kind](layer_decay=0.5, lr_scale=0.1)
    top = len(encoder.layers()) - 1
    model = nn.Module()
    model.encoders = nn.ModuleDict({"it": encoder})
    groups = parameter_groups(model, None, 1.0, 0.01)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    for depth, layer in enumerate(encoder.layers()):
        for parameter in layer:
            if parameter.requires_grad:
                assert rates[id(parameter)] == pytest.approx(0.1 * 0.5 ** (top - depth))
    assert len({group["name"] for group in groups}) == len(groups)
    assert AdamWOptimizer().optimizer(model)  # torch accepts the groups


@pytest.mark.parametrize("kind", ENCODERS)
def test_checkpointed_gradients_are_the_same(kind):
    torch.manual_seed(3)
    plain = ENCODERS[kind]()
    torch.manual_seed(3)
    saving = ENCODERS[kind](gradient_checkpointing=True)
    saving.load_state_dict(plain.state_dict())
    gradients = []
    for encoder in (plain, saving):
        torch.manual_seed(0)
        tokens = encoder.train()(batch(encoder)).tokens
        weights = [p for p in encoder.parameters() if p.requires_grad]
        gradients.append(torch.autograd.grad(tokens.square().sum(), weights, allow_unused=True))
    for one, other in zip(*gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_checkpointing_keeps_less_for_the_backward_pass():
    kept = {}
    for saves in (False, True):
        encoder = text(gradient_checkpointing=saves).train()
        seen = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, seen=seen: (seen.append(t.numel()), t)[1], lambda t: t):
            encoder(batch(encoder))
        kept[saves] = sum(seen)
    assert kept[True] < 0.5 * kept[False]


@pytest.mark.parametrize("kind", ENCODERS)
def test_adapters_alone_learn(kind):
    torch.manual_seed(3)
    plain = ENCODERS[kind]().eval()
    adapted = ENCODERS[kind](lora={"r": 2, "lora_alpha": 4}).eval()
    own = {name.replace(".base_layer", ""): name for name in adapted.state_dict() if "lora_" not in name}
    assert set(own) == set(plain.state_dict())
    adapted.load_state_dict({**adapted.state_dict(), **{own[n]: t for n, t in plain.state_dict().items()}})
    inputs = batch(plain)
    torch.testing.assert_close(adapted(inputs).tokens, plain(inputs).tokens)  # an adapter begins as nothing
    moved = learn_once(adapted)
    adapters = {name for name, _ in adapted.named_parameters() if "lora_" in name}
    assert moved == adapters
    assert not torch.equal(adapted.eval()(inputs).tokens, plain(inputs).tokens)


def test_an_adapted_encoder_comes_back_from_its_folder(tmp_path):
    from mmbert.fusion.concat import ConcatFusion
    from mmbert.model import MultimodalModel
    from mmbert.tasks.classification import Classification

    encoder = text(lora={"r": 2})
    learn_once(encoder)
    task = Classification(8, column="label", classes=["a", "b"])
    model = MultimodalModel(
        {"text": encoder}, ConcatFusion({"text": encoder.out_dim}, out_dim=8), {"label": task}
    ).eval()
    again = MultimodalModel.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert again.predict([{"text": "hello"}]) == model.predict([{"text": "hello"}])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frozen": True, "lora": {}}, "lora and frozen exclude each other"),
        ({"trainable_last_n": 1, "lora": {}}, "trainable_last_n and lora exclude each other"),
        ({"trainable_last_n": 9}, "this network has 4 layers, so choose from 1 to that"),
        ({"layer_decay": 1.5}, "layer_decay=1.5 must be above 0 and at most 1"),
        ({"lora": {"rank": 3}}, "peft refuses lora="),
        ({"lora": {"target_modules": ["nothing"]}}, "peft refuses lora="),
        ({"lora": {"megatron_config": {}, "megatron_core": "my_core"}}, "lora.megatron_config is not taken"),
        ({"lora": {"megatron_core": "my_core"}}, "lora.megatron_core is not taken"),
    ],
)
def test_contradictions_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        text(**options)


def test_a_network_without_named_layers_is_refused():
    with pytest.raises(ConfigError, match="has no gradient checkpointing"):
        ImageEncoder("tiny", gradient_checkpointing=True)
    with pytest.raises(ConfigError, match="has no group_matcher"):
        ImageEncoder("tiny", trainable_last_n=1)


# ------------------------------------------------------------------------------------------------ present samples alone


@pytest.mark.parametrize("kind", [*ENCODERS, "melspec"])
@pytest.mark.parametrize("missing", [(1,), (0, 2, 3), (0, 1, 2, 3)])
def test_the_network_runs_over_present_samples_alone(kind, missing, monkeypatch):
    encoder = (MelspecCNN() if kind == "melspec" else ENCODERS[kind]()).train()
    sizes = []
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda inputs: sizes.append(len(inputs["mask"])) or encode(inputs))
    encoded = encoder(batch(encoder, missing))
    assert sizes == [max(1, 4 - len(missing))]
    assert encoded.present.tolist() == [i not in missing for i in range(4)]
    assert not encoded.tokens[list(missing)].any() and not encoded.pooled[list(missing)].any()
    assert encoded.tokens.requires_grad  # distributed training waits for a gradient from everybody


@pytest.mark.parametrize("kind", ENCODERS)
def test_present_samples_get_what_they_get_alone(kind):
    encoder = ENCODERS[kind]().eval()
    some, whole = encoder(batch(encoder, (1, 2))), encoder(batch(encoder))
    length = some.tokens.shape[1]
    for row in (0, 3):
        torch.testing.assert_close(some.tokens[row], whole.tokens[row, :length], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(some.pooled[row], whole.pooled[row], rtol=1e-4, atol=1e-5)


def test_batch_statistics_see_no_blank():
    encoder, other = convolutional().train(), convolutional().train()
    other.load_state_dict(encoder.state_dict())
    inputs = batch(encoder)
    gone = {"pixels": inputs["pixels"], "mask": torch.tensor([[True], [False], [True], [True]])}
    encoder(gone)
    other({name: t[[0, 2, 3]] for name, t in inputs.items()})
    for (name, one), same in zip(encoder.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(one, same, msg=name)
    before = {name: b.clone() for name, b in encoder.named_buffers()}
    encoder({**inputs, "mask": torch.zeros(4, 1, dtype=torch.bool)})
    assert all(torch.equal(b, before[name]) for name, b in encoder.named_buffers())
    assert all(m.training for m in encoder.modules() if isinstance(m, nn.BatchNorm2d))


class OfTorch(nn.Module):
    """A network with torch's encoder layer, which reads weights past whatever stands around a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
        self.out = nn.Linear(8, 8)


def test_no_adapter_is_put_where_torch_would_pass_it_by():
    pytest.importorskip("peft")
    network = OfTorch()
    assert adaptable(network) == ["out"]
    add_adapters(network, {"r": 2})
    assert {name.split(".lora_")[0] for name, _ in network.named_parameters() if "lora_" in name} == {"out"}
    for target in ("linear1", "linear2", "self_attn.out_proj"):
        with pytest.raises(ConfigError, match=rf"lora.target_modules names 'layer.{target}', but \w+ reads"):
            add_adapters(OfTorch(), {"r": 2, "target_modules": [target]})
