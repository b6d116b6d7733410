"""Small models, one for each kind of encoder and of task, and inputs of sizes that no export was traced by."""

import tempfile
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hub_folders import AUDIO_MODELS, IMAGE_MODELS, MODEL_SECONDS, letters, saved
from mmbert.core.types import Inputs
from mmbert.encoders.audio import SpeechEncoder
from mmbert.encoders.audio_model import AudioModelEncoder
from mmbert.encoders.base import Encoder
from mmbert.encoders.conformer import ConformerEncoder
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.image_model import ImageModelEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.attention_pool import AttentionPoolFusion
from mmbert.fusion.mag import MAGFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.base import Task
from mmbert.tasks.classification import Classification
from mmbert.tasks.contrastive_classification import ContrastiveClassification
from mmbert.tasks.extractive_qa import ExtractiveQA
from mmbert.tasks.extractive_summary import ExtractiveSummary
from mmbert.tasks.generation import Generation
from mmbert.tasks.masked_features import MaskedFeatures
from mmbert.tasks.matching import Matching
from mmbert.tasks.mlm import MaskedLanguageModel
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.ordinal import Ordinal
from mmbert.tasks.regression import Regression
from mmbert.tasks.retrieval import Retrieval
from mmbert.tasks.tagging import Tagging
from mmbert.tasks.transcription import Transcription

#: An architecture of torchaudio's bundles, narrow.
SPEECH = {
    "encoder_embed_dim": 32,
    "encoder_num_layers": 2,
    "encoder_num_heads": 4,
    "encoder_ff_interm_features": 64,
    "encoder_pos_conv_groups": 4,
    "extractor_conv_layer_config": [(32, 10, 5), *[(32, 3, 2)] * 4, *[(32, 2, 2)] * 2],
}
BERT = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 32}
WIDTH = 8


def text_tower(name: str) -> Encoder:
    """A tiny text tower of transformers."""
    with tempfile.TemporaryDirectory() as place:
        folder = saved(IMAGE_MODELS[name], Path(place) / name)
        letters(64).save_pretrained(folder)
        return TextEncoder(folder, False, "pooler", max_tokens=24, config={"max_position_embeddings": 64})


def image_model(name: str, projection: bool = False) -> Encoder:
    """A tiny vision tower of transformers."""
    with tempfile.TemporaryDirectory() as place:
        return ImageModelEncoder(saved(IMAGE_MODELS[name], Path(place) / name), projection=projection)


def audio_model(name: str) -> Encoder:
    """A tiny audio model of transformers."""
    with tempfile.TemporaryDirectory() as place:
        folder = saved(AUDIO_MODELS[name], Path(place) / name)
        return AudioModelEncoder(folder, max_seconds=MODEL_SECONDS.get(name, 10.0))


ENCODERS: dict[str, tuple[str, Callable[[], Encoder]]] = {
    "text": ("text", lambda: TextEncoder("tiny")),
    "text_pooler": ("text", lambda: TextEncoder("tiny", pooling="pooler", config=BERT)),
    "text_windows": ("text", lambda: TextEncoder("tiny", max_tokens=96, window=24, overlap=8, config=BERT)),
    "text_frozen": ("text", lambda: TextEncoder("tiny", frozen=True, config=BERT)),
    "clip_text": ("text", lambda: text_tower("clip")),
    "siglip_text": ("text", lambda: text_tower("siglip")),
    "resnet": ("image", lambda: ImageEncoder("resnet10t", False, 32)),
    "efficientnet": ("image", lambda: ImageEncoder("efficientnet_lite0", False, 64)),
    "convnext": ("image", lambda: ImageEncoder("convnext_atto", False, 64, options={"depths": [1, 1, 1, 1]})),
    "vit": ("image", lambda: ImageEncoder("vit_tiny_patch16_224", False, [32, 48], options={"depth": 2})),
    "swin": (
        "image",
        lambda: ImageEncoder("swin_tiny_patch4_window7_224", False, options={"depths": [1, 1, 1, 1], "embed_dim": 24}),
    ),
    "melspec_cnn": ("audio", lambda: MelspecCNN(24, [4, 8], [2, 2], 16, hop_seconds=0.02)),
    "conformer": ("audio", lambda: ConformerEncoder(32, 2, 4, 64)),
    "wav2vec2": ("audio", lambda: SpeechEncoder("wav2vec2_base", False, options=SPEECH)),
    "wav2vec2_large": ("audio", lambda: SpeechEncoder("wav2vec2_large_lv60k", False, options=SPEECH)),
    "wavlm": ("audio", lambda: SpeechEncoder("wavlm_base", False, options=SPEECH)),
    **{
        f"hub_{name}": ("audio", partial(audio_model, name)) for name in ("whisper", "ast", "clap", "wav2vec2", "wavlm")
    },
    "clip": ("image", lambda: image_model("clip", True)),
    "siglip": ("image", lambda: image_model("siglip")),
    "features": ("voice", lambda: FeatureEncoder(5, out_dim=7)),
}

TASKS: dict[str, Callable[[dict[str, int]], Task]] = {
    "classification": lambda dims: Classification(WIDTH, "label", ["a", "b", "c"]),
    "ordinal": lambda dims: Ordinal(WIDTH, "label", ["low", "middle", "high"]),
    "multilabel": lambda dims: Multilabel(WIDTH, "label", ["even", "odd"]),
    "regression": lambda dims: Regression(WIDTH, "label", mean=5.0, std=20.0),
    "contrastive_classification": lambda dims: ContrastiveClassification(WIDTH, "label", ["a", "b"]),
    "retrieval": lambda dims: Retrieval(WIDTH, dims, embed_dim=6),
    "matching": lambda dims: Matching(WIDTH, dims, swap="face"),
    "tagging": lambda dims: Tagging(WIDTH, "label", ["O", "B-X", "I-X"]),
    "extractive_qa": lambda dims: ExtractiveQA(WIDTH, "label"),
    "extractive_qa_no_answer": lambda dims: ExtractiveQA(WIDTH, "label", no_answer=True),
    "extractive_summary": lambda dims: ExtractiveSummary(WIDTH, "label", num_sentences=1),
    "masked_features": lambda dims: MaskedFeatures(WIDTH, dims, modality="face"),
    "transcription": lambda dims: Transcription(WIDTH, "label", ["a", "b", " "]),
    "transcription_alone": lambda dims: Transcription(WIDTH, "label", ["a", "b"], dims, fused=False),
}
#: Tasks that the graph cannot hold.
LEFT_OUT: dict[str, Callable[[dict[str, int]], Task]] = {
    "generation": lambda dims: Generation(WIDTH, "label", dims, decoder="tiny", config=BERT, max_length=6),
    "mlm": lambda dims: MaskedLanguageModel(WIDTH, dims),
}


def model_of(encoders: dict[str, Encoder], tasks: dict[str, Callable[[dict[str, int]], Task]]) -> MultimodalModel:
    """A model whose fusion reads the tokens of all encoders, in evaluation mode."""
    dims = {name: encoder.out_dim for name, encoder in encoders.items()}
    fusion = AttentionPoolFusion(dims, WIDTH)
    return MultimodalModel(encoders, fusion, {name: make(dims) for name, make in tasks.items()}).eval()


def model_with_encoder(name: str) -> MultimodalModel:
    """An encoder beside ready features, so that it can be absent."""
    torch.manual_seed(0)
    modality, build = ENCODERS[name]
    encoders = {modality: build(), "face": FeatureEncoder(6)}
    scramble_norms(encoders[modality])
    return model_of(encoders, {"answer": TASKS["classification"]})


def model_with_tasks(*names: str) -> MultimodalModel:
    """Tasks of texts or, for transcriptions, of sounds, by their names, beside ready features."""
    torch.manual_seed(0)
    first = ("audio", "melspec_cnn") if names[0].startswith("transcription") else ("text", "text")
    encoders = {first[0]: ENCODERS[first[1]][1](), "face": FeatureEncoder(6)}
    return model_of(encoders, {name: (TASKS | LEFT_OUT)[name] for name in names})


def injected_model() -> MultimodalModel:
    """A model whose fusion changes hidden states inside the text encoder."""
    torch.manual_seed(0)
    encoders = {"text": TextEncoder("tiny"), "face": FeatureEncoder(6)}
    fusion = MAGFusion({name: encoder.out_dim for name, encoder in encoders.items()}, WIDTH)
    return MultimodalModel(encoders, fusion, {"answer": Classification(WIDTH, "label", ["a", "b"])}).eval()


def scramble_norms(encoder: Encoder) -> None:
    """Gives batch norms statistics and factors as training would: at their beginnings they compute nothing."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)


def raw_value(processor, length: int, draws: np.random.Generator):
    """A value of about ``length`` words, of 0.04 s each, or vectors; of pictures none of the model's size."""
    if processor.kind == "text":
        return " ".join(draws.choice(["Two", "trains", "7", "blüht", "über", "so."], length))
    if processor.kind == "image":
        return Image.fromarray(draws.integers(0, 256, (30 + length, 70, 3), dtype=np.uint8))
    if processor.kind == "audio":
        return draws.normal(0, 0.2, processor.min_samples + 640 * length).astype(np.float32), 16000
    return draws.normal(0, 2, (length, processor.width)).astype(np.float32)


def fresh_inputs(model: MultimodalModel, size: int, longest: int, seed: int) -> dict[str, Inputs]:
    """A batch with every modality; lengths from 1 to ``longest``, which one sample has."""
    draws = np.random.default_rng(seed)
    found = {}
    for name, encoder in model.named_encoders().items():
        lengths = [longest, *draws.integers(1, longest + 1, size - 1)]
        values = [raw_value(encoder.processor, int(length), draws) for length in lengths]
        found[name] = encoder.processor.collate([encoder.processor.prepare(value) for value in values])
    return found


def absent_patterns(inputs: dict[str, Inputs]) -> list[dict[str, Inputs]]:
    """The batch with each non-empty subset of its modalities, and with another subset in each row."""
    names = list(inputs)
    size = len(inputs[names[0]]["mask"])
    subsets = [set(kept) for count in range(1, len(names) + 1) for kept in combinations(names, count)]
    rows = [[subset] * size for subset in subsets] + [[subsets[row % len(subsets)] for row in range(size)]]
    return [
        {
            name: {**x, "mask": x["mask"] & torch.tensor([name in kept for kept in each]).unsqueeze(1)}
            for name, x in inputs.items()
        }
        for each in rows
    ]
