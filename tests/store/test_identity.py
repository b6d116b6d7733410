"""Whatever changes an encoder's numbers changes its name, and nothing else does."""

import importlib
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.pretrained.fingerprint import weights_fingerprint
from mmbert.encoders.text import TextEncoder
from mmbert.store.identity import code_fingerprint, encoder_identity, identity_hash, prepared_identity


def text(**options):
    torch.manual_seed(0)
    return TextEncoder("tiny", **{"frozen": True, **options})


def image(**options):
    torch.manual_seed(0)
    return ImageEncoder("tiny", **{"frozen": True, **options})


def audio(**options):
    torch.manual_seed(0)
    return MelspecCNN(24, (4, 8), (2, 2), 16, **{"frozen": True, **options})


def tokens_name(encoder):
    return identity_hash(encoder_identity(encoder))


def inputs_name(encoder):
    return identity_hash(prepared_identity(encoder))


def with_another_weight(encoder):
    state = encoder.state_dict()
    name = next(name for name, tensor in state.items() if tensor.is_floating_point() and tensor.numel() > 3)
    state[name] = state[name] * (1 + 1e-6)
    encoder.load_state_dict(state)
    return encoder


DIFFERENT = {
    "pooling": (text, {"pooling": "cls"}),
    "max_tokens": (text, {"max_tokens": 64}),
    "layers": (text, {"config": {"num_hidden_layers": 1}}),
    "norm": (text, {"config": {"layer_norm_eps": 1e-6}}),
    "size": (image, {"image_size": 24}),
    "fit": (image, {"fit": "pad"}),
    "seconds": (audio, {"max_seconds": 3.0}),
    "hop": (audio, {"hop_seconds": 0.02}),
}
THE_SAME = {
    "lr": (text, {"lr_scale": 3.0}),
    "memory": (text, {"remember_mib": 1}),
    "decay": (image, {"layer_decay": 0.5}),
    "audio lr": (audio, {"lr_scale": 3.0}),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_options_that_change_numbers_change_the_name(case):
    make, options = DIFFERENT[case]
    assert tokens_name(make()) == tokens_name(make())
    assert tokens_name(make(**options)) != tokens_name(make())


@pytest.mark.parametrize("case", THE_SAME)
def test_options_that_change_no_number_leave_the_name(case):
    make, options = THE_SAME[case]
    assert tokens_name(make(**options)) == tokens_name(make())


@pytest.mark.parametrize("make", [text, image, audio])
def test_one_weight_in_its_last_digits_changes_the_name(make):
    assert tokens_name(with_another_weight(make())) != tokens_name(make())
    assert inputs_name(with_another_weight(make())) == inputs_name(make())  # weights are no part of preprocessing


@pytest.mark.parametrize(("make", "options"), [(text, {"max_tokens": 64}), (image, {"fit": "pad"})])
def test_preprocessing_has_a_name_of_its_own(make, options):
    assert inputs_name(make(**options)) != inputs_name(make())
    assert inputs_name(make(frozen=False)) == inputs_name(make())


def test_a_tokenizer_that_was_used_is_the_same_tokenizer():
    encoder = text()
    before = inputs_name(encoder)
    encoder.processor.collate(["a long text " * 50, "short"])  # truncation and padding are set in the backend
    assert inputs_name(encoder) == before


def test_another_vocabulary_is_another_tokenizer():
    encoder = text()
    before = inputs_name(encoder)
    encoder.processor.tokenizer.add_tokens(["mmbert"])
    assert inputs_name(encoder) != before


def test_weights_are_known_by_name_shape_type_and_number():
    base = nn.Linear(2, 3)
    same = nn.Linear(2, 3)
    same.load_state_dict(base.state_dict())
    assert weights_fingerprint(base) == weights_fingerprint(same)
    turned = nn.Linear(3, 2)
    turned.load_state_dict({"weight": base.weight.reshape(2, 3), "bias": base.bias[:2]})
    halved = nn.Linear(2, 3).to(torch.bfloat16)
    assert len({weights_fingerprint(module) for module in (base, turned, nn.Sequential(base), halved)}) == 4


def test_code_that_is_edited_changes_the_name(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "my_net.py").write_text("from torch import nn\nclass Net(nn.Module):\n    scale = 1\n")
    before = code_fingerprint([importlib.import_module("my_net").Net])
    (tmp_path / "my_net.py").write_text("from torch import nn\nclass Net(nn.Module):\n    scale = 2\n")
    assert code_fingerprint([sys.modules["my_net"].Net]) != before


def test_code_that_reads_files_counts_though_it_lies_beside_the_class(tmp_path, monkeypatch):
    (tmp_path / "my_reader.py").write_text("def read():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("my_reader")
    before = code_fingerprint([], ["my_reader"])
    (tmp_path / "my_reader.py").write_text("def read():\n    return 2\n")
    assert code_fingerprint([], ["my_reader"]) != before != code_fingerprint([])


def test_files_of_the_same_name_are_hashed_in_the_same_order_by_every_process(tmp_path):
    for number in range(4):
        folder = tmp_path / f"part{number}"
        folder.mkdir()
        (folder / "net.py").write_text(f"class Net:\n    scale = {number}\n")
    names = ", ".join(f"'part{number}.net'" for number in range(4))
    program = (
        f"import importlib; from mmbert.store.identity import code_fingerprint; names = [{names}]; "
        "print(code_fingerprint([importlib.import_module(name).Net for name in names]))"
    )
    found = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        ended = subprocess.run(
            [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True, timeout=120
        )
        found.add(ended.stdout)
    assert len(found) == 1
