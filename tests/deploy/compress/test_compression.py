"""``mmbert-compress`` as it is typed, on the tiny demo set: every number against one that was measured elsewhere."""

import csv
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmbert.cli import compress as command
from mmbert.cli import evaluate
from mmbert.core.errors import InputError
from mmbert.deploy.compress import samples
from mmbert.deploy.compress.compression import table_of
from mmbert.deploy.compress.int8 import has_vnni
from mmbert.deploy.compress.methods import parse_methods
from mmbert.deploy.compress.training import training_config
from mmbert.deploy.compress.workshop import Workshop
from mmbert.deploy.onnx_model import OnnxModel
from mmbert.model import MultimodalModel

COVERS = ("memory", "samples", "settings", "training", "variant", "workshop")


def typed(module, name, words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *words])
        module.main()


@pytest.fixture(scope="module")
def compressed(finished_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("compressed") / "out"
    methods = "methods=[int8_onnx,structured,magnitude,without]"
    small = ("epochs=1", "bootstraps=20", "rounds=2", "threads=1", "calibration=16", "split=test_missing")
    typed(command, "mmbert-compress", [f"model={finished_run}", methods, *small, f"out={out}", "amount=0.5"])
    return out


@pytest.fixture(scope="module")
def rows(compressed):
    content = json.loads((compressed / "compression.json").read_text())
    return {row["name"]: row for row in content["variants"]}


@pytest.mark.slow
def test_the_original_is_what_the_run_measured(rows, finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    for task, found in rows["original"]["quality"].items():
        assert found["value"] == pytest.approx(metrics[f"test_missing/{task}/{found['metric']}"])
        assert found["difference"] == {"value": 0, "low": 0, "high": 0}
        assert found["low"] <= found["high"]


@pytest.mark.slow
def test_without_a_modality_it_is_what_mmbert_evaluate_measures(rows, finished_run, tmp_path):
    words = [f"model={finished_run}", "split=test_missing", "drop=[text]", f"out={tmp_path / 'evaluated'}"]
    typed(evaluate, "mmbert-evaluate", [*words, "trainer=cpu"])
    metrics = json.loads((tmp_path / "evaluated/evaluation.json").read_text())
    for task, found in rows["without text"]["quality"].items():
        assert found["value"] == pytest.approx(metrics[f"test_missing/{task}/{found['metric']}"])
    assert rows["without text"]["parameters"] < rows["original"]["parameters"]
    assert rows["without text"]["bytes"] < rows["original"]["bytes"]


@pytest.mark.slow
def test_a_pruned_model_is_a_run_that_mmbert_evaluate_measures_alike(rows, compressed, tmp_path):
    for name in ("structured", "magnitude"):
        words = [f"model={compressed / name}", "split=test_missing", f"out={tmp_path / name}", "trainer=cpu"]
        typed(evaluate, "mmbert-evaluate", words)
        metrics = json.loads((tmp_path / name / "evaluation.json").read_text())
        for task, found in rows[name]["quality"].items():
            assert found["value"] == pytest.approx(metrics[f"test_missing/{task}/{found['metric']}"])
    assert rows["structured"]["parameters"] < rows["original"]["parameters"] == rows["magnitude"]["parameters"]
    assert rows["magnitude"]["zeros"] > 1000
    assert rows["magnitude"]["deflated_bytes"] < rows["original"]["deflated_bytes"]


@pytest.mark.slow
def test_int8_is_near_float32_with_every_subset_of_the_modalities(rows, compressed, finished_run):
    graph = OnnxModel(compressed / "int8_onnx", threads=1)
    model = MultimodalModel.from_pretrained(finished_run / "model")
    asked = [{"text": "Add the two numbers.", "audio": (np.random.default_rng(0).normal(0, 0.1, 9000), 16000)}]
    asked += [{"text": asked[0]["text"]}, {"audio": asked[0]["audio"]}]
    for mine, theirs in zip(graph.predict(asked), model.predict(asked), strict=True):
        for key, value in theirs["answer"]["probabilities"].items():
            assert mine["answer"]["probabilities"][key] == pytest.approx(value, abs=0.05)
    assert "matrix products" in rows["int8_onnx"]["remarks"][-1]
    assert rows["int8_onnx"]["bytes"] == (compressed / "int8_onnx/model.onnx").stat().st_size


@pytest.mark.slow
def test_table_and_page_hold_every_variant(rows, compressed):
    lines = list(csv.DictReader((compressed / "compression.csv").open()))
    assert len(lines) == len(table_of(json.loads((compressed / "compression.json").read_text())))
    assert len(lines) == sum(len(row["quality"]) for row in rows.values())
    page = (compressed / "compression.html").read_text()
    for name, row in rows.items():
        assert name in page
        for found in row["latency"].values():
            assert 0 < found["p50_ms"] <= found["p95_ms"]
        assert row["memory"]["peak_mib"] > row["memory"]["imports_mib"] > 10
    assert rows["original"]["latency"]["1"]["speedup"] == 1
    assert any(row["frontier"]["latency"] for row in rows.values())


def test_weights_get_seven_bits_where_the_processor_adds_in_sixteen():
    assert has_vnni("fpu sse avx2 avx512f avx512_vnni") and has_vnni("avx_vnni")
    assert not has_vnni("fpu sse avx2 fma")


def test_a_variant_is_trained_without_trackers_for_its_own_epochs(compose_tiny):
    made = training_config(compose_tiny("trainer.max_steps=3", "encoders_from=elsewhere"), 5, 7)
    assert (made.trainer.max_epochs, made.trainer.max_steps, made.seed) == (5, -1, 7)
    assert made.logger == {} and made.encoders_from is None and made.plots is False


def test_a_variant_that_cannot_be_made_costs_no_other():
    found = Workshop(None, SimpleNamespace(methods=parse_methods(["onnx", "layers"])), lambda what: None)

    def made(method):
        if method.word == "onnx":
            raise InputError("no graph")
        return method.word

    found.variant = made
    assert found.variants() == ["original", "layers"] and found.failed == {"onnx": "no graph"}


@pytest.mark.parametrize("length", [16, 15])
def test_an_export_is_traced_by_a_batch_whose_size_is_no_length(length, monkeypatch):
    def rows(batches, model, count):
        mask = torch.ones(count, length, dtype=torch.bool)
        return [{"text": {"mask": mask}, "image": {"mask": mask[:, :1]}}]

    monkeypatch.setattr(samples, "judged_batches", lambda *given: iter([None]))
    monkeypatch.setattr(samples, "traceable_rows", rows)
    assert len(samples.export_inputs(None, None, "test")[0]["text"]["mask"]) == (15 if length == 16 else 16)
