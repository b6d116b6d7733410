"""``OnnxModel`` gives the model's outputs and predictions, for any batch, length and subset of modalities."""

import json
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from mmbert.core.errors import ConfigError, InputError
from mmbert.deploy.onnx_model import OnnxModel
from mmbert.deploy.trial_inputs import made_inputs

COVERS = ("preprocessing",)


@pytest.fixture(scope="module")
def loaded(exported):
    return OnnxModel(exported.folder, threads=1)


def processors_of(model):
    return {name: encoder.processor for name, encoder in model.named_encoders().items()}


@given(size=st.integers(1, 7), seed=st.integers(0, 50), absent=st.sampled_from(["face", "voice", None]))
@settings(deadline=None, max_examples=20)
def test_outputs_are_the_models_for_other_sizes_and_lengths_than_those_traced_with(
    small_model, loaded, size, seed, absent
):
    inputs = made_inputs(processors_of(small_model), size, seed)
    if absent is not None:
        inputs[absent]["mask"][:] = False
    with torch.inference_mode():
        wanted = small_model(inputs).outputs
    given_outputs = loaded.outputs(inputs)
    for task, outputs in wanted.items():
        for name, tensor in outputs.items():
            assert given_outputs[task][name].dtype == tensor.dtype
            assert_close(given_outputs[task][name], tensor, rtol=0, atol=1e-5)


def test_what_stands_in_padding_and_in_absent_modalities_counts_for_nothing(small_model, loaded):
    inputs = made_inputs(processors_of(small_model), 5)
    inputs["voice"]["mask"][2] = False
    dirty = {
        name: {**x, "features": x["features"].masked_fill(~x["mask"].unsqueeze(-1), torch.nan)}
        for name, x in inputs.items()
    }
    clean, other = loaded.outputs(inputs), loaded.outputs(dirty)
    for task, outputs in clean.items():
        for name, tensor in outputs.items():
            assert_close(other[task][name], tensor, rtol=0, atol=0)


def test_predictions_are_the_models_with_its_temperature(small_model, loaded):
    draw = torch.Generator().manual_seed(3)
    face, voice = torch.randn(4, 6, generator=draw).numpy(), torch.randn(9, 4, generator=draw).numpy()
    samples = [{"face": face, "voice": voice}, {"face": face[:1]}, {"voice": voice}]
    for ours, theirs in zip(loaded.predict(samples, batch_size=2), small_model.predict(samples), strict=True):
        assert ours["mood"]["prediction"] == theirs["mood"]["prediction"]
        assert ours["mood"]["probabilities"] == pytest.approx(theirs["mood"]["probabilities"], abs=1e-6)
        assert ours["age"]["prediction"] == pytest.approx(theirs["age"]["prediction"], abs=1e-5)


def test_probabilities_in_the_graph_are_those_of_the_task(small_model, loaded):
    inputs = made_inputs(processors_of(small_model), 3)
    outputs = loaded.outputs(inputs)["mood"]
    assert_close(outputs["probabilities"], (outputs["logits"] / 1.7).softmax(-1), rtol=0, atol=1e-6)


def test_an_encoder_that_is_left_out_is_absent(small_model, loaded):
    inputs = made_inputs(processors_of(small_model), 2)
    blank = {"features": torch.zeros(2, 1, 4), "mask": torch.zeros(2, 1, dtype=torch.bool)}
    whole = loaded.outputs({"face": inputs["face"], "voice": blank})
    assert_close(loaded.outputs({"face": inputs["face"]})["mood"], whole["mood"])


def test_another_file_of_the_folder_and_other_options_can_be_chosen(exported, tmp_path, small_model):
    import onnxruntime

    folder = tmp_path / "copy"
    shutil.copytree(exported.folder, folder)
    (folder / "model.onnx").rename(folder / "model.int8.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    other = OnnxModel(folder, file="model.int8.onnx", session_options=options)
    assert list(other.sessions) == ["model.int8.onnx"]
    assert other.sessions["model.int8.onnx"].get_session_options().intra_op_num_threads == 1
    assert other.outputs(made_inputs(processors_of(small_model), 2))["age"]["value"].shape == (2,)


def test_mistakes_are_told(exported, loaded, small_model, tmp_path):
    inputs = made_inputs(processors_of(small_model), 2)
    with pytest.raises(InputError, match="no encoder 'fase'. Did you mean 'face'"):
        loaded.outputs({"fase": inputs["face"]})
    inputs["face"]["mask"][1] = False
    with pytest.raises(InputError, match="Sample 1 of the batch has no modality"):
        loaded.outputs({"face": inputs["face"]})
    with pytest.raises(InputError, match="needs the input 'voice.features'"):
        loaded.run({key: x.numpy() for key, x in {"face.mask": inputs["face"]["mask"]}.items()} | {"face.features": 0})
    with pytest.raises(ConfigError, match="exclude each other"):
        OnnxModel(exported.folder, threads=1, session_options=object())
    with pytest.raises(InputError, match="holds no exported model"):
        OnnxModel(tmp_path)
    shutil.copytree(exported.folder, tmp_path / "broken")
    (tmp_path / "broken" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match="onnxruntime refuses"):
        OnnxModel(tmp_path / "broken")
    manifest = json.loads((tmp_path / "broken" / "preprocessing.json").read_text())
    manifest["files"].pop("onnx")
    (tmp_path / "broken" / "preprocessing.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="holds no file of ONNX"):
        OnnxModel(tmp_path / "broken")
