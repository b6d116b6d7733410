"""Networks that are given all of their weights are not filled with random ones first."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mmbert.encoders.audio import SpeechEncoder
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.pretrained.weights import Unfilled

SMALL = {
    "encoder_embed_dim": 16,
    "encoder_num_layers": 1,
    "encoder_num_heads": 2,
    "encoder_ff_interm_features": 16,
    "extractor_conv_layer_config": [(8, 10, 5), (8, 3, 2)],
}


@pytest.fixture
def nan_where_nothing_was_written():
    """Memory that torch hands out holds NaN, so that a weight which nobody sets is seen."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)


def image(**more):
    return ImageEncoder("vit_tiny_patch16_224", image_size=32, options={"depth": 1}, **more)


def audio(**more):
    return SpeechEncoder("wav2vec2_base", options=SMALL, **more)


def test_nothing_is_drawn_while_it_lasts(nan_where_nothing_was_written):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with Unfilled():
        layer = nn.Linear(3, 2)
    assert layer.weight.isnan().all()
    assert torch.equal(torch.get_rng_state(), state)
    assert nn.Linear(3, 2).weight.isfinite().all()


@pytest.mark.parametrize("make", [image, audio])
def test_weights_from_a_file_are_all_there_is(make, tmp_path, nan_where_nothing_was_written):
    torch.manual_seed(1)
    source = make(pretrained=False).eval()
    path = tmp_path / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in source.network.state_dict().items()}, path)
    torch.manual_seed(2)
    loaded = make(checkpoint=str(path)).eval()
    ours, theirs = loaded.network.state_dict(), source.network.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert all(buffer.isfinite().all() for buffer in loaded.network.buffers())
    size = (1, 3, 32, 32) if make is image else (1, 4000)
    name = "pixels" if make is image else "waveform"
    inputs = {name: torch.randn(size), "mask": torch.ones(size if make is audio else (1, 1), dtype=torch.bool)}
    with torch.no_grad():
        torch.testing.assert_close(loaded(inputs).tokens, source(inputs).tokens)
