"""``mmbert-demo`` as it is typed: how it starts, and how mistakes end."""

import importlib.util
import os
import re
import signal
import subprocess
import sys

import pytest

from mmbert.cli import demo


@pytest.mark.slow
def test_a_page_is_there_until_ctrl_c(finished_run, tmp_path):
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("gradio")
    command = [sys.executable, "-m", "mmbert.cli.demo", f"model={finished_run}", "port=0", "device=cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GRADIO_TEMP_DIR": str(tmp_path)}
    page = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        lines = [page.stdout.readline() for _ in range(3)]
        address = re.search(r"page +(http://127.0.0.1:\d+)", "".join(lines))[1]
        assert "text, image, audio → answer, seen, heard" in lines[1] and lines[0].startswith("  loading ")
        assert httpx.get(address, timeout=60).status_code == 200
    finally:
        page.send_signal(signal.SIGINT)
        _, err = page.communicate(timeout=60)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["port=1"], "Which model? Give model=FOLDER"),
        (["model=nowhere"], "model=nowhere: there is no such folder"),
        (["model=RUN", "prot=1"], "'prot=1' is no option of mmbert-demo. Did you mean 'port'?"),
        (["model=RUN", "port=x"], "port=x: a whole number from 0 to 65535 is wanted"),
        (["model=RUN", "host=192.0.2.1"], "host=192.0.2.1 port=7860: this machine has no such address"),
    ],
)
def test_mistakes_end_with_code_2_and_one_line(words, message, finished_run, monkeypatch, capsys):
    pytest.importorskip("gradio")
    monkeypatch.setattr(sys, "argv", ["mmbert-demo", *(word.replace("RUN", str(finished_run)) for word in words)])
    with pytest.raises(SystemExit) as ended:
        demo.main()
    printed = capsys.readouterr()
    assert ended.value.code == 2 and printed.err.startswith("mmbert-demo: ") and message in printed.err


def test_without_the_extra_one_line_says_what_to_install(finished_run, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "gradio" else find(name, *more)
    )
    monkeypatch.setattr(sys, "argv", ["mmbert-demo", f"model={finished_run}"])
    with pytest.raises(SystemExit):
        demo.main()
    assert capsys.readouterr().err == "mmbert-demo: gradio is not installed: pip install 'mmbert[demo]'\n"
