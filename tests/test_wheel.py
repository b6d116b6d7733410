"""The built wheel in an environment of its own, in an empty folder: it trains, sweeps, predicts and evaluates."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TINY = ["data=manifest", "data.path=my.csv", "text=tiny", "image=none", "audio=none", "trainer=cpu"]
TINY += ["trainer.max_epochs=1", "data.num_workers=0", "fusion.out_dim=8", "logger=none"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The ``bin`` of a new environment with the wheel in it; the tests' own lends the packages that mmbert needs."""
    folder = tmp_path_factory.mktemp("wheel")
    away = shutil.ignore_patterns(".*", "outputs", "multirun", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, folder / "source", ignore=away)  # building leaves folders behind
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(folder), str(folder / "source")]
    subprocess.run(build, check=True, cwd=folder)
    (wheel,) = folder.glob("mmbert-*.whl")
    venv.create(folder / "venv", with_pip=False)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    # a path file lends the packages there, but not the checkout that an editable install points to
    (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(folder / "venv" / "bin" / "python"), "install"]
    install += ["--no-deps", "--force-reinstall", "-q", str(wheel)]
    subprocess.run(install, check=True)
    return folder / "venv" / "bin"


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a small table of texts, a preset of one's own, and nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    rows = [f"word{i % 2} {i},{'ab'[i % 2]},{split}" for i in range(8) for split in ("train", "val", "test")]
    (folder / "my.csv").write_text("text,label,split\n" + "\n".join(rows) + "\n")
    (folder / "fusion").mkdir()
    (folder / "fusion" / "wide.yaml").write_text("_target_: mmbert.fusion.concat.ConcatFusion\nout_dim: 24\n")
    return folder


def call(environment, here, command, *words):
    variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    program = [str(environment / command), *words]
    done = subprocess.run(program, cwd=here, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_alone_does_everything(environment, here):
    where = call(environment, here, "python", "-c", "import mmbert, mmbert.conf; print(mmbert.__file__)")
    assert str(environment.parent) in where and str(ROOT) not in where
    assert "cross_attention" in call(environment, here, "mmbert-train", "--help")
    assert "arXiv" in call(environment, here, "mmbert-list", "fusion")
    call(environment, here, "mmbert-new-fusion", "my_fusion")
    assert "keeps the contract" in call(environment, here, "mmbert-check-fusion", "my_fusion", "--no-costs")
    assert "check_fusion" in call(environment, here, "python", "-m", "pytest", "--fixtures", "test_my_fusion.py")
    assert "passed" in call(environment, here, "python", "-m", "pytest", "-q", "-k", "shapes", "test_my_fusion.py")
    call(environment, here, "mmbert-train", *TINY, "hydra.run.dir=one")
    call(environment, here, "mmbert-train", "-m", *TINY, "fusion=mean,wide", "hydra.sweep.dir=sweep")
    runs = [json.loads((here / "sweep" / job / "metrics.json").read_text()) for job in ("0", "1")]
    assert all("test/label/accuracy" in run for run in runs)
    assert "mean" in call(environment, here, "mmbert-report", "sweep", "--by", "fusion")
    assert "label" in call(environment, here, "mmbert-predict", "model=one", "text=word1 3")
    assert "24 rows answered" in call(environment, here, "mmbert-predict", "model=one", "table=my.csv", "out=a.jsonl")
    call(environment, here, "mmbert-evaluate", "model=one", "trainer=cpu", "out=again")
    again, known = (json.loads((here / name).read_text()) for name in ("again/evaluation.json", "one/metrics.json"))
    assert again["test/label/accuracy"] == known["test/label/accuracy"]
