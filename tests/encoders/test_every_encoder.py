"""Every encoder of the package keeps the contract of ``mmbert.testing.check_encoder``."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from mmbert.encoders.audio import SpeechEncoder
from mmbert.encoders.base import Encoder
from mmbert.encoders.conformer import ConformerEncoder
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.series import SeriesEncoder
from mmbert.encoders.tabular import TabularEncoder
from mmbert.encoders.text import TextEncoder
from mmbert.encoders.video import VideoEncoder
from mmbert.testing import check_encoder
from mmbert.testing.encoder_samples import EncoderCase, collated
from wrapped_layers import passed_by

COVERS = ("base",)

SPEECH = {  # the architectures of the bundles, narrow
    "encoder_embed_dim": 32,
    "encoder_num_layers": 2,
    "encoder_num_heads": 4,
    "encoder_ff_interm_features": 64,
    "encoder_pos_conv_groups": 4,
    "extractor_conv_layer_config": [
        (32, 10, 5),
        (32, 3, 2),
        (32, 3, 2),
        (32, 3, 2),
        (32, 3, 2),
        (32, 2, 2),
        (32, 2, 2),
    ],
}
COLUMNS = {
    "age": {"mean": 3.0, "std": 2.0},
    "sex": {"categories": ["f", "m"]},
    "zip": {"categories": ["1", "2", "3"]},
    "income": {"mean": 0.0, "std": 1.0},
}
SENSOR = {"x": {"mean": 1.0, "std": 2.0}, "y": {"mean": 0.0, "std": 0.5}}

ENCODERS: dict[str, Callable[..., Encoder]] = {
    "text-tiny-cls": lambda **more: TextEncoder("tiny", False, "cls", **more),
    "text-tiny-mean": lambda **more: TextEncoder("tiny", False, "mean", **more),
    "text-tiny-pooler": lambda **more: TextEncoder("tiny", False, "pooler", **more),
    "image-tiny": lambda **more: ImageEncoder("tiny", False, **more),
    "image-resnet_mini": lambda **more: ImageEncoder("resnet_mini", False, **more),
    "image-resnet18": lambda **more: ImageEncoder(
        "resnet18", False, [40, 56], options={"channels": [8, 16, 24, 32]}, **more
    ),
    "image-mobilenetv3": lambda **more: ImageEncoder("mobilenetv3_small_100", False, 48, **more),
    "image-efficientnet_lite0": lambda **more: ImageEncoder("efficientnet_lite0", False, 64, **more),
    "image-vit": lambda **more: ImageEncoder("vit_tiny_patch16_224", False, [32, 48], options={"depth": 2}, **more),
    "image-swin": lambda **more: ImageEncoder(
        "swin_tiny_patch4_window7_224", False, options={"depths": [1, 1, 1, 1], "embed_dim": 24}, **more
    ),
    "audio-melspec_cnn": lambda **more: MelspecCNN(**more),
    "audio-tiny": lambda **more: MelspecCNN(24, [4, 8], [2, 2], 16, hop_seconds=0.02, **more),
    "audio-conformer": lambda **more: ConformerEncoder(32, 2, 4, 64, **more),
    "audio-wav2vec2_base": lambda **more: SpeechEncoder("wav2vec2_base", False, options=SPEECH, **more),
    "audio-hubert_base": lambda **more: SpeechEncoder("hubert_base", False, options=SPEECH, **more),
    "audio-wavlm_base": lambda **more: SpeechEncoder("wavlm_base", False, options=SPEECH, **more),
    "audio-wav2vec2_large_lv60k": lambda **more: SpeechEncoder("wav2vec2_large_lv60k", False, options=SPEECH, **more),
    "tabular": lambda **more: TabularEncoder(**{"columns": COLUMNS, "out_dim": 16, **more}),
    "tabular-layers": lambda **more: TabularEncoder(**{"columns": COLUMNS, "out_dim": 16, "layers": 2, **more}),
    "tabular-numbers": lambda **more: TabularEncoder(**{"columns": {"age": COLUMNS["age"]}, **more}),
    "tabular-words": lambda **more: TabularEncoder(**{"columns": {"sex": COLUMNS["sex"]}, **more}),
    "series-rows": lambda **more: SeriesEncoder(**{"statistics": SENSOR, "out_dim": 16, **more}),
    "series-grid": lambda **more: SeriesEncoder(**{"statistics": SENSOR, "rate": 10.0, "out_dim": 16, **more}),
    "series-steps": lambda **more: SeriesEncoder(
        **{"statistics": SENSOR, "patch_length": 1, "stride": 1, "layers": 0, "out_dim": 15, **more}
    ),
    "series-uneven": lambda **more: SeriesEncoder(
        **{"statistics": {"x": SENSOR["x"]}, "patch_length": 5, "stride": 3, "max_steps": 40, "out_dim": 16, **more}
    ),
    "video-tiny": lambda **more: VideoEncoder("tiny", False, frames=3, **more),
    "video-vit-patches": lambda **more: VideoEncoder(
        "vit_tiny_patch16_224",
        False,
        [32, 48],
        frames=4,
        frames_per_second=2.0,
        tokens="patches",
        options={"depth": 2},
        **more,
    ),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_keeps_the_contract(name: str) -> None:
    check_encoder(ENCODERS[name])


@pytest.mark.parametrize("name", ENCODERS)
def test_no_layers_weights_are_read_past_it(name: str) -> None:
    encoder = ENCODERS[name]().eval()
    inputs = collated(encoder, [*EncoderCase(ENCODERS[name]).values(encoder), None])
    assert passed_by(encoder, lambda: encoder(inputs).tokens) == []


@pytest.mark.parametrize("name", ["text-tiny-mean", "image-tiny", "audio-melspec_cnn", "audio-wav2vec2_base"])
def test_a_processor_is_light_enough_to_be_sent_to_every_worker(name: str) -> None:
    assert len(pickle.dumps(ENCODERS[name]().processor)) < 3_000_000  # a vocabulary, no weights


def test_ready_features_keep_the_contract_with_and_without_a_layer_of_their_own() -> None:
    check_encoder(FeatureEncoder, width=5)
    check_encoder(FeatureEncoder, width=5, out_dim=3, norm=False, dropout=0.2)


def test_the_factor_on_the_learning_rate_is_kept() -> None:
    assert ENCODERS["audio-melspec_cnn"](frozen=True, lr_scale=0.5).lr_scale == 0.5
