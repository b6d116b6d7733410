"""``experiments/exported_models/onnxruntime_only.py``: the model's answers without torch and this package."""

import importlib.util
import json
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from installed import skip_without
from mmbert.deploy.preprocessing import describe_processor
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.text import TextEncoder

SCRIPT = Path(__file__).parents[2] / "experiments" / "exported_models" / "onnxruntime_only.py"
#: What the process must do without.
BLOCKED = ("torch", "mmbert", "transformers", "tokenizers", "PIL", "scipy", "onnx")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "two", "train", "##s", "un", "##aff", "##able", "uber", "a", "-"]
WORDS += [".", ",", "!", "张", "伟", "##e", "e", "it", "'", "s", "$", "5"]
TEXTS = [
    "Two trains, it's unaffable!",
    "Über  Ünaffable\tA\u0301 a\u0300\n two-trains... $5 (5)",
    "张伟 two张trains",
    "nothing known\u200b here\x00\x07 \ufffd",
    "two " * 40,
    "a" * 150,
    "İt ﬁ \u2028 two\u00a0trains",
]


@pytest.fixture(scope="module")
def script():
    skip_without("onnxruntime")
    spec = importlib.util.spec_from_file_location("onnxruntime_only", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def english_bert(tmp_path_factory):
    """A tiny BERT with word pieces, small letters alone."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("english") / "bert"
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(WORDS), **sizes, max_position_embeddings=64)).save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)}, model_max_length=64).save_pretrained(folder)
    return folder


def test_word_pieces_are_the_tokenizers(script, english_bert, tmp_path):
    encoder = TextEncoder(str(english_bert), pretrained=False, max_tokens=20)
    encoder.save_assets(tmp_path / "encoders" / "text")
    part = {**describe_processor(encoder.processor), "folder": "encoders/text"}
    for text in TEXTS:
        wanted = encoder.processor.collate([encoder.processor.prepare(text)])
        found = script.read_text(text, part, tmp_path)
        assert found["input_ids"].tolist() == wanted["input_ids"].tolist(), text
        assert found["mask"].tolist() == wanted["mask"].tolist()


def write_wav(path, samples, rate=16000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def test_pictures_and_sounds_are_the_processors(script, tmp_path):
    draws = np.random.default_rng(0)
    for fit, size in (("pad", (30, 50)), ("stretch", (30, 50)), ("crop", (32, 32)), ("crop", (40, 90))):
        encoder = ImageEncoder("resnet10t", False, 32, fit=fit)
        colours = draws.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(colours).save(tmp_path / "picture.png")
        wanted = encoder.processor.collate([encoder.processor.prepare(Image.fromarray(colours))])["pixels"].numpy()
        found = script.read_picture(str(tmp_path / "picture.png"), describe_processor(encoder.processor), tmp_path)
        np.testing.assert_allclose(found["pixels"], wanted, rtol=0, atol=1e-5)
    audio = MelspecCNN(24, [4, 8], [2, 2], 16, max_seconds=0.5).processor
    for count in (10, 5000, 9000):
        samples = draws.integers(-20000, 20000, count)
        write_wav(tmp_path / "sound.wav", samples)
        wanted = audio.prepare(((samples / 32768).astype(np.float32), 16000)).numpy()
        found = script.read_sound(str(tmp_path / "sound.wav"), describe_processor(audio), tmp_path)["waveform"][0]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-7)
    write_wav(tmp_path / "sound.wav", samples, 8000)
    with pytest.raises(script.Mistake, match="16000 Hz are wanted, not 16 and 8000"):
        script.read_sound(str(tmp_path / "sound.wav"), describe_processor(audio), tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give the folder of an exported model"),
        (["nowhere", "text=x"], "'nowhere' has no preprocessing.json"),
        (["torch_alone", "text=x"], "mmbert-export model=... format=onnx writes one"),
        (["whole"], "Give NAME=VALUE for one at least of image, audio"),
        (["whole", "tekst=x"], "Give NAME=VALUE for one at least of image, audio"),
        (["whole", "image=none.npy"], "No such file or directory: 'none.npy'"),
        (["whole", "image=words.npy"], "words.npy is no array of numbers"),
        (["whole", "image=large.npy"], "large.npy: (32, 32, 3) is wanted, not (40, 40, 3)"),
        (["whole", "audio=words.npy"], "words.npy is no WAV file"),
    ],
)
def test_mistakes_end_with_code_2_and_one_line(words, message, script, tmp_path, monkeypatch, capsys):
    encoders = {"image": {"kind": "image", "size": [32, 32], "inputs": {}}, "audio": {"kind": "audio", "inputs": {}}}
    for name, files in (("whole", {"onnx": {"whole": "model.onnx"}}), ("torch_alone", {"torch": {}})):
        (tmp_path / name).mkdir()
        spec = {"encoders": encoders, "files": files, "tasks": {}}
        (tmp_path / name / "preprocessing.json").write_text(json.dumps(spec))
    (tmp_path / "words.npy").write_text("no array")
    np.save(tmp_path / "large.npy", np.zeros((40, 40, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["onnxruntime_only.py", *words])
    with pytest.raises(SystemExit) as ended:
        script.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and message in line and line.startswith("onnxruntime_only.py: ")


@pytest.mark.slow
def test_it_answers_as_the_model_in_a_process_that_has_numpy_and_onnxruntime_alone(english_bert, tmp_path):
    skip_without("onnxruntime")
    from exportable_models import model_of
    from mmbert.deploy.export import export_model
    from mmbert.deploy.trial_inputs import made_inputs
    from mmbert.tasks.classification import Classification
    from mmbert.tasks.regression import Regression

    torch.manual_seed(0)
    encoders = {
        "text": TextEncoder(str(english_bert), pretrained=False, max_tokens=20),
        "image": ImageEncoder("resnet10t", False, 32, fit="pad"),
        "audio": MelspecCNN(24, [4, 8], [2, 2], 16, max_seconds=0.5),
    }
    tasks = {
        "answer": lambda dims: Classification(8, "answer", ["red", "green", "blue"]),
        "size": lambda dims: Regression(8, "size", mean=3.0, std=2.0),
    }
    model = model_of(encoders, tasks)
    processors = {name: encoder.processor for name, encoder in encoders.items()}
    export_model(model, tmp_path / "out", [made_inputs(processors, 4, seed) for seed in (0, 1)], ("onnx",))
    draws = np.random.default_rng(1)
    colours, samples = draws.integers(0, 256, (32, 32, 3), dtype=np.uint8), draws.integers(-9000, 9000, 6000)
    np.save(tmp_path / "picture.npy", colours)
    write_wav(tmp_path / "sound.wav", samples)
    raw = {
        "text": "Two unaffable trains.",
        "image": Image.fromarray(colours),
        "audio": ((samples / 32768).astype(np.float32), 16000),
    }
    words = {"text": f"text={raw['text']}", "image": "image=picture.npy", "audio": "audio=sound.wav"}
    start = (
        "import runpy, sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {BLOCKED}:\n"
        "            raise ImportError(f'{name} is blocked')\n"
        "sys.meta_path.insert(0, Block())\n"
        "try:\n"
        "    import torch\n"
        "except ImportError:\n"
        "    print('alone')\n"
        f"sys.argv = ['script', *sys.argv[1:]]\nrunpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    )
    for kept in (("text",), ("image", "audio"), ("text", "image", "audio")):
        command = [sys.executable, "-c", start, "out", *(words[name] for name in kept)]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        answer = model.predict([{name: raw[name] for name in kept}])[0]
        ranked = sorted(answer["answer"]["probabilities"].items(), key=lambda pair: -pair[1])
        shown = ", ".join(f"{name} {share:.3f}" for name, share in ranked)
        assert run.stdout.splitlines() == ["alone", f"answer: {shown}", f"size: {answer['size']['prediction']:.3f}"]
