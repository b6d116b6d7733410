"""Every kind of encoder and of task is exported and gives what PyTorch gives, at sizes that it was not traced by."""

import numpy as np
import pytest
import torch

from exportable_models import (
    ENCODERS,
    LEFT_OUT,
    TASKS,
    absent_patterns,
    fresh_inputs,
    injected_model,
    model_of,
    model_with_encoder,
    model_with_tasks,
    raw_value,
)
from installed import skip_without
from mmbert.core.errors import InputError
from mmbert.deploy.equality import trials
from mmbert.deploy.export import export_model, refuse_parting
from mmbert.deploy.exported_graph import flat_inputs, tasks_in_graph
from mmbert.deploy.onnx_model import OnnxModel
from mmbert.deploy.trial_inputs import made_inputs
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.text import TextEncoder

skip_without("onnxruntime")

#: Samples and the longest length of batches that no graph is traced by.
SIZES = [(1, 1), (1, 30), (5, 2), (9, 30)]


def processors_of(model):
    return {name: encoder.processor for name, encoder in model.named_encoders().items()}


def exported(model, folder, formats=("onnx", "torch"), parts="whole"):
    made = [made_inputs(processors_of(model), 4, seed) for seed in (0, 1)]
    return export_model(model, folder, made, formats, parts)


def runners(done):
    """The files of an export, as functions of flat inputs."""
    found = []
    if "onnx" in done.files:
        found.append(OnnxModel(done.folder, threads=1))
    if "torch" in done.files:
        files = done.files["torch"]
        modules = [torch.export.load(done.folder / name).module(check_guards=False) for name in files]

        def run(inputs):
            known = flat_inputs(inputs)
            if len(modules) == 1:
                return modules[0](known)
            between = {}
            for name, module in zip(files, modules[:-1], strict=False):
                own = name.removeprefix("encoder_").removesuffix(".pt2") + "."
                between |= module({key: x for key, x in known.items() if key.startswith(own)})
            return modules[-1](between)

        found.append(run)
    return found


def compare(model, done, longest=None):
    """Holds files against the model by no code of the package's own, also with another subset in each row.

    Returns:
        How many tensors were compared.
    """
    compared = 0
    for seed, (size, length) in enumerate(SIZES):
        for inputs in absent_patterns(fresh_inputs(model, size, min(length, longest or length), seed)):
            with torch.inference_mode():
                outputs = model(inputs).outputs
                wanted = {
                    f"{task}.{key}": x
                    for task, part in outputs.items()
                    for key, x in part.items()
                    if task not in done.left_out
                }
                given = [
                    one.run({key: x.numpy() for key, x in flat_inputs(inputs).items()})
                    if isinstance(one, OnnxModel)
                    else {key: x.numpy() for key, x in one(inputs).items()}
                    for one in runners_of(done)
                ]
            assert given
            for found in given:
                for key, tensor in wanted.items():
                    mine, theirs = found[key], tensor.numpy()
                    assert mine.shape == theirs.shape and mine.dtype == theirs.dtype, key
                    gap = np.abs(mine.astype(float) - theirs.astype(float)) / max(1, np.abs(theirs).max(initial=0))
                    assert gap.max(initial=0) <= 1e-4, (key, size, length)  # a NaN fails too
                    compared += 1
    return compared


LOADED = {}


def runners_of(done):
    """Loaded once."""
    if done.folder not in LOADED:
        LOADED.clear()
        LOADED[done.folder] = runners(done)
    return LOADED[done.folder]


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder(name, tmp_path):
    model = model_with_encoder(name)
    done = exported(model, tmp_path / "out")
    assert compare(model, done, longest=3 if name == "text_windows" else None) >= 2 * len(SIZES)  # both formats


def answers_alike(mine, theirs):
    """Predictions of two models: the same words and places, and numbers within 1e-4."""
    if isinstance(theirs, dict):
        assert set(mine) == set(theirs)
        for key, value in theirs.items():
            answers_alike(mine[key], value)
    elif isinstance(theirs, (list, tuple)):
        assert len(mine) == len(theirs)
        for one, other in zip(mine, theirs, strict=True):
            answers_alike(one, other)
    elif isinstance(theirs, float):
        assert mine == pytest.approx(theirs, abs=1e-4, nan_ok=True)
    else:
        assert mine == theirs


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "audio"])
def test_every_task_and_its_predictions(kind, tmp_path):
    names = [name for name in TASKS if name.startswith("transcription") == (kind == "audio")]
    model = model_with_tasks(*names)
    done = exported(model, tmp_path / "out")
    assert not done.left_out
    assert compare(model, done) >= len(SIZES)
    draws = np.random.default_rng(0)
    samples = [
        {each: raw_value(processor, length, draws) for each, processor in processors_of(model).items()}
        for length in (1, 5, 9)
    ]
    samples += [{kind: samples[2][kind]}, {"face": samples[1]["face"]}]
    answers_alike(OnnxModel(done.folder, threads=1).predict(samples, batch_size=2), model.predict(samples))


@pytest.mark.slow
def test_encoders_apart_in_both_formats(tmp_path):
    torch.manual_seed(0)
    encoders = {name: ENCODERS[kind][1]() for name, kind in (("text", "text"), ("audio", "melspec_cnn"))}
    model = model_of({**encoders, "image": ENCODERS["vit"][1]()}, {"answer": TASKS["classification"]})
    done = exported(model, tmp_path / "out", parts="separate")
    assert done.files["torch"] == ["encoder_text.pt2", "encoder_audio.pt2", "encoder_image.pt2", "fusion.pt2"]
    assert compare(model, done) >= len(SIZES)


@pytest.mark.slow
def test_pairs_of_texts_and_samples_without_them(tmp_path):
    model = model_with_tasks("extractive_qa_no_answer")
    processors = processors_of(model)
    draws = np.random.default_rng(1)
    samples = [
        {"text": ("Who?", "Two trains in the blue house."), "face": raw_value(processors["face"], 3, draws)},
        {"text": ("Where is it then?", "Seven."), "face": raw_value(processors["face"], 1, draws)},
        {"text": "No question at all.", "face": raw_value(processors["face"], 2, draws)},
    ]
    from mmbert.model.samples import prepared_inputs

    batch, _ = prepared_inputs(samples, processors, [])
    assert "before" in batch["text"]
    export_model(model, tmp_path / "out", [batch], ("onnx",))
    graph = OnnxModel(tmp_path / "out", threads=1)
    more = [{"face": samples[0]["face"]}, {"text": "Alone."}, {"text": samples[0]["text"]}]
    for part in (samples, more, more[:1], more[1:2]):
        answers_alike(graph.predict(part), model.predict(part))


@pytest.mark.slow
def test_what_writes_its_answer_is_left_out_and_the_rest_exported(tmp_path):
    model = model_with_tasks("generation", "classification", "mlm")
    done = exported(model, tmp_path / "out", ("torch",))
    assert list(done.left_out) == ["generation", "mlm"]
    assert "token by token in a loop" in done.left_out["generation"]
    assert compare(model, done) >= len(SIZES)


def test_the_transformer_of_a_speech_model_has_no_fixed_batch():
    encoder = ENCODERS["wav2vec2"][1]().eval()
    del encoder.network.encoder.transformer.layers[1:]

    class Transformer(torch.nn.Module):
        def forward(self, x, real):
            return encoder._transform(x, real)

    real = torch.arange(7) < torch.tensor([7, 3, 5]).unsqueeze(1)
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with torch.no_grad():  # fails where a size was taken for a constant
        traced = torch.export.export(
            Transformer(), (torch.randn(3, 7, 32), real), dynamic_shapes=(sizes, sizes), strict=False
        ).module()
        other, there = torch.randn(2, 11, 32), torch.arange(11) < torch.tensor([11, 4]).unsqueeze(1)
        found, expected = traced(other, there), encoder._transform(other, there)
    torch.testing.assert_close(found[there], expected[there], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_task_that_no_graph_holds_is_refused_with_its_reason(name):
    model = model_with_tasks(name)
    reason = {"generation": "token by token in a loop", "mlm": "tokens that training hides"}[name]
    with pytest.raises(InputError, match=f"No task of the model can be exported: '{name}' .*{reason}"):
        tasks_in_graph(model)


def test_an_encoder_that_a_fusion_works_inside_is_not_parted():
    model = injected_model()
    refuse_parting(model, "whole")
    with pytest.raises(InputError, match=r"MAGFusion changes the hidden states .* of 'text' .*: parts=whole"):
        refuse_parting(model, "separate")


def test_made_texts_end_where_the_first_window_does():
    encoder = TextEncoder("tiny", max_tokens=96, window=24, overlap=8)
    for seed in (0, 1):
        made = made_inputs({"text": encoder.processor}, 6, seed)["text"]
        assert made["mask"].shape == made["input_ids"].shape == (6, 24)  # 14 words are more than 24 letters


def test_texts_as_long_as_the_network_allows_get_no_more_padding():
    config = {"max_position_embeddings": 16}
    encoders = {"text": TextEncoder("tiny", max_tokens=16, config=config), "face": FeatureEncoder(6)}
    model = model_of(encoders, {"answer": TASKS["classification"]})
    inputs = made_inputs(processors_of(model), 4)
    assert inputs["text"]["mask"].shape[1] == 16
    longest = {"text": 16}
    for trial in trials(inputs, ["text", "face"], longest):
        assert model(trial).outputs["answer"]["logits"].isfinite().all()
    *_, padded = trials(inputs, ["text", "face"], longest)
    assert padded["text"]["mask"].shape[1] == 16 and padded["face"]["mask"].shape[1] == 17
    with pytest.raises(RuntimeError, match="must match"):  # what the limit is for
        [model(trial) for trial in trials(inputs, ["text", "face"])]
