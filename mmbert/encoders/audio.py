"""``SpeechEncoder``: torchaudio's wav2vec 2.0, HuBERT and WavLM over raw waveforms.

Papers: Baevski et al. 2020, arXiv:2006.11477; Hsu et al. 2021, arXiv:2106.07447; Chen et al. 2021, arXiv:2110.13900.

The modules are torchaudio's; the forward pass is ours, because in theirs padding changes the result: the base models
normalise each channel over the whole padded sound, WavLM refuses masks, and the large models' input is normalised over
the batch. Here every statistic is taken over the real part of each sound, and the padding after it is zeroed before the
positional convolution. An unpadded sound gets torchaudio's own numbers. Layers are not dropped at random in training
(torchaudio's layer drop): a layer without gradients stops distributed training.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmbert.core.errors import ConfigError, WeightsError, nearest
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.finetuning import LayeredEncoder, stack
from mmbert.encoders.pretrained.weights import OFFLINE_CHOICES, Unfilled, load_weights, reachable, read_weights
from mmbert.encoders.processors.audio import AudioProcessor
from mmbert.encoders.processors.token_grid import TokenGrid
from mmbert.encoders.speech_frames import (
    attended_frames,
    continuous_waveform,
    receptive_field,
    speech_frames,
    standardise_channels,
)

SERVER = "https://download.pytorch.org"


class SpeechEncoder(LayeredEncoder):
    """A model of ``torchaudio.pipelines`` over raw waveforms: one token every 20 ms.

    Args:
        name: a bundle in lower case: ``wav2vec2_base``, ``hubert_base``, ``wavlm_base``, ``wavlm_large`` ...
        pretrained: load the weights, downloaded once; False builds the architecture with random ones.
        max_seconds: longer sounds are cut.
        frozen: no gradients, always in evaluation mode.
        frozen_features: keep the convolutions at the bottom as they are, as is usual in fine-tuning.
        lr_scale: factor on the learning rate.
        trainable_last_n, layer_decay, gradient_checkpointing, lora: see ``LayeredEncoder.tune``.
        checkpoint: a local file with the bundle's weights instead of a download.
        options: overrides of the bundle's architecture, such as ``{"encoder_dropout": 0.0}``.

    Raises:
        ConfigError: the name or an option is unknown.
        WeightsError: the weights cannot be had.
    """

    kind: ClassVar[str] = "audio"
    network: Any
    processor: AudioProcessor
    checkpointed: bool = False

    def __init__(
        self,
        name: str,
        pretrained: bool = True,
        max_seconds: Annotated[float, Range(above=0)] = 10.0,
        frozen: bool = False,
        frozen_features: bool = False,
        lr_scale: float = 1.0,
        checkpoint: str | None = None,
        options: dict[str, Any] | None = None,
        trainable_last_n: Annotated[int | None, Range(1)] = None,
        layer_decay: Annotated[float, Range(above=0)] = 1.0,
        gradient_checkpointing: bool = False,
        lora: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(frozen, lr_scale)
        bundle = find_bundle(name)
        with Unfilled() if pretrained else nullcontext():
            self.network = build_speech_network(name, bundle, options or {})
        if pretrained and checkpoint is not None:
            load_weights(self.network, read_weights(checkpoint), checkpoint, optional=("aux.",))
        elif pretrained:
            load_weights(self.network, download(name, bundle), name, optional=("aux.",))
        self.normalise_waveform = bool(bundle._normalize_waveform)
        self.attention_biased = bundle._model_type == "WavLM"
        self.frozen_features = frozen_features
        if frozen_features:
            self.network.feature_extractor.requires_grad_(False)
        self.out_dim = int(self.network.encoder.transformer.pos_conv_embed.embed_dim)
        extractor = self.network.feature_extractor
        windows = tuple((layer.kernel_size, layer.stride, 0) for layer in extractor.conv_layers)
        grid = TokenGrid(int(bundle.sample_rate), windows)
        self.processor = AudioProcessor(grid.sample_rate_hz, max_seconds, receptive_field(windows), grid)
        self.tune(trainable_last_n, layer_decay, gradient_checkpointing, lora)

    def continuous(self, inputs: Inputs) -> Continuous:
        """See ``continuous_waveform``."""
        return continuous_waveform(inputs)

    def encode(self, inputs: Inputs) -> Encoded:
        """waveform (B, T), mask (B, T) -> tokens (B, L, D), mask (B, L)."""
        mask = inputs["mask"]
        waveform, samples = blank(inputs["waveform"], mask), mask.sum(1)
        if self.normalise_waveform:
            waveform = standardise_channels(waveform.unsqueeze(1), mask).squeeze(1)
        if self.frozen_features:
            with torch.no_grad():
                features, frames = self._extract(waveform, samples)
        else:
            features, frames = self._extract(waveform, samples)
        real = torch.arange(features.shape[1], device=mask.device) < frames.unsqueeze(1)  # (B, L)
        projected = self.network.encoder.feature_projection(blank(features, real))
        return Encoded.from_tokens(self._transform(blank(projected, real), real), real)

    def _extract(self, waveform: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
        """waveform (B, T), its real samples (B,) -> features (B, L, D'), real frames (B,)."""
        return speech_frames(self.network.feature_extractor.conv_layers, waveform, samples)

    def _transform(self, x: Tensor, real: Tensor) -> Tensor:
        """x (B, L, D), zeros where not real -> tokens (B, L, D)."""
        transformer = self.network.encoder.transformer
        x = transformer._preprocess(x)
        keys = attended_frames(real)
        masks: dict[str, Tensor | None]
        if self.attention_biased:
            masks = {"key_padding_mask": torch.zeros_like(keys, dtype=x.dtype).masked_fill(~keys, -torch.inf)}
        else:
            size = (x.shape[0], 1, x.shape[1], x.shape[1])  # len(x) would fix the size of an exported batch
            masks = {"attention_mask": keys[:, None, None, :].expand(size)}
        bias = None
        for layer in transformer.layers:
            if self.checkpointed and self.training:
                x, bias = checkpoint(partial(layer, **masks), x, position_bias=bias, use_reentrant=False)
            else:
                x, bias = layer(x, position_bias=bias, **masks)
        return x if transformer.layer_norm_first else transformer.layer_norm(x)

    def layers(self) -> list[list[nn.Parameter]]:
        """Convolutions and projection, then each transformer layer."""
        transformer = self.network.encoder.transformer
        final = [] if transformer.layer_norm_first else [transformer.layer_norm]
        return stack(self.network, list(transformer.layers), final)

    def checkpoint_gradients(self) -> None:
        """Gradient checkpointing of the transformer's layers."""
        self.checkpointed = True

    @classmethod
    def rebuild_args(cls, args: dict[str, Any], folder: Path) -> dict[str, Any]:
        """The same encoder with random weights; everything else is in its arguments."""
        return {**args, "pretrained": False, "checkpoint": None}


def find_bundle(name: str) -> Any:
    """A bundle of ``torchaudio.pipelines`` by its name in lower case.

    Raises:
        ConfigError: there is none.
    """
    from torchaudio import pipelines

    bundles = {
        key.lower(): value for key, value in vars(pipelines).items() if isinstance(value, pipelines.Wav2Vec2Bundle)
    }
    if name not in bundles:
        raise ConfigError(f"The speech model '{name}' is unknown to torchaudio. {nearest(name, bundles)}")
    return bundles[name]


def build_speech_network(name: str, bundle: Any, options: dict[str, Any]) -> nn.Module:
    """A bundle's architecture with random weights and without the head that predicts letters.

    Raises:
        ConfigError: an option is unknown or does not fit.
    """
    from torchaudio import models

    factory = models.wavlm_model if bundle._model_type == "WavLM" else models.wav2vec2_model
    unknown = [key for key in options if key not in bundle._params]
    if unknown:
        raise ConfigError(f"'{unknown[0]}' is no option of {name}. {nearest(unknown[0], bundle._params)}")
    try:
        network: nn.Module = factory(**{**bundle._params, **options, "aux_num_out": None})
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"{name} cannot be built with the options {options}: {error}") from error
    return network


def download(name: str, bundle: Any) -> dict[str, Tensor]:
    """A bundle's weights, from torch's cache or else from the network.

    Raises:
        WeightsError: they are not in the cache and cannot be downloaded.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(bundle._path).name
    reason = f"{SERVER} does not answer and {cached} does not exist."
    if cached.is_file() or reachable(SERVER):
        try:
            weights: dict[str, Tensor] = bundle._get_state_dict({"map_location": "cpu", "weights_only": True})
            return weights
        except (OSError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    raise WeightsError(
        f"The weights of the speech model '{name}' cannot be had: {reason} A local file works too: "
        f"encoders.audio.checkpoint=/path/to/{Path(bundle._path).name}. {OFFLINE_CHOICES}"
    )
