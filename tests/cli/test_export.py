"""``mmbert-export`` as it is typed: its files, what it prints, and how mistakes end."""

import json
import sys

import pytest

from exportable_models import injected_model, model_with_tasks
from installed import skip_without
from mmbert.cli import export as command


def ended(words, monkeypatch, capsys):
    """How the command ends: its code and what it prints."""
    monkeypatch.setattr(sys, "argv", ["mmbert-export", *words])
    try:
        command.main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code
    return code, capsys.readouterr()


@pytest.mark.slow
def test_a_run_is_exported_and_equal_for_every_subset_of_its_own_samples(finished_run, tmp_path, monkeypatch, capsys):
    skip_without("onnxruntime")
    from mmbert.deploy.onnx_model import OnnxModel
    from mmbert.model import MultimodalModel

    monkeypatch.setenv("COLUMNS", "160")
    out = tmp_path / "shipped"
    code, printed = ended([f"model={finished_run}", f"out={out}", "format=both", "samples=6"], monkeypatch, capsys)
    assert code == 0, printed.err
    record = json.loads((out / "export.json").read_text())
    assert len(record["differences"]["onnx"]) == len(record["differences"]["torch"]) == 7
    assert all(one["scaled"] <= 1e-4 for form in record["differences"].values() for one in form)
    steps = ["tracing model", "writing onnx", "writing torch", "running the files beside the model"]
    assert [step for step in steps if step in printed.out] == steps  # each may take minutes
    assert "text + image + audio" in printed.out and "model.onnx" in printed.out and "model.pt2" in printed.out
    model, exported = MultimodalModel.from_pretrained(finished_run / "model"), OnnxModel(out)
    samples = [{"text": "Add the two numbers."}, {"text": "The larger of both, and a longer text."}]
    for ours, theirs in zip(exported.predict(samples), model.predict(samples), strict=True):
        assert set(ours) == set(theirs)
        assert ours["answer"]["prediction"] == theirs["answer"]["prediction"]
        assert ours["answer"]["probabilities"] == pytest.approx(theirs["answer"]["probabilities"], abs=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["format=onnx"], "Which model? Give model=FOLDER"),
        (["model=nowhere"], "model=nowhere: there is no such folder"),
        (["model=RUN", "formt=onnx"], "'formt=onnx' is no option of mmbert-export. Did you mean 'format'?"),
        (["model=RUN", "format=onx"], "format=onx is unknown. Did you mean 'onnx'?"),
        (["model=RUN", "parts=seperate"], "Did you mean 'separate'?"),
        (["model=RUN", "samples=1"], "samples=1: two at least"),
        (["model=RUN", "samples=x"], "samples=x: a whole number"),
        (["model=RUN", "check=made", "split=test"], "check=made reads no data"),
        (["model=RUN", "out=RUN"], "holds something else than an export"),
    ],
)
def test_mistakes_end_with_code_2_and_one_line(words, message, finished_run, monkeypatch, capsys):
    given = [word.replace("RUN", str(finished_run)) for word in words]
    code, printed = ended(given, monkeypatch, capsys)
    assert code == 2 and "Traceback" not in printed.err
    assert message in printed.err and printed.err.startswith("mmbert-export: ")


@pytest.mark.parametrize(
    ("make", "words", "message"),
    [
        (
            lambda: model_with_tasks("generation"),
            [],
            "No task of the model can be exported: 'generation' writes its answer token by token in a loop",
        ),
        (injected_model, ["parts=separate"], "MAGFusion changes the hidden states between the layers of 'text'"),
    ],
)
def test_what_cannot_be_exported_ends_with_code_2_and_leaves_nothing(
    make, words, message, tmp_path, monkeypatch, capsys
):
    skip_without("onnxruntime")
    make().save_pretrained(tmp_path / "model")
    given = [f"model={tmp_path / 'model'}", "check=made", f"out={tmp_path / 'out'}", *words]
    code, printed = ended(given, monkeypatch, capsys)
    assert code == 2 and "Traceback" not in printed.err
    (line,) = [each for each in printed.err.splitlines() if each]
    assert line.startswith("mmbert-export: ") and message in line
    assert not (tmp_path / "out").exists()


def test_what_the_extra_brings_is_named_where_it_is_absent(finished_run, monkeypatch, capsys, tmp_path):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnx" else find(name, *rest))
    code, printed = ended([f"model={finished_run}", f"out={tmp_path / 'o'}", "check=made"], monkeypatch, capsys)
    assert code == 2 and "needs the package onnx, which is not installed: pip install mmbert[export]" in printed.err
    assert not list(tmp_path.iterdir())
