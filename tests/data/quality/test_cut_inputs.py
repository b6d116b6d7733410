"""How many rows an encoder cuts, and by how much: exact for small tables, by a sample of large ones."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.length_limit import LengthLimit
from mmbert.data.modalities.registry import modality_named
from mmbert.data.quality import cut_inputs as module
from mmbert.data.quality.check import EncoderInput, check_data
from mmbert.data.quality.cut_inputs import CutInputs, cut_inputs, sampled_cells
from mmbert.encoders.processors.audio import AudioProcessor


def letters(most, ceiling=float("inf")):
    """A processor of texts that counts letters."""
    limit = LengthLimit(
        "max_tokens", most, "tokens", lambda cells, folder: [float(len(cell)) for cell in cells], ceiling
    )
    return SimpleNamespace(kind="text", length_limit=limit, prepare=None, collate=None)


@pytest.fixture
def make(tmp_path):
    def made(texts, processor, column="text"):
        rows = [{column: text, "split": ("train", "val", "test")[n % 3]} for n, text in enumerate(texts)]
        (tmp_path / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        data = MultimodalData(tmp_path / "table.jsonl", num_workers=0)
        data.processors = {column: processor}
        return data

    return made


LONG = ["a" * n for n in (3, 9, 4, 30, 2, 10)]


def test_how_many_and_by_how_much(make):
    (line,) = cut_inputs(make([*LONG, None, ""], letters(8, 512)))
    assert line == (
        "text: 3 of 6 rows are longer than text.max_tokens=8 and cut (median 10, longest 30 tokens); "
        "raise it with encoders.text.max_tokens=... (at most 512)"
    )
    (line,) = cut_inputs(make(LONG, letters(29)))
    assert line.startswith("text: 1 of 6 rows is longer than text.max_tokens=29 and cut (median 30, longest 30 tokens)")


def test_nothing_is_said_where_nothing_is_cut(make):
    assert cut_inputs(make(LONG, letters(30))) == []
    assert cut_inputs(make(LONG, SimpleNamespace(kind="text"))) == []
    data = make(LONG, letters(2))
    data.drop = ["text"]
    assert cut_inputs(data) == []


def test_of_a_large_table_a_sample_is_measured_the_same_each_time(make, monkeypatch):
    monkeypatch.setattr(module, "SAMPLED_ROWS", 100)
    data = make(["a" * (5 if n % 4 else 50) for n in range(400)], letters(8))
    (line,) = cut_inputs(data)
    assert "% of 400 rows (" in line and " of 100 looked at) are longer than text.max_tokens=8 and cut" in line
    share = float(line.partition("about ")[2].partition("%")[0])
    assert 12 < share < 40 and cut_inputs(data) == [line]
    everything = np.arange(400)
    first = [cell for cells in sampled_cells(data.table, "text", everything) for cell in cells]
    assert len(first) == 100 and first == [
        cell for cells in sampled_cells(data.table, "text", everything) for cell in cells
    ]


def test_a_slow_disk_does_not_hold_a_run_up(make, monkeypatch):
    monkeypatch.setattr(module, "SAMPLED_SECONDS", 0.0)
    (line,) = cut_inputs(make(["a" * 50] * 100, letters(8)))
    assert (
        f"about 100.0% of 100 rows ({module.MEASURED_AT_ONCE} of {module.MEASURED_AT_ONCE} looked at) are longer"
        in line
    )


def test_sounds_by_their_headers(make, tmp_path):
    for name, seconds in (("a", 0.5), ("b", 2.0), ("c", 1.0)):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(round(8_000 * seconds)), 8_000)
    data = make(["a.wav", "b.wav", "c.wav"], AudioProcessor(16_000, 1.0, 400), "audio")
    (line,) = cut_inputs(data)
    assert line == (
        "audio: 1 of 3 rows is longer than audio.max_seconds=1 and cut (median 2, longest 2 seconds); "
        "raise it with encoders.audio.max_seconds=..."
    )


@pytest.mark.parametrize("kind", ["text", "audio"])
def test_check_data_names_every_row(kind, make, tmp_path):
    if kind == "text":
        limit, cells, spread = letters(8).length_limit, LONG, "median 10, longest 30 tokens"
    else:
        limit, cells, spread = AudioProcessor(16_000, 1.0, 400).length_limit, [], "median 2, longest 3 seconds"
        for n, seconds in enumerate((0.5, 2.0, 1.0, 3.0, 0.5, 2.0)):
            noise = np.random.default_rng(n).normal(0, 0.1, round(8_000 * seconds))
            soundfile.write(tmp_path / f"{n}.wav", noise, 8_000)
            cells.append(f"{n}.wav")
    data = make(cells, None, kind)
    report = check_data(data, {kind: EncoderInput(modality_named(kind), {"max_seconds": 1.0}, limit)}, {})
    (finding,) = report.findings
    assert (finding.severity, finding.count, finding.rows) == (
        "warning",
        3,
        ["row 2 (line 2)", "row 4 (line 4)", "row 6 (line 6)"],
    )
    assert finding.what == (
        f"{kind}: longer than {limit.option}={limit.most:g} and cut ({spread}); "
        f"raise it with encoders.{kind}.{limit.option}=..."
    )
    assert kind != "text" or report.splits["train"].spreads["text"]["tokens"].most == 30


def test_the_longest_is_told_whole():
    cut = CutInputs("text", letters(1).length_limit, 2, 2, [1904.0, 1_234_567.0])
    assert cut.spread() == "median 618,235.5, longest 1,234,567 tokens"
