"""int8 exports: near float32 for every subset, smaller, and what is quantised is what was asked for."""

import itertools

import pytest
import torch
from torch import nn

from installed import skip_without
from mmbert.core.errors import InputError
from mmbert.deploy.compress import int8
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

COVERS = ("int8", "int8_graph")

skip_without("onnxruntime")


def feeds_of(batches):
    return [{key: x.numpy() for key, x in flat_inputs(batch).items()} for batch in batches]


def count_of(kind, module):
    return sum(isinstance(part, kind) for part in module.modules())


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


@pytest.mark.slow
@pytest.mark.parametrize("calibrated", [True, False])
def test_int8_answers_nearly_as_float32_with_every_subset(float32, calibrated, tmp_path):
    model, batches, folder = float32
    done = quantize_export(folder, tmp_path / "int8", feeds_of(batches) if calibrated else [])
    # what there is to quantise is counted in PyTorch
    text, image = model.named_encoders().values()
    assert done.products == done.all_products == count_of(nn.Linear, text) > 0
    assert done.lookups == count_of(nn.Embedding, text) > 0
    assert done.all_convolutions == count_of(nn.Conv2d, image) > 0
    assert done.convolutions == (done.all_convolutions if calibrated else 0)
    assert done.vectors == count_of(nn.Linear, model) - count_of(nn.Linear, text) > 0
    assert not done.missed
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


@pytest.mark.slow
def test_the_written_graph_has_no_learnt_numbers_in_float32_but_those_of_layers_over_vectors(float32, tmp_path):
    import onnx

    _, batches, folder = float32
    quantize_export(folder, tmp_path / "int8", feeds_of(batches))
    graph = onnx.load(tmp_path / "int8/model.onnx").graph
    big = {x.name for x in graph.initializer if x.data_type == onnx.TensorProto.FLOAT and len(x.dims) >= 2}
    readers = {node.name for node in graph.node if big.intersection(node.input) and node.op_type != "Add"}
    heads = [x for x in onnx.load(folder / "model.onnx").graph.node if x.op_type == "Gemm"]
    assert readers == {f"{node.name}_MatMul" for node in heads}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["MatMul", "Conv", "Gather"])
def test_what_onnxruntime_leaves_out_is_named(kind, float32, tmp_path, monkeypatch):
    import onnx

    _, batches, folder = float32
    learnt = int8.float_nodes(onnx.load(folder / "model.onnx"))
    gone = {"MatMul": learnt.products, "Conv": learnt.convolutions, "Gather": learnt.lookups}[kind][1]
    for name in ("quantize_products", "quantize_convolutions"):
        given = getattr(int8, name)

        def forgetful(path, names, *more, given=given):
            given(path, [name for name in names if name != gone], *more)

        monkeypatch.setattr(int8, name, forgetful)
    done = quantize_export(folder, tmp_path / "int8", feeds_of(batches))
    assert done.missed == (gone,)
    assert done.all_products - done.products == (kind == "MatMul")
    assert done.all_convolutions - done.convolutions == (kind == "Conv")
    assert done.described().endswith(f"; onnxruntime could not quantise {gone}")


def test_a_graph_of_which_nothing_would_be_int8_is_refused(exported, tmp_path):
    with pytest.raises(InputError, match="Nothing of this graph would be int8: it has no embeddings"):
        quantize_export(exported.folder, tmp_path / "int8", [])
    assert not (tmp_path / "int8").exists()


def test_matrices_that_nobody_learnt_stay_float32_also_where_no_other_is_there(tmp_path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def made(name, *shape):
        return numpy_helper.from_array(torch.randn(*shape).numpy(), name)

    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["y"], name="convolution"),
        helper.make_node("Conv", ["y", "window"], ["z"], name="transform"),
        helper.make_node("MatMul", ["z", "filters"], ["out"], name="spectrogram"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, None, 4]) for name in ("x", "out")]
    weights = [made("kernel", 2, 2, 1, 1), made("window", 2, 2, 1, 1), made("filters", 4, 4)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    (tmp_path / "from").mkdir()
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "from/model.onnx")
    feeds = [{"x": torch.randn(1, 2, 5, 4).numpy()} for _ in range(3)]
    done = quantize_export(tmp_path / "from", tmp_path / "to", feeds, fixed={"filters", "window"})
    assert (done.convolutions, done.all_convolutions, done.products, done.missed) == (1, 1, 0, ())
    left = int8.float_nodes(onnx.load(tmp_path / "to/model.onnx"))
    assert (left.products, left.convolutions) == (["spectrogram"], ["transform"])
