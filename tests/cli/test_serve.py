"""``mmbert-serve`` as it is typed: it answers as ``mmbert-predict`` does, ends by a signal, and says what is wrong."""

import csv
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys

import pytest
import torch

from mmbert.cli import predict, serve

httpx = pytest.importorskip("httpx")


def assert_same(one, other):
    """The same answers, numbers but for rounding."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_same(value, other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == (pytest.approx(other, rel=1e-4, abs=1e-6) if isinstance(other, float) else other)


def test_a_server_answers_as_mmbert_predict_does_and_ends_when_told(finished_run, digits, capsys):
    with digits.open(encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if row["text"] and row["image"] and row["audio"])
    picture, sound = digits.parent / row["image"], digits.parent / row["audio"]
    predict.main([f"model={finished_run}", f"text={row['text']}", f"image={picture}", f"audio={sound}", "--json"])
    expected = json.loads(capsys.readouterr().out)
    words = [f"model={finished_run}", "port=0", "max_wait_ms=0", "device=cpu"]
    server = subprocess.Popen(
        [sys.executable, "-m", "mmbert.cli.serve", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        lines = [server.stdout.readline() for _ in range(5)]
        assert lines[0].startswith("  loading ")
        address = re.search(r"page +(http://127.0.0.1:\d+)", "".join(lines))[1]
        files = {"image": picture.read_bytes(), "audio": sound.read_bytes()}
        answer = httpx.post(f"{address}/predict", data={"text": row["text"]}, files=files, timeout=60)
        assert_same(answer.json(), expected)  # threads are others, and with them the order of sums
        assert "Try it" in httpx.get(address).text
    finally:
        server.send_signal(signal.SIGTERM)
        out, err = server.communicate(timeout=60)
    assert "1 samples answered in 1 batches" in out and err == ""
    assert server.returncode == 0


def test_while_it_serves_the_main_thread_computes_alone():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with serve.computing_alone() as threads:
            assert (threads, torch.get_num_threads()) == (2, 1)
        assert torch.get_num_threads() == 2
        with pytest.raises(KeyboardInterrupt), serve.computing_alone():
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["port=1"], "Which model? Give model=FOLDER"),
        (["model=nowhere"], "model=nowhere: there is no such folder"),
        (["model=RUN", "prot=1"], "'prot=1' is no option of mmbert-serve. Did you mean 'port'?"),
        (["model=RUN", "port=1", "port=2"], "'port' is given twice"),
        (["model=RUN", "port=99999"], "port=99999: a whole number from 0 to 65535 is wanted"),
        (["model=RUN", "max_batch=0"], "max_batch=0: a whole number from 1"),
        (["model=RUN", "max_wait_ms=nan"], "max_wait_ms=nan: a number from 0"),
        (["model=RUN", "timeout_s=0"], "timeout_s=0: a number from 0.01"),
        (["model=RUN", "max_queue=8"], "max_queue=8 is less than max_batch=32"),
        (["model=RUN", "host=192.0.2.1"], "host=192.0.2.1 port=8000: this machine has no such address"),
        (["model=RUN", "abstain_below=2"], "abstain_below=2: a number of at least 0"),
        (["model=RUN", "port=0", "device=abacus"], "device=abacus cannot be used on this machine"),
    ],
)
def test_mistakes_end_with_code_2_and_one_line(words, message, finished_run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mmbert-serve", *(word.replace("RUN", str(finished_run)) for word in words)])
    with pytest.raises(SystemExit) as ended:
        serve.main()
    printed = capsys.readouterr()
    assert ended.value.code == 2 and printed.err.startswith("mmbert-serve: ") and message in printed.err
    assert "Traceback" not in printed.err


def test_without_the_extra_one_line_says_what_to_install(finished_run, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "uvicorn" else find(name, *more)
    )
    monkeypatch.setattr(sys, "argv", ["mmbert-serve", f"model={finished_run}"])
    with pytest.raises(SystemExit):
        serve.main()
    assert capsys.readouterr().err == "mmbert-serve: uvicorn is not installed: pip install 'mmbert[serve]'\n"


def test_a_misspelt_option_is_answered_without_torch():
    code = "import sys; sys.argv = ['mmbert-serve', 'model=.', 'prot=1']\nfrom mmbert.cli import serve\n"
    code += "try: serve.main()\nexcept SystemExit: sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
