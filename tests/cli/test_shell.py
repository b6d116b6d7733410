"""The shell around a command: exit codes, what is printed, where runs go, and that nothing heavy is imported early."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mmbert.cli import app
from mmbert.cli.app import run_app
from mmbert.core.errors import DataError

COVERS = ("app",)

OWN = ["data=manifest", "data.path=my.csv"]
PROGRAM = """
import sys
from mmbert.cli.app import run_app
HEAVY = {"torch", "numpy", "transformers", "timm", "torchaudio", "pytorch_lightning", "wandb", "pandas", "datasets"}
def train(cfg):
    print("JOB")
try:
    run_app(train, "train")
finally:
    print("HEAVY", sorted(HEAVY & set(sys.modules)))
"""
Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a job by its words in an empty folder, in this process; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("MMBERT_TRACEBACK", "0")
    monkeypatch.setattr(sys, "path", [*sys.path])
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def go(job: app.Job, *words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["mmbert-train", *words])
        try:
            run_app(job, "train")
        except SystemExit as leaving:
            return int(leaving.code or 0)
        return 0

    yield go
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def fail(error: BaseException, at_seed: int = 0) -> app.Job:
    """A job that raises at one seed and else returns it."""

    def train(cfg: DictConfig) -> int:
        if cfg.seed == at_seed:
            raise error
        print(f"done {cfg.seed}")
        return int(cfg.seed)

    return train


def test_words_of_any_script_reach_the_job_and_the_jobs_of_a_sweep(run: Run) -> None:
    seen = []

    def train(cfg: DictConfig) -> int:
        seen.append((cfg.data.columns.text, cfg.data.columns.image))
        return 0

    words = ["data=manifest", "data.path=größe (1).csv", "data.columns.text=文本"]
    assert run(train, *words, "data.columns.image=Bild & Ton") == 0
    assert run(train, "-m", *words, "data.columns.image=été,l'hiver", "hydra.sweep.subdir=${data.columns.image}") == 0
    assert seen == [("文本", "Bild & Ton"), ("文本", "été"), ("文本", "l'hiver")]


def test_a_job_gets_the_composed_config(run: Run) -> None:
    seen = []
    assert run(seen.append, *OWN, "seed=3", "fusion=mean") == 0
    assert (seen[0].seed, seen[0].fusion._target_) == (3, "mmbert.fusion.mean.MeanFusion")
    assert "hydra" not in seen[0]


def test_a_mistake_is_one_line_and_leaves_no_folder(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(print, *OWN, "fuson=mean") == 2
    out = capsys.readouterr()
    assert out.err == "mmbert-train: fuson=mean: there is no option 'fuson'. Did you mean 'fusion'?\n"
    assert out.out == ""
    assert not Path("outputs").exists()


def test_an_error_of_the_users_in_a_job_is_its_message_alone(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fail(DataError("row 7 has no label")), *OWN) == 2
    assert capsys.readouterr().err == "mmbert-train: row 7 has no label\n"


def test_a_fault_of_ours_keeps_its_traceback(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fail(RuntimeError("ours")), *OWN) == 1
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "test_shell.py" in err
    assert err.rstrip().endswith("RuntimeError: ours")


def test_a_missing_key_in_our_own_code_is_a_fault_of_ours(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda cfg: cfg.fusion.no_such_key, *OWN) == 1
    assert "Traceback" in capsys.readouterr().err


def test_tracebacks_can_be_asked_for(run: Run) -> None:
    with pytest.raises(DataError, match="row 7"):
        run(fail(DataError("row 7")), *OWN, "--traceback")


def test_an_interrupt_is_one_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fail(KeyboardInterrupt()), *OWN) == 130
    assert capsys.readouterr().err == "\nmmbert-train: interrupted\n"


def test_two_runs_in_one_second_have_folders_of_their_own(run: Run) -> None:
    folders = []
    for _ in range(2):
        assert run(lambda cfg: folders.append(HydraConfig.get().runtime.output_dir), *OWN) == 0
    assert len(set(folders)) == 2
    pattern = re.escape(str(Path.cwd())) + r"/outputs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d-\d{6}"
    assert all(re.fullmatch(pattern, folder) for folder in folders)


def test_in_a_sweep_a_failing_job_is_told_and_the_others_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fail(DataError("bad seed"), at_seed=1), "-m", *OWN, "seed=0,1,2") == 2
    out = capsys.readouterr()
    assert [line for line in out.out.splitlines() if line.startswith("done")] == ["done 0", "done 2"]
    assert "mmbert-train: job 1 (data=manifest data.path=my.csv seed=1): bad seed" in out.err
    assert out.err.rstrip().endswith("mmbert-train: 1 job of the sweep failed; what went wrong is above")
    assert "Traceback" not in out.err
    jobs = [path.name for path in Path("multirun").glob("*/*/*") if path.is_dir()]
    assert sorted(jobs) == ["0", "1", "2"]


def test_a_fault_of_ours_in_a_sweep_shows_its_traceback_once(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fail(RuntimeError("ours"), at_seed=0), "-m", *OWN, "seed=0,1") == 1
    out = capsys.readouterr()
    assert out.err.count("Traceback (most recent call last)") == 1
    assert "done 1" in out.out


def test_the_words_of_a_sweep_are_checked_before_its_first_job(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fail(DataError("ran")), "-m", *OWN, "trainer.max_epochs=1,many") == 2
    assert "trainer.max_epochs=many: a whole number" in capsys.readouterr().err
    assert not Path("multirun").exists()


def test_in_a_sweep_other_processes_are_started_with_the_jobs_own_words(run: Run) -> None:
    from lightning_fabric.strategies.launchers.subprocess_script import _hydra_subprocess_cmd

    commands = []
    assert run(lambda cfg: commands.append(_hydra_subprocess_cmd(local_rank=1)[0]), "-m", *OWN, "seed=4,5") == 0
    first, second = ([*words[words.index(OWN[0]) :]] for words in commands)  # less the program, python -m pytest
    assert "-m" not in first
    assert "seed=4" in first
    assert "seed=5" in second
    assert any(re.fullmatch(r'hydra.run.dir=".*/multirun/.*/1"', word) for word in second)
    assert sys.argv == ["mmbert-train", "-m", *OWN, "seed=4,5"]  # and it is put back


def test_a_distributed_job_leaves_nothing_to_the_next_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch.distributed as dist

    monkeypatch.delenv("LOCAL_RANK", raising=False)
    seen = []

    def train(cfg: DictConfig) -> None:
        seen.append((os.environ.get("LOCAL_RANK"), dist.is_initialized()))
        os.environ |= {"LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "WORLD_SIZE": "1"}
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)

    assert run(train, "-m", *OWN, "seed=0,1") == 0
    assert seen == [(None, False), (None, False)]
    assert (os.environ.get("LOCAL_RANK"), dist.is_initialized()) == (None, False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--run", "--multirun"], "Give only one of --run, --multirun and --cfg"),
        (["--config-dir", "nowhere"], "--config-dir nowhere: there is no such folder"),
        (["--cfg", "job", "--package", "fusoin"], "--package fusoin: the config has no such part"),
        (["--cfg", "job", "trainer.max_epochs=x"], "trainer.max_epochs=x: a whole number"),
    ],
)
def test_wrong_flags_are_told(run: Run, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert run(print, *OWN, *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sorted_words"),
    [
        (["a=1", "-m", "b=2", "~c"], ["-m", "a=1", "b=2", "~c"]),
        (["a=1", "--cfg", "job", "-p", "fusion", "b=2"], ["--cfg", "job", "-p", "fusion", "a=1", "b=2"]),
        (["--config-dir", "x=y", "a=1"], ["--config-dir", "x=y", "a=1"]),
        (["a=1", "--info"], ["--info", "a=1"]),
        (["a=1", "--info", "searchpath"], ["--info", "searchpath", "a=1"]),
        (["a=-1", "--config-name"], ["--config-name", "a=-1"]),
    ],
)
def test_flags_may_stand_among_the_options(words: list[str], sorted_words: list[str]) -> None:
    assert app.flags_first(words) == sorted_words


def test_cfg_prints_the_config_or_a_part_of_it(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*OWN, "fusion=concat", "fusion.dropout=0.3", "--cfg", "job"]
    assert run(print, *words) == 0
    assert "path: my.csv" in (out := capsys.readouterr().out)
    assert "hydra:" not in out
    assert run(print, *words, "-p", "fusion") == 0
    assert capsys.readouterr().out.startswith("# @package fusion\n_target_: mmbert.fusion.concat.ConcatFusion\n")
    assert run(print, *words, "-p", "fusion.dropout") == 0
    assert capsys.readouterr().out == "0.3\n"
    assert run(print, *OWN, "data.path=${nowhere}", "--cfg", "job") == 2


def test_a_users_own_folder_gives_groups_modules_and_studies(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Path("fusion").mkdir()
    Path("fusion/swirl.yaml").write_text("_target_: swirl_of_mine.Swirl\nturns: 3\n")
    Path("swirl_of_mine.py").write_text("class Swirl:\n    def __init__(self, turns):\n        self.turns = turns\n")

    def train(cfg: DictConfig) -> None:
        from mmbert.training.instantiate import make

        print("turns", make(cfg.fusion).turns)

    assert run(train, *OWN, "fusion=swirl") == 0
    assert capsys.readouterr().out == "turns 3\n"
    assert run(train, "--help") == 0
    assert re.search(r"fusion .*concat.*swirl", capsys.readouterr().out)


def test_an_own_primary_config_can_build_on_train(run: Run) -> None:
    Path("mine.yaml").write_text(
        "defaults:\n  - train\n  - _self_\n  - override data: manifest\ndata:\n  path: a.csv\n"
    )
    seen = []
    assert run(seen.append, "--config-name", "mine") == 0
    assert seen[0].data.path == "a.csv"


def test_help_names_every_group(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(print, "--help") == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: mmbert-train")
    assert re.search(r"(?m)^  fusion +.*\bconcat, .*\bmean, .*\bproduct\b", out)
    assert re.search(r"(?m)^  trainer +auto, cpu, ddp, ddp_cpu, fsdp, fsdp_cpu, gpu$", out)
    assert "hydra " not in out


@pytest.mark.parametrize("words", [["--help"], [*OWN, "--cfg", "job"], ["fuson=concat"], ["--hydra-help"]])
def test_nothing_heavy_is_imported_before_it_is_needed(tmp_path: Path, words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.endswith("HEAVY []\n"), done.stdout + done.stderr


def test_processes_that_are_started_from_a_job_know_whether_tracebacks_are_wanted(tmp_path: Path) -> None:
    code = PROGRAM.replace('print("JOB")', "import os, json; print(json.dumps(dict(os.environ)))")
    clean = {key: value for key, value in os.environ.items() if key not in ("HYDRA_FULL_ERROR", "MMBERT_TRACEBACK")}
    wanted = {}
    for asked in ("0", "1"):
        command = [sys.executable, "-c", code, *OWN]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, env=clean | {"HYDRA_FULL_ERROR": asked})
        environ = json.loads(done.stdout.splitlines()[0])
        wanted[asked] = (environ["MMBERT_TRACEBACK"], environ["HYDRA_FULL_ERROR"])
    assert wanted == {"0": ("0", "1"), "1": ("1", "1")}


def test_a_pickle_of_hydras_is_not_read_without_consent(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.pickle").write_bytes(b"")
    assert run(lambda cfg: pytest.fail("it ran"), "--experimental-rerun", "config.pickle") == 2
    assert "this is a pickle, which runs any code that is in it" in capsys.readouterr().err
