"""``AudioModelEncoder``: transformers' Whisper, AST, CLAP, wav2vec 2.0, HuBERT, WavLM with their own preprocessing."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from mmbert.core.ranges import Range
from mmbert.encoders.pretrained.towers import load_tower
from mmbert.encoders.pretrained.transformers import quiet_transformers
from mmbert.encoders.processors.extracted import ExtractedProcessor
from mmbert.encoders.tower_encoder import TowerEncoder
from mmbert.encoders.towers.clap import ClapTower
from mmbert.encoders.towers.spectrogram import SpectrogramTower
from mmbert.encoders.towers.speech import SpeechTower
from mmbert.encoders.towers.whisper import WhisperTower

TOWERS = (WhisperTower, SpectrogramTower, ClapTower, SpeechTower)


class AudioModelEncoder(TowerEncoder):
    """An audio model of transformers; what its tokens are is said in the files of ``mmbert.encoders.towers``.

    Args:
        name: a model of the Hugging Face hub (``openai/whisper-tiny``), or a local folder with its config.json, weights
            and preprocessor_config.json.
        pretrained: load the weights; False builds the architecture with random ones.
        max_seconds: longer sounds are cut; at most what the model reads (Whisper 30, AST and CLAP about 10).
        frozen: no gradients, always in evaluation mode.
        lr_scale: factor on the learning rate.
        config: overrides of the model's own configuration, such as ``{"num_hidden_layers": 4}``.
        trainable_last_n, layer_decay, gradient_checkpointing, lora: see ``LayeredEncoder.tune``.
        assets: folder of a saved encoder, which replaces hub and folder (set by ``rebuild_args``).

    Raises:
        ConfigError: the model is of another kind, or an option does not fit it.
        WeightsError: the model, or what prepares its inputs, cannot be had.
    """

    kind: ClassVar[str] = "audio"
    network: Any
    processor: ExtractedProcessor

    def __init__(
        self,
        name: str,
        pretrained: bool = True,
        max_seconds: Annotated[float, Range(above=0)] = 10.0,
        frozen: bool = False,
        lr_scale: float = 1.0,
        config: dict[str, Any] | None = None,
        trainable_last_n: Annotated[int | None, Range(1)] = None,
        layer_decay: Annotated[float, Range(above=0)] = 1.0,
        gradient_checkpointing: bool = False,
        lora: dict[str, Any] | None = None,
        assets: str | None = None,
    ) -> None:
        super().__init__(frozen, lr_scale)
        self.init_args.pop("assets", None)  # where this copy came from is no part of how it is built
        with quiet_transformers():
            self.network, extractor = load_tower("audio", name, assets or name, pretrained, config or {}, TOWERS)
        self.processor = self.network.make_processor(extractor, max_seconds)
        self.out_dim = self.network.width
        self.tune(trainable_last_n, layer_decay, gradient_checkpointing, lora)
