"""An exported folder: its files run without this package, a difference keeps them out, and parts can be separate."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from installed import skip_without
from mmbert.core.errors import InputError
from mmbert.deploy import export as made
from mmbert.deploy.equality import EXPORT_TOLERANCE, Difference, output_difference, subsets_of
from mmbert.deploy.export import export_model, refuse_unequal
from mmbert.deploy.exported_graph import WholeGraph, flat_inputs
from mmbert.deploy.trial_inputs import made_inputs, trimmed
from mmbert.tasks.generation import Generation

COVERS = ("equality", "export_readme", "exported_graph", "manifest", "onnx_files", "torch_files", "trial_inputs")

skip_without("onnxruntime")


def test_every_subset_was_compared_in_both_formats_and_is_equal(exported):
    assert set(exported.differences) == {"onnx", "torch"}
    for by_subset in exported.differences.values():
        assert set(by_subset) == {("face",), ("voice",), ("face", "voice")}
        assert all(one.scaled < 1e-5 for one in by_subset.values())
    record = json.loads((exported.folder / "export.json").read_text())
    assert [one["modalities"] for one in record["differences"]["onnx"]] == [["face"], ["voice"], ["face", "voice"]]
    assert record["bytes"]["model.onnx"] == (exported.folder / "model.onnx").stat().st_size


def test_the_torch_file_needs_nothing_of_this_package(exported, small_model, small_batches):
    inputs = flat_inputs(small_batches[1])
    torch.save((inputs, WholeGraph(small_model).eval()(inputs)), exported.folder.parent / "wanted.pt")
    code = (
        "import sys, torch\n"
        "inputs, wanted = torch.load('wanted.pt')\n"
        "given = torch.export.load('whole/model.pt2').module(check_guards=False)(inputs)\n"
        "assert not [name for name in sys.modules if name.startswith('mmbert')]\n"
        "assert set(given) == set(wanted)\n"
        "print(max(float((given[k] - wanted[k]).abs().max()) for k in wanted))\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=exported.folder.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(run.stdout) < 1e-5


def test_the_example_in_the_folder_runs(exported):
    page = (exported.folder / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.S)[1]
    assert len(code.splitlines()) <= 18
    run = subprocess.run([sys.executable, "-c", code], cwd=exported.folder, capture_output=True, text=True)
    assert run.returncode == 0 and "mood.logits" in run.stdout, run.stderr


def test_the_description_says_types_shapes_classes_and_what_outputs_are(exported):
    spec = json.loads((exported.folder / "preprocessing.json").read_text())
    assert spec["encoders"]["voice"]["inputs"]["voice.features"] == {
        "dtype": "float32",
        "shape": ["batch", "voice_length", 4],
    }
    mood = spec["tasks"]["mood"]
    assert mood["classes"] == ["glad", "sad", "neither"] and mood["temperature"] == pytest.approx(1.7)
    assert set(mood["outputs"]) == {"logits", "probabilities"}
    assert "softmax" in mood["outputs"]["logits"]["meaning"]
    assert spec["tasks"]["age"]["outputs"]["value"]["dtype"] == "float64"


def test_sizes_have_names_in_the_graph(exported):
    import onnx

    graph = onnx.load(exported.folder / "model.onnx").graph
    shapes = {x.name: [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] for x in graph.input}
    assert shapes["face.features"] == ["batch", "face_length", 6] and shapes["voice.mask"] == ["batch", "voice_length"]


def test_encoders_apart_from_fusion_give_the_same(small_model, small_batches, tmp_path, exported):
    from mmbert.deploy.onnx_model import OnnxModel

    parted = export_model(small_model, tmp_path / "parts", small_batches, ("onnx",), "separate")
    assert parted.files["onnx"] == ["encoder_face.onnx", "encoder_voice.onnx", "fusion.onnx"]
    inputs = made_inputs({n: e.processor for n, e in small_model.named_encoders().items()}, 5, seed=9)
    whole, parts = OnnxModel(exported.folder).outputs(inputs), OnnxModel(parted.folder).outputs(inputs)
    assert_close(parts, whole, rtol=0, atol=1e-5)


def test_encoders_apart_lie_in_their_own_files_alone(small_model, small_batches, tmp_path):
    parted = export_model(small_model, tmp_path / "parts", small_batches, ("torch",), "separate")
    known = {name: tensor for name, tensor in small_model.state_dict().items() if tensor.numel() > 1}
    for file in parted.files["torch"]:
        stored = torch.export.load(parted.folder / file).state_dict
        inside = sum(tensor.numel() for tensor in stored.values() if tensor.numel() > 1)
        name = file.removeprefix("encoder_").removesuffix(".pt2")
        parts = [x for key, x in known.items() if key.startswith(f"encoders.{name}.")]
        if name == "fusion":
            parts = [x for key, x in known.items() if not key.startswith("encoders.")]
        assert inside == sum(x.numel() for x in parts) > 0
    assert all(encoder.state_dict() for encoder in small_model.named_encoders().values())  # the model itself is whole


def test_files_that_differ_are_not_kept(small_model, small_batches, tmp_path, monkeypatch):
    class Off(made.WholeGraph):
        def forward(self, inputs):
            return {name: x + 0.01 for name, x in super().forward(inputs).items()}

    monkeypatch.setattr(made, "WholeGraph", Off)
    with pytest.raises(InputError, match=r"format=torch.* do not give .* is off by 0\.01 .*They were not kept"):
        export_model(small_model, tmp_path / "out", small_batches, ("torch",))
    assert not list(tmp_path.iterdir())


def test_a_difference_is_measured_against_large_outputs_and_absolutely_otherwise():
    x = {"a": torch.tensor([3.0, -1000.0]), "b": torch.tensor([0.1])}
    y = {"a": torch.tensor([3.0, -1000.05]), "b": torch.tensor([0.1002])}
    found = output_difference(x, y)
    assert found.absolute == pytest.approx(0.05, rel=1e-3)
    assert found.output == "b" and found.scaled == pytest.approx(2e-4, rel=1e-3)
    assert output_difference(x, {**y, "a": torch.tensor([3.0, np.nan])}).scaled == np.inf
    assert output_difference({"m": torch.tensor([True])}, {"m": torch.tensor([False])}).scaled == 1
    assert output_difference(x, {**y, "a": y["a"].double()}).scaled == np.inf
    refuse_unequal({"onnx": {("a",): Difference(5.0, EXPORT_TOLERANCE, "x")}})
    with pytest.raises(InputError, match=r"with a \+ b 'x.y' is off by nan"):
        refuse_unequal({"onnx": {("a", "b"): Difference(np.nan, np.nan, "x.y")}})


def test_subsets():
    assert subsets_of(["a", "b"]) == [("a",), ("b",), ("a", "b")] and len(subsets_of("abcd")) == 15


def test_an_answer_that_is_written_token_by_token_is_refused_with_its_reason(small_model, small_batches, tmp_path):
    from mmbert.encoders.features import FeatureEncoder
    from mmbert.fusion.mean import MeanFusion
    from mmbert.model import MultimodalModel

    config = {"hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 16, "num_attention_heads": 2}
    told = Generation(8, "told", {"face": 6}, decoder="tiny", config=config, max_length=6)
    model = MultimodalModel({"face": FeatureEncoder(6)}, MeanFusion({"face": 6}, 8), {"told": told})
    with pytest.raises(InputError, match="No task .* 'told' writes its answer token by token in a loop"):
        export_model(model, tmp_path / "out", small_batches)


def test_what_is_cut_off_leaves_no_gaps_which_the_exporter_cannot_take():
    mask = torch.tensor([[True, True, False, False], [True, True, True, False]])
    found = trimmed({"mask": mask, "input_ids": torch.arange(8).view(2, 4)})
    assert found["input_ids"].tolist() == [[0, 1, 2], [4, 5, 6]]
    assert all(tensor.is_contiguous() for tensor in found.values())
