"""Tiny random models as transformers saves them, one folder each: what a hub name would give, without a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

#: The seven convolutions of wav2vec 2.0, narrow.
SPEECH = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": [16] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
CLAP = {
    "num_mel_bins": 16,
    "spec_size": 64,
    "patch_size": 4,
    "patch_stride": [4, 4],
    "patch_embeds_hidden_size": 8,
    "depths": [1, 1],
    "num_attention_heads": [2, 2],
    "num_hidden_layers": 2,
    "window_size": 4,
    "hidden_size": 16,
    "projection_dim": 12,
}
BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 60}


def whisper() -> tuple[Any, Any]:
    """Two seconds, 16 bands."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    sizes = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "decoder_start_token_id": 1}
    config = WhisperConfig(**sizes, **heads, **ids, vocab_size=60, num_mel_bins=16, max_source_positions=100)
    return WhisperForConditionalGeneration(config), WhisperFeatureExtractor(feature_size=16, chunk_length=2)


def ast() -> tuple[Any, Any]:
    """1.3 seconds, 24 bands."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    shape = {"num_mel_bins": 24, "max_length": 128}
    patches = {"patch_size": 8, "frequency_stride": 5, "time_stride": 5}
    model = ASTForAudioClassification(ASTConfig(**sizes, **shape, **patches))
    return model, ASTFeatureExtractor(**shape, mean=-3.0, std=2.5)


def clap(fused: bool = False) -> tuple[Any, Any]:
    """One second at 8 kHz, 16 bands."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    audio = {**CLAP, "enable_fusion": fused, "fusion_num_hidden_layers": 1, "aff_block_r": 2}
    model = ClapModel(ClapConfig(audio_config=audio, text_config={**BERT, "projection_dim": 12}, projection_dim=12))
    options = {"hop_length": 32, "fft_window_size": 256, "max_length_s": 1, "frequency_max": 4000}
    truncation = "fusion" if fused else "rand_trunc"
    return model, ClapFeatureExtractor(feature_size=16, sampling_rate=8000, truncation=truncation, **options)


def clap_fused() -> tuple[Any, Any]:
    """The same with a way for longer sounds."""
    return clap(True)


def wav2vec2() -> tuple[Any, Any]:
    """A base model: a norm over time in the first convolution."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    return Wav2Vec2ForCTC(Wav2Vec2Config(**SPEECH, vocab_size=30)), Wav2Vec2FeatureExtractor()


def wav2vec2_large() -> tuple[Any, Any]:
    """A large model: norms over channels."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    return Wav2Vec2Model(Wav2Vec2Config(**SPEECH, **LAYER_NORM)), Wav2Vec2FeatureExtractor(return_attention_mask=True)


def hubert() -> tuple[Any, Any]:
    """HuBERT base."""
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    return HubertModel(HubertConfig(**SPEECH)), Wav2Vec2FeatureExtractor(do_normalize=False)


def wavlm() -> tuple[Any, Any]:
    """WavLM base."""
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMModel

    return WavLMModel(WavLMConfig(**SPEECH, num_buckets=32, max_bucket_distance=80)), Wav2Vec2FeatureExtractor()


AUDIO_MODELS = {
    "whisper": whisper,
    "ast": ast,
    "clap": clap,
    "clap_fused": clap_fused,
    "wav2vec2": wav2vec2,
    "wav2vec2_large": wav2vec2_large,
    "hubert": hubert,
    "wavlm": wavlm,
}


SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
PICTURES = {**SIZES, "image_size": 32, "patch_size": 8}
WORDS = {**SIZES, "vocab_size": 64, "max_position_embeddings": 16}
ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}


def clip() -> tuple[Any, Any]:
    """CLIP for pictures of 32 × 32, cut out of 36."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    config = CLIPConfig(
        vision_config={**PICTURES, "projection_dim": 24}, text_config={**WORDS, **ENDS}, projection_dim=24
    )
    return CLIPModel(config), CLIPImageProcessorPil(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32})


def siglip() -> tuple[Any, Any]:
    """SigLIP for pictures of 32 × 32."""
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    model = SiglipModel(SiglipConfig(vision_config=PICTURES, text_config={**WORDS, **ENDS}))
    return model, SiglipImageProcessorPil(size={"height": 32, "width": 32})


IMAGE_MODELS = {"clip": clip, "siglip": siglip}


def letters(most: int = 16) -> Any:
    """A tokenizer of letters for texts of so many tokens, whose padding is the end of a text, as CLIP's is."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    end = "</s>"
    words = ["?", "<s>", end, *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"<s> $A {end}", pair=f"<s> $A {end} $B {end}", special_tokens=[("<s>", 1), (end, 2)]
    )
    named = {"unk_token": "?", "bos_token": "<s>", "eos_token": end, "pad_token": end}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=most, **named)


#: The longest sound that each model reads; others read any.
MODEL_SECONDS = {"whisper": 2.0, "ast": 1.28, "clap": 1.0, "clap_fused": 1.0}


def saved(make: Any, folder: Path, seed: int = 0) -> str:
    """Builds a model with weights drawn wide enough that a fault is seen, saves it with what prepares its inputs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, preparer = make()
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "original" not in name:
                torch.nn.init.normal_(parameter, 0, 0.07)
            elif "norm" in name and name.endswith("bias"):
                torch.nn.init.normal_(parameter, 0, 0.1)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    preparer.save_pretrained(folder)
    return str(folder)
