"""mmbert-train as it is typed: a sweep whose jobs are runs of their own, and a class from the folder one stands in."""

import json
import os
import shutil
import subprocess
import sys

import pytest

TINY = [
    "data=manifest",
    "text=tiny",
    "image=none",
    "audio=none",
    "trainer=cpu",
    "trainer.max_epochs=1",
    "plots=false",
    "data.num_workers=0",
    "fusion.out_dim=8",
]


@pytest.fixture
def here(tmp_path):
    """A folder with a small table of texts and nothing else."""
    rows = [f"word{i % 2} {i},{'ab'[i % 2]},{split}" for i in range(8) for split in ("train", "val", "test")]
    (tmp_path / "my.csv").write_text("text,label,split\n" + "\n".join(rows) + "\n")
    return tmp_path


def mmbert(command, folder, *words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    program = [sys.executable, "-m", f"mmbert.cli.{command}", *words]
    return subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_each_job_of_a_sweep_is_a_run_of_its_own_and_a_failed_one_is_told(here):
    done = mmbert(
        "train", here, "-m", "data.path=my.csv", *TINY, "fusion=cross_attention", "fusion.num_heads=4,3", "logger=wandb"
    )
    assert done.returncode == 2, done.stderr
    assert "fusion.num_heads=3 must divide fusion.out_dim=8" in done.stderr
    assert "Traceback" not in done.stderr
    sweep = next((here / "multirun").glob("*/*"))
    assert "test/label/accuracy" in json.loads((sweep / "0" / "metrics.json").read_text())
    assert json.loads((sweep / "1" / "error.json").read_text())["type"] == "ConfigError"
    assert not (sweep / "1" / "metrics.json").exists()
    for job in ("0", "1"):  # two offline runs, each in its own job's folder
        assert len(list((sweep / job / "wandb").glob("offline-run-*"))) == 1
    report = mmbert("report", here, str(sweep), "--by", "fusion.num_heads")
    assert report.returncode == 0, report.stderr
    assert "failed" in report.stdout


@pytest.mark.slow
def test_a_class_from_the_folder_one_stands_in_trains_and_predicts(here):
    (here / "my_fusion.py").write_text(
        "from torch import nn\n"
        "from mmbert.fusion.base import Fusion\n\n\n"
        "class MyFusion(Fusion):\n"
        "    def __init__(self, dims, out_dim):\n"
        "        super().__init__(dims, out_dim)\n"
        "        self.project = nn.ModuleDict({m: nn.Linear(d, out_dim) for m, d in dims.items()})\n\n"
        "    def fuse(self, inputs):\n"
        "        return sum(self.project[m](x.pooled) for m, x in inputs.items())\n"
    )
    (here / "fusion").mkdir()
    (here / "fusion" / "mine.yaml").write_text("_target_: my_fusion.MyFusion\nout_dim: 8\n")
    done = mmbert("train", here, "data.path=my.csv", *TINY, "fusion=mine", "logger=none", "hydra.run.dir=out")
    assert done.returncode == 0, done.stderr
    assert "label" in done.stdout and "out/metrics.json" in done.stdout
    shutil.copytree(here / "out" / "model", here / "sent")
    refused = mmbert("predict", here, "model=sent", "text=word1 3")
    assert refused.returncode == 2 and "from outside the package" in refused.stderr
    answered = mmbert("predict", here, "model=out", "text=word1 3")
    assert answered.returncode == 0, answered.stderr
    assert "label" in answered.stdout


@pytest.mark.slow  # docs/your_own_logger.md is run with all tests
def test_a_logger_from_the_folder_one_stands_in_is_one_class_and_one_file(here):
    (here / "my_logger.py").write_text(
        "from mmbert.training.loggers.base import RunLogger\n\n\n"
        "class LinesLogger(RunLogger):\n"
        "    name, version = 'lines', ''\n\n"
        "    def __init__(self, run, file, log_samples=0):\n"
        "        super().__init__()\n"
        "        self.path = run.folder.path / file\n"
        "        self.num_samples = log_samples\n"
        "        self.write('name', run.name)\n\n"
        "    def write(self, *words):\n"
        "        with self.path.open('a') as file:\n"
        "            print(*words, file=file)\n\n"
        "    def log_hyperparams(self, params=None, *args, **kwargs):\n"
        "        pass\n\n"
        "    def log_metrics(self, metrics, step=None):\n"
        "        self.write('metrics', *metrics)\n\n"
        "    def show_summary(self, summary):\n"
        "        self.write('summary', summary['test/label/accuracy'])\n\n"
        "    def show_figures(self, figures):\n"
        "        raise OSError('no room for figures')\n\n"
        "    def show_samples(self, rows, split):\n"
        "        self.write('samples', split, len(rows), rows[0]['text'])\n\n"
        "    def close(self, failed, error=None):\n"
        "        self.write('closed', failed)\n"
    )
    (here / "logger").mkdir()
    (here / "logger" / "mine.yaml").write_text("_target_: my_logger.LinesLogger\nfile: log.txt\nlog_samples: 2\n")
    words = ("data.path=my.csv", *TINY, "fusion=mean", "logger=mine", "logger.file=mine.txt", "hydra.run.dir=out")
    done = mmbert("train", here, *words)
    assert done.returncode == 0, done.stderr
    accuracy = json.loads((here / "out" / "metrics.json").read_text())["test/label/accuracy"]
    lines = (here / "out" / "mine.txt").read_text().splitlines()
    assert lines[0] == "name mean text seed 0" and any(line.startswith("metrics val/") for line in lines)
    assert f"summary {accuracy}" in lines and "samples test 2 word0 0" in lines and lines[-1] == "closed False"
    assert "LinesLogger failed at 'show_figures': OSError: no room for figures" in done.stdout + done.stderr
    assert (here / "out" / "history.csv").is_file()
