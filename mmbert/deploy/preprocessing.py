"""What stands beside exported files: how raw values become the graph's inputs, and what its outputs mean.

``preprocessing.json`` says it in words and numbers for programs in any language; ``rebuild_processors`` makes the
package's own processors of it, without any network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbert.core.errors import InputError
from mmbert.data.modalities.processor import Processor
from mmbert.encoders.base import Encoder
from mmbert.encoders.features import FeatureProcessor
from mmbert.encoders.pretrained.towers import load_preparer_of
from mmbert.encoders.pretrained.transformers import load_tokenizer
from mmbert.encoders.processors.audio import AudioProcessor
from mmbert.encoders.processors.extracted import (
    ClapProcessor,
    SpectrogramProcessor,
    SpeechProcessor,
    WhisperProcessor,
)
from mmbert.encoders.processors.image import ImageProcessor
from mmbert.encoders.processors.log_mel import LogMelProcessor, log_mel_of
from mmbert.encoders.processors.model_images import ModelImageProcessor
from mmbert.encoders.processors.text import TextProcessor
from mmbert.encoders.processors.token_grid import TokenGrid
from mmbert.model import MultimodalModel
from mmbert.tasks.base import Task
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.one_class import OneClass

#: Folder of the encoders' files (tokenizers) in that of an export.
ASSETS = "encoders"
#: What the graph reads of sounds that a feature extractor of transformers prepares, by the processor's class.
EXTRACTED: dict[type[Any], str] = {
    SpeechProcessor: "waveform (B, T), as the extractor gives it; zeros after each sound, mask is True up to its end",
    WhisperProcessor: "frames (B, L, bands) of the extractor, transposed: of T samples the first ceil(T / hop) + 2; "
    "zeros after them, mask is True up to there",
    SpectrogramProcessor: "frames (B, L, bands) of the extractor: of T samples the first (T - window) // hop + 1; "
    "zeros after them, mask is True up to there",
    ClapProcessor: "spectrogram (B, frames, bands), the first that the extractor gives; mask (B, 1)",
}
#: What each output tensor is, by the task's class and the tensor's name; B samples.
MEANINGS: dict[str, dict[str, str]] = {
    "OneClass": {
        "logits": "(B, C), before the softmax (of an ordinal task (B, C - 1), one for each threshold)",
        "probabilities": "(B, C), calibrated, in the order of classes; the answer is the largest",
        "vectors": "(B, H), the fused vector",
    },
    "Multilabel": {
        "logits": "(B, C), before the sigmoid",
        "probabilities": "(B, C), calibrated, in the order of classes; a property holds above 0.5",
    },
    "Regression": {"value": "(B,) float64, in the unit of the table"},
    "Retrieval": {
        "vectors": "(B, M, E), of length 1, in the order of modalities; similarity is the dot product",
        "present": "(B, M) bool, which modalities a sample has",
    },
    "Matching": {
        "logits": "(B,), before the sigmoid, whose value is the probability of a match",
        "paired": "(B,) bool, whether there is a pair to judge",
    },
    "Tagging": {
        "logits": "(B, L, C), of each token of the text; a word's tag is read at its first token",
        "mask": "(B, L) bool, which tokens are real",
    },
    "Transcription": {
        "logits": "(B, L, C + 1), of each frame, before the softmax; the classes are CTC's blank and the letters",
        "frames": "(B,) int64, how many frames are real",
    },
    "ExtractiveQA": {
        "first": "(B, L), score of beginning at a token",
        "last": "(B, L), score of ending at a token",
        "mask": "(B, L) bool, which tokens are real",
        "none": "(B, 2), scores of no answer, beside first and last",
    },
    "ExtractiveSummary": {"scores": "(B, L), read at the first token of each sentence"},
}


def describe_processor(processor: Any) -> dict[str, Any]:
    """What a processor does, as JSON values; of a class from elsewhere its name alone."""
    kind = type(processor)
    found: dict[str, Any] = {"class": f"{kind.__module__}.{kind.__qualname__}", "kind": processor.kind}
    if kind is TextProcessor:
        found |= {
            "tokenizer": "the files in folder, for transformers.AutoTokenizer or (tokenizer.json) tokenizers.Tokenizer",
            "max_tokens": processor.max_tokens,
            "max_before": processor.max_before,
            "window": processor.window,
            "overlap": processor.overlap,
            "positions": None if processor.most_tokens == float("inf") else int(processor.most_tokens),
            "padding": "right, to the longest text of the batch; mask is True at tokens and False at padding",
        }
    elif kind is ImageProcessor:
        found |= {
            "size": list(processor.size),
            "mean": processor.mean.flatten().tolist(),
            "std": processor.std.flatten().tolist(),
            "interpolation": processor.interpolation,
            "crop_pct": processor.crop_pct,
            "fit": processor.fit,
            "pixels": "upright RGB, divided by 255, less mean, divided by std; (3, height, width) float32",
        }
    elif kind in (AudioProcessor, LogMelProcessor):
        found |= {
            "sample_rate_hz": processor.sample_rate_hz,
            "max_seconds": processor.max_seconds,
            "min_samples": processor.min_samples,
            "waveform": "one channel, full scale ±1, float32; zeros after each sound, mask is True up to its end",
            "grid": None if processor.grid is None else [list(window) for window in processor.grid.windows],
        }
        if isinstance(processor, LogMelProcessor):
            found["log_mel"] = {
                "where": "in the graph, which reads waveforms",
                "num_mels": processor.num_mels,
                "window": processor.log_mel.window,
                "hop": processor.log_mel.hop,
            }
    elif kind is ModelImageProcessor:
        found |= {
            "size": list(processor.size),
            "processor": "preprocessor_config.json in folder, for transformers.AutoImageProcessor(backend='pil')",
            "pixels": "what it gives, (3, height, width) float32",
        }
    elif kind in EXTRACTED:
        found |= {
            "sample_rate_hz": processor.sample_rate_hz,
            "max_seconds": processor.max_seconds,
            "min_samples": processor.min_samples,
            "extractor": "preprocessor_config.json in folder, for transformers.AutoFeatureExtractor",
            "inputs": EXTRACTED[kind],
            "grid": None if processor.grid is None else [list(window) for window in processor.grid.windows],
        }
    elif kind is FeatureProcessor:
        found |= {"width": processor.width, "max_tokens": processor.max_tokens, "key": processor.key}
    return found


def rebuild_processor(name: str, described: Mapping[str, Any], folder: Path) -> Processor:
    """The inverse of ``describe_processor``.

    Args:
        name: of the encoder.
        described: its part of ``preprocessing.json``.
        folder: of the export.

    Raises:
        InputError: a class from elsewhere, which must be given as an object.
    """
    kind = described["class"].rpartition(".")[2]
    if kind == "TextProcessor":
        place = folder / ASSETS / name
        tokenizer = load_tokenizer(name, str(place))[1]
        most = float("inf") if described["positions"] is None else described["positions"]
        options = [described[key] for key in ("max_before", "window", "overlap")]
        return TextProcessor(tokenizer, described["max_tokens"], most, *options)
    if kind == "ImageProcessor":
        keys = ("size", "mean", "std", "interpolation", "crop_pct", "fit")
        return ImageProcessor(*(described[key] for key in keys))
    if kind in ("AudioProcessor", "LogMelProcessor"):
        rate, seconds, least, windows = (
            described[key] for key in ("sample_rate_hz", "max_seconds", "min_samples", "grid")
        )
        placed = None if windows is None else tuple((int(a), int(b), int(c)) for a, b, c in windows)
        if kind == "AudioProcessor":
            return AudioProcessor(rate, seconds, least, None if placed is None else TokenGrid(rate, placed))
        mel = described["log_mel"]
        frames = log_mel_of(rate, mel["num_mels"], mel["window"], mel["hop"])
        return LogMelProcessor(frames, rate, seconds, None if placed is None else placed[1:])
    if kind == "ModelImageProcessor":
        return ModelImageProcessor(load_preparer_of(str(folder / ASSETS / name), "image"))
    if (extracted := next((each for each in EXTRACTED if each.__name__ == kind), None)) is not None:
        extractor = load_preparer_of(str(folder / ASSETS / name), "audio")
        if extracted is not SpeechProcessor:
            return extracted(extractor, described["max_seconds"])
        windows = tuple((int(a), int(b), int(c)) for a, b, c in described["grid"])
        grid = TokenGrid(described["sample_rate_hz"], windows)
        return SpeechProcessor(extractor, described["max_seconds"], described["min_samples"], grid)
    if kind == "FeatureProcessor":
        return FeatureProcessor(described["width"], described["max_tokens"], described["key"])
    raise InputError(
        f"{folder}: the inputs of '{name}' are prepared by {described['class']}, a class from outside the package: "
        "give its object, processors={...}."
    )


def describe_encoders(encoders: Mapping[str, Encoder], folder: Path) -> dict[str, Any]:
    """Their processors by name; files that these need are written into the folder.

    Args:
        encoders: of the model.
        folder: of the export.
    """
    found = {}
    for name, encoder in encoders.items():
        place = folder / ASSETS / name
        place.mkdir(parents=True)
        encoder.save_assets(place)
        found[name] = describe_processor(encoder.processor)
        if any(place.iterdir()):
            found[name]["folder"] = f"{ASSETS}/{name}"
        else:
            place.rmdir()
    if not any((folder / ASSETS).iterdir()):
        (folder / ASSETS).rmdir()
    return found


def describe_task(task: Task, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a task answers: its classes, and what each of its output tensors is.

    Args:
        task: in the graph.
        outputs: its tensors' types and shapes by name.
    """
    meanings = next((MEANINGS[kind.__name__] for kind in type(task).__mro__ if kind.__name__ in MEANINGS), {})
    found: dict[str, Any] = {"kind": task.kind, "column": task.column}
    for name in ("classes", "modalities", "answers_from"):
        value = getattr(task, name, None)
        if isinstance(value, (list, tuple, float, int)):
            found[name] = list(value) if isinstance(value, tuple) else value
    if isinstance(task, (OneClass, Multilabel)):
        found["temperature"] = float(task.temperature)
    found["outputs"] = {
        name: {**described, **({"meaning": meanings[name]} if name in meanings else {})}
        for name, described in outputs.items()
    }
    return found


def alignments_needed(model: MultimodalModel, tasks: list[str]) -> list[str]:
    """The modalities whose alignment of tokens with the raw value the tasks' predictions need."""
    named = model.named_tasks()
    return list(dict.fromkeys(name for task in tasks for name in named[task].aligned_to))
