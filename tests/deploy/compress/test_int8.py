"""int8 exports: near float32 for every subset, smaller, and what is quantised is what was asked for."""

import itertools

import pytest
import torch

from installed import skip_without
from mmbert.deploy.compress.int8 import quantize_export
from mmbert.deploy.export import export_model
from mmbert.deploy.exported_graph import flat_inputs
from mmbert.deploy.onnx_model import OnnxModel
from mmbert.deploy.trial_inputs import made_inputs
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.concat import ConcatFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification

skip_without("onnxruntime")


@pytest.fixture(scope="module")
def float32(tmp_path_factory):
    torch.manual_seed(0)
    encoders = {"text": TextEncoder("tiny"), "image": ImageEncoder("tiny", pretrained=False)}
    fusion = ConcatFusion({name: encoder.out_dim for name, encoder in encoders.items()}, 8)
    model = MultimodalModel(encoders, fusion, {"answer": Classification(8, "answer", ["a", "b", "c"])}).eval()
    processors = {name: encoder.processor for name, encoder in encoders.items()}
    batches = [made_inputs(processors, 6, seed) for seed in range(3)]
    folder = tmp_path_factory.mktemp("int8") / "float32"
    export_model(model, folder, batches)
    return model, batches, folder


@pytest.mark.parametrize("calibrated", [True, False])
def test_int8_answers_nearly_as_float32_with_every_subset(float32, calibrated, tmp_path):
    model, batches, folder = float32
    feeds = [{key: x.numpy() for key, x in flat_inputs(batch).items()} for batch in batches if calibrated]
    done = quantize_export(folder, tmp_path / "int8", feeds)
    assert done["products"] > 0 and (done["convolutions"] > 0) == calibrated
    graph = OnnxModel(tmp_path / "int8", threads=1)
    for kept in itertools.product([True, False], repeat=2):
        if not any(kept):
            continue
        inputs = {
            name: x if there else {**x, "mask": torch.zeros_like(x["mask"])}
            for (name, x), there in zip(batches[0].items(), kept, strict=True)
        }
        with torch.inference_mode():
            wanted = model(inputs).outputs["answer"]["logits"]
        found = graph.outputs(inputs)["answer"]["logits"]
        assert 0 < float((found - wanted).abs().max()) < 0.1 * float(wanted.abs().max())
    assert (tmp_path / "int8/model.onnx").stat().st_size < (folder / "model.onnx").stat().st_size
