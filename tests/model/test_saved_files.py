"""The files of a saved model: whatever is damaged is named, and nothing damaged is loaded."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmbert.core.errors import InputError
from mmbert.model import MultimodalModel
from mmbert.model.saved_files import (
    check_saved_files,
    checksums,
    is_finite,
    load_saved_weights,
    read_saved_config,
    read_tensors,
)


def change(folder, **parts):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


def change_tensor(folder, name, changed):
    path = folder / "model.safetensors"
    state = load_file(path)
    state[name] = changed(state[name]).contiguous()
    save_file(state, path)


def test_weights_and_assets_have_checksums_and_the_card_may_be_edited(folder):
    sums = read_saved_config(folder)["checksums"]
    assert set(sums) == {"model.safetensors"} | {
        f"encoders/text/{name}" for name in ("config.json", "tokenizer.json", "tokenizer_config.json")
    }
    (folder / "README.md").write_text("# mine")
    assert checksums(folder) == sums
    assert MultimodalModel.from_pretrained(folder).card == "# mine"


@pytest.mark.parametrize("name", ["model.safetensors", "encoders/text/tokenizer.json"])
def test_a_changed_byte_is_named(folder, name):
    path = folder / name
    content = bytearray(path.read_bytes())
    content[-2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{path} is not the file that was saved: it is damaged, or was changed"):
        MultimodalModel.from_pretrained(folder)
    path.unlink()
    with pytest.raises(InputError, match=rf"{path.name} is missing"):
        MultimodalModel.from_pretrained(folder)


def test_a_file_that_was_changed_on_purpose_is_taken_once_its_line_is_gone(folder):
    change_tensor(folder, bias_of(folder), lambda tensor: tensor + 1)
    with pytest.raises(InputError, match='delete its line under "checksums" in config.json'):
        MultimodalModel.from_pretrained(folder)
    sums = read_saved_config(folder)["checksums"]
    change(folder, checksums={name: value for name, value in sums.items() if name != "model.safetensors"})
    MultimodalModel.from_pretrained(folder)
    check_saved_files(folder, {"checksums": sums}, "encoders/")
    with pytest.raises(InputError):
        check_saved_files(folder, {"checksums": sums})


def bias_of(folder):
    """The name of the last bias of the task's head."""
    return [name for name in load_file(folder / "model.safetensors") if name.startswith("tasks.") and "bias" in name][
        -1
    ]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"encoders": []}, "encoders is no group of parts by name"),
        ({"fusion": None}, "fusion is no part with a class"),
        ({"tasks": {"size": {"class": 3, "args": {}}}}, "tasks.size is no part with a class"),
        ({"tasks": {"size": {"class": "a.B", "args": []}}}, "tasks.size.args is no group of arguments"),
        ({"tasks": {"a.b": {"class": "a.B", "args": {}}}}, "'a.b' can name no part"),
        ({"checksums": [1]}, "checksums is no group of checksums by file"),
        ({"format": "2"}, "format is no whole number"),
    ],
)
def test_a_config_of_another_shape_names_the_place(folder, parts, message):
    change(folder, **parts)
    with pytest.raises(InputError, match=rf"config.json: {message}"):
        read_saved_config(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 10_000])
def test_a_config_that_is_no_json_is_named(folder, content):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"{folder / 'config.json'} (cannot be read|holds no JSON object)"):
        read_saved_config(folder)


@pytest.mark.parametrize("content", [b"", b"\x08", bytes(100), b"\xff" * 100])
def test_a_file_of_weights_that_is_none_is_named(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="a.safetensors cannot be read"):
        read_tensors(tmp_path / "a.safetensors")


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers_are_refused_with_the_tensors_name(folder, odd):
    change(folder, checksums={})
    name = bias_of(folder)
    change_tensor(folder, name, lambda tensor: torch.full_like(tensor, odd))
    with pytest.raises(InputError, match=rf"{folder}: the tensor '{name}' holds NaN or infinity"):
        MultimodalModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"weight": torch.ones(2, 3), "bias": torch.ones(3)}, "size mismatch for bias"),
        ({"weight": torch.ones(2, 3)}, "Missing key.*bias"),
        ({"weight": torch.ones(2, 3), "bias": torch.ones(2), "more": torch.ones(1)}, "Unexpected key.*more"),
        (
            {"weight": torch.ones(2, 3), "bias": torch.ones(2).long()},
            "'bias' is torch.int64, but torch.float32 is need",
        ),
    ],
)
def test_weights_that_do_not_fit(tmp_path, state, message):
    with pytest.raises(InputError, match=message):
        load_saved_weights(torch.nn.Linear(3, 2), state, tmp_path)


def test_a_buffer_that_is_infinite_by_design_may_be_so(tmp_path):
    module = torch.nn.Module()
    module.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    load_saved_weights(module, {"mask": torch.tensor([0.0, -math.inf])}, tmp_path)
    assert is_finite(torch.tensor([1, 2])) and not is_finite(torch.tensor([math.nan]).half())


def test_answers_that_overflow_are_an_error(folder):
    change(folder, checksums={})
    change_tensor(folder, bias_of(folder).replace("bias", "weight"), lambda tensor: tensor * 0 + 3e38)
    for name in load_file(folder / "model.safetensors"):
        if name.startswith("fusion."):  # so that the vector is large, whatever the random weights
            change_tensor(folder, name, lambda tensor: tensor * 1e4)
    with pytest.raises(InputError, match=rf"'size' answers with NaN or infinity: the numbers of {folder} overflow"):
        MultimodalModel.from_pretrained(folder).predict([{"text": "a"}])
