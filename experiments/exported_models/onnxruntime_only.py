"""Answers of an exported model by onnxruntime and NumPy alone: without torch, transformers and this package.

python experiments/exported_models/onnxruntime_only.py FOLDER [text=WORDS] [image=FILE.npy] [audio=FILE.wav] ...

Values by encoder, as preprocessing.json of FOLDER names them; one that is left out is a modality that the sample lacks.
A text is cut into word pieces here, by encoders/NAME/tokenizer.json. A picture is an array (height, width, 3) uint8 of
the model's own size; with Pillow any other file is scaled. A sound is a WAV file of 16 bits at the model's rate. Ready
features are an array (length, width).
"""

import json
import sys
import unicodedata
import wave
from pathlib import Path

import numpy as np
import onnxruntime


def main() -> None:
    """Answers, or says in a line what is wrong and ends with code 2."""
    try:
        print_answers(sys.argv[1:])
    except (Mistake, OSError) as error:
        print(f"onnxruntime_only.py: {error}", file=sys.stderr)
        raise SystemExit(2) from None


class Mistake(ValueError):
    """What was given cannot be used."""


def print_answers(words: list[str]) -> None:
    """Prepares the values, runs the graph, prints each task's answer."""
    folder, given = Path(words[0] if words else ""), dict(word.partition("=")[::2] for word in words[1:])
    if not (folder / "preprocessing.json").is_file():
        raise Mistake(f"Give the folder of an exported model: '{folder}' has no preprocessing.json.")
    spec = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    if "onnx" not in spec["files"]:
        raise Mistake(f"'{folder}' has no graph of ONNX: mmbert-export model=... format=onnx writes one.")
    unknown = set(given) - set(spec["encoders"])
    if unknown or not given or not all(given.values()):
        raise Mistake(f"Give NAME=VALUE for one at least of {', '.join(spec['encoders'])}, and no other name.")
    feeds: dict[str, np.ndarray] = {}
    for name, part in spec["encoders"].items():
        made = READERS[part["kind"]](given[name], part, folder) if name in given else nothing(name, part)
        feeds |= {f"{name}.{key}": value for key, value in made.items()}
    for file in files_of(spec["files"]["onnx"]):
        session = onnxruntime.InferenceSession(folder / file, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        feeds |= dict(
            zip(names, session.run(names, {x.name: feeds[x.name] for x in session.get_inputs()}), strict=True)
        )
    for name, task in spec["tasks"].items():
        print(f"{name}: {answer_of(task, {key: feeds[f'{name}.{key}'][0] for key in task['outputs']})}")


def files_of(files: dict) -> list[str]:
    """The files in the order in which they run."""
    return [files["whole"]] if "whole" in files else [*files["encoders"].values(), files["fusion"]]


def nothing(name: str, part: dict) -> dict[str, np.ndarray]:
    """A modality that the sample lacks: a mask that is False throughout, and zeros."""
    sizes = {"batch": 1, f"{name}_length": part.get("min_samples", 1)}
    return {
        key.partition(".")[2]: np.zeros([sizes.get(size, size) for size in x["shape"]], x["dtype"])
        for key, x in part["inputs"].items()
    }


def answer_of(task: dict, outputs: dict[str, np.ndarray]) -> str:
    """The three likeliest classes, the properties that hold, a number; of other tasks the shapes of what they give."""
    shares = outputs.get("probabilities")
    if shares is not None and task["kind"] == "multilabel":
        return ", ".join(f"{task['classes'][i]} {shares[i]:.3f}" for i in np.flatnonzero(shares > 0.5)) or "none"
    if shares is not None:
        return ", ".join(f"{task['classes'][i]} {shares[i]:.3f}" for i in np.argsort(-shares, kind="stable")[:3])
    if "value" in outputs:
        return f"{float(outputs['value']):.3f}"
    return ", ".join(f"{key} {value.shape}" for key, value in outputs.items())


# --- texts: BERT's word pieces


def read_text(text: str, part: dict, folder: Path) -> dict[str, np.ndarray]:
    """A text -> its word pieces' numbers, with [CLS] and [SEP] at the ends."""
    tokenizer = json.loads((folder / part["folder"] / "tokenizer.json").read_text(encoding="utf-8"))
    if tokenizer["model"]["type"] != "WordPiece":
        raise Mistake("This tokenizer has no word pieces: take the package tokenizers, which reads tokenizer.json.")
    vocabulary, most = tokenizer["model"]["vocab"], part["max_tokens"] - 2
    pieces = [
        piece for word in words_of(text, tokenizer["normalizer"]) for piece in pieces_of(word, tokenizer["model"])
    ]
    ids = np.array([[vocabulary[piece] for piece in ["[CLS]", *pieces[:most], "[SEP]"]]], np.int64)
    return {"input_ids": ids, "token_type_ids": np.zeros_like(ids), "mask": np.ones(ids.shape, bool)}


def words_of(text: str, rules: dict) -> list[str]:
    """Small letters without accents (if the tokenizer says so), parted at spaces, punctuation and Chinese signs."""
    lower = rules["lowercase"]
    strip = lower if rules["strip_accents"] is None else rules["strip_accents"]
    kept = ""
    for letter in text:
        kind = unicodedata.category(letter)
        if letter in "\t\n\r" or kind == "Zs":
            kept += " "
        elif letter not in "\0\ufffd" and kind not in ("Cc", "Cf", "Co", "Cn", "Cs"):
            chinese = rules["handle_chinese_chars"] and unicodedata.name(letter, "").startswith("CJK UNIFIED")
            kept += f" {letter} " if chinese else letter
    if strip:
        kept = "".join(x for x in unicodedata.normalize("NFD", kept) if unicodedata.category(x) != "Mn")
    kept = "".join(x.lower() for x in kept) if lower else kept
    return "".join(f" {x} " if is_punctuation(x) else x for x in kept).split()


def is_punctuation(letter: str) -> bool:
    """As BERT has it: all ASCII that is no letter, digit or space, and Unicode's."""
    ascii_sign = 33 <= ord(letter) <= 126 and not letter.isalnum()
    return ascii_sign or unicodedata.category(letter).startswith("P")


def pieces_of(word: str, model: dict) -> list[str]:
    """The longest pieces from the left; one unknown piece if a part is in no vocabulary."""
    pieces: list[str] = []
    start = 0
    while start < len(word) <= model["max_input_chars_per_word"]:
        prefix = model["continuing_subword_prefix"] if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if prefix + word[start:end] in model["vocab"]), None)
        if end is None:
            return [model["unk_token"]]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces or [model["unk_token"]]


# --- pictures, sounds, features


def read_picture(file: str, part: dict, folder: Path) -> dict[str, np.ndarray]:
    """A picture -> (1, 3, height, width), less the mean, divided by the spread of each colour."""
    height, width = part["size"]
    colours = loaded(file) if file.endswith(".npy") else scaled_picture(file, part)
    if colours.ndim != 3 or colours.shape[2] != 3 or colours.shape[0] > height or colours.shape[1] > width:
        raise Mistake(f"{file}: ({height}, {width}, 3) is wanted, not {colours.shape}.")
    pixels = (colours.astype(np.float32) / 255 - np.float32(part["mean"])) / np.float32(part["std"])
    top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
    full = np.zeros((height, width, 3), np.float32)  # 0, the mean colour, around a smaller one
    full[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return {"pixels": full.transpose(2, 0, 1)[None], "mask": np.ones((1, 1), bool)}


def loaded(file: str) -> np.ndarray:
    """An array of a .npy file."""
    try:
        return np.load(file)
    except (ValueError, EOFError) as error:
        raise Mistake(f"{file} is no array of numbers in .npy ({error}).") from None


def scaled_picture(file: str, part: dict) -> np.ndarray:
    """A picture's colours (height, width, 3) at the model's size, or smaller where it keeps its proportions."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    height, width = part["size"]
    how = Image.Resampling[part["interpolation"].upper()]
    if part["fit"] == "crop":  # scaled so that crop_pct of the shorter side stays, and cut around the centre
        frame = [int(side / part["crop_pct"]) for side in (width, height)]
        scale = max(frame[0] / picture.width, frame[1] / picture.height)
        target = [
            max(least, int(side * scale + 1e-6)) for least, side in zip((width, height), picture.size, strict=True)
        ]
        left, top = round((target[0] - width) / 2), round((target[1] - height) / 2)
        return np.asarray(picture.resize(target, how).crop((left, top, left + width, top + height)))
    scale = min(height / picture.height, width / picture.width)
    kept = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return np.asarray(picture.resize(kept if part["fit"] == "pad" else (width, height), how))


def read_sound(file: str, part: dict, folder: Path) -> dict[str, np.ndarray]:
    """A WAV file of 16 bits -> (1, T), the mean of its channels, full scale ±1."""
    try:
        with wave.open(file) as sound:
            rate, channels, size = sound.getframerate(), sound.getnchannels(), sound.getsampwidth()
            raw = sound.readframes(sound.getnframes())
    except (wave.Error, EOFError) as error:
        raise Mistake(f"{file} is no WAV file of 16 bits ({error}).") from None
    if size != 2 or rate != part["sample_rate_hz"]:
        raise Mistake(f"{file}: 16 bits and {part['sample_rate_hz']} Hz are wanted, not {8 * size} and {rate}.")
    waveform = np.frombuffer(raw, "<i2").reshape(-1, channels).mean(1, dtype=np.float32) / np.float32(32768)
    waveform = waveform[: int(part["max_seconds"] * rate)]
    waveform = np.pad(waveform, (0, max(0, part["min_samples"] - len(waveform))))[None]
    return {"waveform": waveform, "mask": np.ones(waveform.shape, bool)}


def read_features(file: str, part: dict, folder: Path) -> dict[str, np.ndarray]:
    """An array (length, width) -> (1, length, width)."""
    vectors = loaded(file).astype(np.float32)[None, : part["max_tokens"]]
    return {"features": vectors, "mask": np.ones(vectors.shape[:2], bool)}


READERS = {"text": read_text, "image": read_picture, "audio": read_sound, "features": read_features}

if __name__ == "__main__":
    main()
