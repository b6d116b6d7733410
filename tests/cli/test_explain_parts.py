"""``mmbert-explain parts=true`` as it is typed: its files agree, privacy is kept, and mistakes end with one line."""

import json
import re
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

from mmbert.cli import explain as command

COVERS = ("explain_numbers",)
QUICK = ("parts=true", "device=cpu", "bootstraps=20", "steps=4", "most_steps=8", "shown=2")


def explain(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["mmbert-explain", *words])
    command.main()


@pytest.fixture(scope="module")
def explained(tmp_path_factory, finished_run):
    """What the command leaves of the split whose samples lack modalities."""
    out = tmp_path_factory.mktemp("parts")
    with pytest.MonkeyPatch.context() as patch:
        words = (
            f"model={finished_run}",
            f"out={out}",
            "split=test_missing",
            "samples=0",
            "task=answer,properties,value",
        )
        explain(patch, *QUICK, *words)
    return out


def test_the_files_say_the_same(explained, digits):
    content = json.loads((explained / "parts.json").read_text())
    lines = pd.read_csv(explained / "parts.csv", dtype={"answer": str})
    maps = np.load(explained / "parts.npz")
    table = pd.read_csv(digits)
    assert content["explained"] == len(content["samples"]) == 12 and list(content["summed"]) == [
        "answer",
        "properties",
        "value",
    ]
    assert content["baselines"] == {"text": "the embedding of [PAD]", "image": "the mean colour", "audio": "silence"}
    assert len(lines) == sum(len(sample["answers"]) for sample in content["samples"])
    for sample in content["samples"]:
        cells = table.iloc[sample["row"]]
        there = [name for name in ("text", "image", "audio") if isinstance(cells[name], str)]
        for answer in sample["answers"]:
            assert sorted(answer["modalities"]) == sorted(there)
            line = lines[
                (lines.row == sample["row"]) & (lines.task == answer["task"]) & (lines.answer == answer["answer"])
            ]
            for name in there:
                found = maps[f"parts/{sample['row']}/{answer['task']}/{answer['answer']}/{name}"]
                assert found.sum(dtype=np.float64) == pytest.approx(answer["modalities"][name], rel=1e-4, abs=1e-4)
                assert float(line[f"contribution/{name}"].iloc[0]) == pytest.approx(answer["modalities"][name])
            total = sum(answer["modalities"].values())
            assert answer["gap"] == pytest.approx(abs(total - answer["output"] + answer["baseline"]), abs=1e-5)
            if "text" in there:
                words = answer["words"]["text"]
                assert "".join(before + word for before, word, _ in words) == cells["text"].rstrip()
                assert sum(word[2] for word in words) == pytest.approx(answer["modalities"]["text"], abs=1e-5)
                assert sample["rollout"]["text"]["words"]
    for name, gap in content["gaps"].items():
        gaps = [a["gap"] for s in content["samples"] for a in s["answers"] if a["task"] == name]
        assert gap["answers"] == len(gaps) and gap["largest"] == max(gaps)
    for task, summed in content["summed"].items():
        assert sum(one["share"]["value"] for one in summed["modalities"].values()) == pytest.approx(1)
        sums = [np.mean([a["modalities"]["text"] for a in s["answers"] if a["task"] == task])
                for s in content["samples"] if "text" in s["answers"][0]["modalities"]]  # fmt: skip
        assert summed["modalities"]["text"]["contribution"]["value"] == pytest.approx(np.mean(sums), abs=1e-6)
    heard = content["samples"][0]["shares"]
    assert (
        set(heard) == {"share/attention", "share/output"}
        and maps[f"diagnostics/{content['samples'][0]['row']}/attention/0/text"].ndim == 3
    )


def test_the_table_and_the_warning_are_printed(explained, capsys, monkeypatch):
    from mmbert.cli.explain_parts import print_parts
    from mmbert.runs.folder import RunFolder

    monkeypatch.setenv("COLUMNS", "200")
    content = json.loads((explained / "parts.json").read_text())
    content["gaps"]["answer"]["above_tolerance"] = 3
    print_parts(content, RunFolder(explained))
    shown = capsys.readouterr().out
    assert re.search(r"text\s+│\s+\d+\.\d % \[", shown) and "completeness gap  mean" in shown
    assert "warning: 3 answers have a gap above the tolerance 0.01" in shown and "most_steps=16 takes more" in shown
    assert all(name in shown for name in ("parts.json", "parts.csv", "parts.npz", "parts.html"))


def test_rows_and_classes_can_be_named(finished_run, digits, tmp_path, monkeypatch, capsys):
    rows = pd.read_csv(digits).query("split == 'test'").index[[3, 0]].tolist()
    words = (f"model={finished_run}", f"out={tmp_path}", f"rows={rows[0]},{rows[1]}", "task=answer", "class=7,-3")
    explain(monkeypatch, *QUICK, *words)
    content = json.loads((tmp_path / "parts.json").read_text())
    assert [sample["row"] for sample in content["samples"]] == rows
    assert [[a["answer"] for a in s["answers"]] for s in content["samples"]] == [["7", "-3"]] * 2
    assert "explain   2 samples, 4 to 8 steps of the integral each" in capsys.readouterr().out


@pytest.mark.parametrize("samples", [False, True])
def test_what_a_private_run_keeps_to_itself_is_nowhere(samples, finished_run, digits, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["privacy"] = {"samples": samples, "mask": [{"verb": "number|the"}]}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "parts.npz").write_text("of an earlier time")
    explain(monkeypatch, *QUICK, f"model={run}", "samples=3", "task=answer")
    page, content = (run / "parts.html").read_text(), (run / "parts.json").read_text()
    rows = [sample["row"] for sample in json.loads(content)["samples"]]
    body = re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)
    texts = pd.read_csv(digits).text[rows].dropna()
    assert len(texts) == 3 and texts.str.contains("number|the").any()
    if samples:
        assert "[verb]" in body and "[verb]" in content and "number" not in content.replace("pictures", "")
        assert (run / "parts.npz").is_file() and "data:audio" in body
    else:
        assert "words" not in content and "data:image" not in body and "data:audio" not in body
        assert not (run / "parts.npz").exists() and "privacy.samples=false" in body
        assert len(pd.read_csv(run / "parts.csv")) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["parts=yes"], "parts=yes: true or false is wanted"),
        (["rows=3"], "rows=3 is an option of parts=true: say that too"),
        (["samples=3"], "samples=3 is an option of parts=true: say that too"),
        (["parts=true", "rows=3", "samples=2"], "leave out one of them"),
        (["parts=true", "rows=a"], "rows=a: rows of the table are wanted"),
        (["parts=true", "rows=0"], "rows=0: the split 'test' has no such row of the table"),
        (["parts=true", "steps=1"], "steps=1 most_steps=1024: at least 2 steps"),
        (["parts=true", "steps=32", "most_steps=16"], "steps=32 most_steps=16"),
        (["parts=true", "tolerance=0"], "tolerance=0: a number above 0 and up to 1 is wanted"),
        (["parts=true", "class=7"], "class=7: of which task? Name one: task=answer"),
        (["parts=true", "class=seven", "task=answer"], "class=seven: the task 'answer' has no such class"),
        (["parts=true", "task=anwser"], "task=anwser: the model has no such task. Did you mean 'answer'?"),
        (["parts=true", "step=5"], "'step=5' is no option of mmbert-explain. Did you mean 'steps'?"),
    ],
)
def test_mistakes_end_with_code_2_and_one_line(words, message, finished_run, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["mmbert-explain", f"model={finished_run}", f"out={tmp_path / 'out'}", *words])
    with pytest.raises(SystemExit) as leaving:
        command.main()
    printed = capsys.readouterr()
    assert leaving.value.code == 2 and "Traceback" not in printed.err
    assert message in printed.err and printed.err.startswith("mmbert-explain: ")


@pytest.mark.parametrize(
    ("value", "shown"), [(0.5, "+0.500"), (-9.9996, "-10.00"), (12.345, "+12.35"), (738.06, "+738.1")]
)
def test_numbers_keep_their_width_and_what_is_never_negative_has_no_sign(value, shown):
    from mmbert.cli.explain_numbers import magnitude, number

    found = {"value": value, "low": None, "high": None}
    assert number(found) == shown
    assert magnitude({**found, "value": abs(value)}) == shown[1:]


def test_the_table_fits_a_terminal_of_80_columns(explained, capsys, monkeypatch):
    from mmbert.cli.explain_parts import print_parts
    from mmbert.runs.folder import RunFolder

    monkeypatch.setenv("COLUMNS", "80")
    content = json.loads((explained / "parts.json").read_text())
    for task in content["summed"].values():
        for one in task["modalities"].values():
            one["share"] = {"value": 0.268, "low": 0.02, "high": 0.516}
            one["contribution"] = {"value": -4.76, "low": -70.73, "high": 2.036}
            one["size"] = {"value": 4.76, "low": 2.036, "high": 70.73}
    print_parts(content, RunFolder(explained))
    shown = capsys.readouterr().out
    assert "-4.760 [-70.73, +2.036]" in shown and "4.760 [2.036, 70.73]" in shown  # in one line each
