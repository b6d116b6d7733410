"""``mmbert-compress`` as it is typed: students, shortened and int8 models held against other code; how mistakes end."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch import nn

from installed import skip_without
from mmbert.cli import compress as command
from mmbert.cli import evaluate
from mmbert.cli.compress_refusals import refuse_private
from mmbert.deploy.compress.int8 import quantize_torchao
from mmbert.deploy.compress.methods import parse_methods
from mmbert.deploy.compress.samples import judged_batches
from mmbert.model import MultimodalModel
from mmbert.runs.folder import RunFolder
from mmbert.runs.job import write_job

COVERS = ("compress_refusals",)
QUICK = ("epochs=1", "bootstraps=10", "rounds=1", "threads=1", "split=test_missing")


def typed(words, module=command):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module.__name__, *words])
        module.main()


@pytest.fixture(scope="module")
def begun_by_words(finished_run, tiny_run_words, compose_tiny, tmp_path_factory):
    """The finished run as if it had been typed, so that a student's options have something to stand on."""
    folder = tmp_path_factory.mktemp("typed") / "run"
    shutil.copytree(finished_run, folder)
    words = [*tiny_run_words, "+data.splits.test_missing=test_missing"]
    write_job(RunFolder(folder), compose_tiny(words[-1]), words)
    return folder


def rows_of(out):
    return {row["name"]: row for row in json.loads((out / "compression.json").read_text())["variants"]}


def evaluated(model, out):
    """The metrics of a model on the same split by ``mmbert-evaluate``."""
    typed([f"model={model}", "split=test_missing", f"out={out}", "trainer=cpu"], evaluate)
    return json.loads((out / "evaluation.json").read_text())


def assert_measured(row, metrics, tasks):
    """Every task's quality is what another command measured."""
    assert set(row["quality"]) == set(tasks)
    for task, found in row["quality"].items():
        assert found["value"] == pytest.approx(metrics[f"test_missing/{task}/{found['metric']}"], rel=1e-6), task


def assert_sized(row, folder):
    """Size and count of a saved model are those of its file."""
    (file,) = Path(folder).rglob("*.safetensors")
    assert row["bytes"] == file.stat().st_size
    model = MultimodalModel.from_pretrained(folder)
    assert row["parameters"] == sum(weight.numel() for weight in model.parameters())
    assert row["bytes"] > 4 * row["parameters"]


def digest(folder):
    """Of all files of a folder."""
    return {x.name: hashlib.sha256(x.read_bytes()).hexdigest() for x in sorted(folder.rglob("*")) if x.is_file()}


@pytest.mark.slow
def test_a_distilled_student_is_another_than_the_plain_one_and_with_alpha_0_the_same(begun_by_words, tmp_path):
    out, before = tmp_path / "out", digest(begun_by_words / "model")
    words = [f"model={begun_by_words}", "student=[text=none,trainer.max_epochs=1]", "data.on_error=skip", *QUICK]
    typed([*words, "methods=[distil,student]", f"out={out}"])
    assert digest(begun_by_words / "model") == before
    rows = rows_of(out)
    assert list(rows) == ["original", "distil", "student"]
    for name in ("distil", "student"):
        assert_measured(rows[name], evaluated(out / name, tmp_path / name), rows["original"]["quality"])
        assert_sized(rows[name], out / name / "model")
        assert list(MultimodalModel.from_pretrained(out / name / "model").named_encoders()) == ["image", "audio"]
        assert rows[name]["bytes"] < rows["original"]["bytes"]
        # two samples have nothing but a text
        assert [rows[key]["quality"]["answer"]["samples"] for key in ("original", name)] == [12, 10]
    metrics = json.loads((begun_by_words / "metrics.json").read_text())
    assert_measured(rows["original"], metrics, rows["original"]["quality"])
    taught, plain = (load_file(out / name / "model/model.safetensors") for name in ("distil", "student"))
    assert set(taught) == set(plain)
    assert any(not torch.allclose(taught[key].float(), plain[key].float(), atol=1e-5) for key in plain)
    # without a share in the loss the teacher changes nothing: both were trained alike but for it
    typed([*words, "methods=[distil]", "alpha=0", f"out={tmp_path / 'none'}"])
    untaught = load_file(tmp_path / "none/distil/model/model.safetensors")
    assert all(torch.equal(untaught[key], plain[key]) for key in plain)


@pytest.mark.slow
def test_layers_are_fewer_in_the_file_and_torchao_rounds_what_it_says(finished_run, tmp_path):
    skip_without("torchao")
    out = tmp_path / "out"
    typed([f"model={finished_run}", "methods=[layers,int8_torchao]", "amount=0.5", *QUICK, f"out={out}"])
    rows = rows_of(out)
    whole = MultimodalModel.from_pretrained(finished_run / "model")
    short = MultimodalModel.from_pretrained(out / "layers/model")
    counts = [len(model.named_encoders()["text"].network.encoder.layer) for model in (whole, short)]
    assert counts[0] >= 2 and counts[1] == counts[0] - counts[0] // 2
    assert f"text: without {counts[0] // 2} layers" in rows["layers"]["remarks"][0]
    assert_measured(rows["layers"], evaluated(out / "layers", tmp_path / "layers"), rows["original"]["quality"])
    assert_sized(rows["layers"], out / "layers/model")

    data = OmegaConf.create(RunFolder(finished_run).read_config()["data"])
    rounded = quantize_torchao(whole)
    found, wanted = (mean_error_by_hand(model, data) for model in (rounded, whole))
    assert abs(found - wanted) > 1e-5  # int8 is not float32
    assert rows["int8_torchao"]["quality"]["value"]["value"] == pytest.approx(found, rel=1e-5)
    assert rows["original"]["quality"]["value"]["value"] == pytest.approx(wanted, rel=1e-5)
    linear = [x for one in whole.named_encoders().values() for x in one.modules() if isinstance(x, nn.Linear)]
    saved = sum(3 * x.weight.numel() - 5 * x.out_features for x in linear)  # int8, each row a scale and a zero point
    everything = sum(x.numel() * x.element_size() for x in [*whole.parameters(), *whole.buffers()])
    assert rows["int8_torchao"]["bytes"] == everything - saved


def mean_error_by_hand(model, data):
    """The mean absolute error of the task 'value' over the split, in NumPy."""
    errors = []
    for batch in judged_batches(model, data, "test_missing"):
        with torch.inference_mode():
            made = model(batch.inputs).outputs["value"]["value"].numpy()
        known = batch.targets["value"]["label"].numpy()
        there = (batch.rows.numpy() >= 0) & np.isfinite(known)
        errors += list(np.abs(made.reshape(-1) - known)[there])
    return float(np.mean(errors))


def test_words_of_a_student_are_parted_outside_brackets():
    given = "text=none, encoders.image.options={channels: [4,8], residual: [false,true]},fusion=mean"
    assert command.split_outside_brackets(given) == [
        "text=none",
        "encoders.image.options={channels: [4,8], residual: [false,true]}",
        "fusion=mean",
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["methods=[strutured]"], "'strutured' is unknown"),
        (["amount=2"], "amount=2: a number from"),
        (["epochs=few"], "epochs=few"),
        (["threads=0"], "at least 1"),
        (["amuont=0.5"], "no option of mmbert-compress"),
        (["methods=[distil]"], "needs a student"),
        (["student=[text=none]"], "student= is trained by methods=[distil] or [student], of which none is given"),
        (["methods=[onnx]", "task=anwser"], "task=anwser: the model has no such task. Did you mean 'answer'?"),
        (["methods=[distil]", "student=[text=none]"], "was not started by mmbert-train with words of its own"),
        (["methods=[distil]", "student=[data.batch_size=4]"], "data.batch_size is for all variants alike"),
    ],
)
def test_mistakes_end_in_one_line(words, complaint, finished_run, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        typed([f"model={finished_run}", f"out={tmp_path / 'out'}", *words])
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_private_run_is_not_trained_on_without_its_noise(finished_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    config = OmegaConf.load(run / "config.yaml")
    config.privacy = {"samples": True, "mask": [], "epsilon": 8, "delta": None}
    OmegaConf.save(config, run / "config.yaml")
    with pytest.raises(SystemExit) as ended:
        typed([f"model={run}", "methods=[onnx,structured+int8_onnx]", "trust_custom_code=true"])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and "methods: 'structured+int8_onnx' trains the encoders on" in line
    assert not (run / "compressed").exists()
    methods = parse_methods(["structured", "onnx"])
    refuse_private(methods, config, epochs=0)
    refuse_private(parse_methods(["onnx"]), config, epochs=2)
    refuse_private(methods, OmegaConf.create({"privacy": {"samples": False}}), epochs=2)
