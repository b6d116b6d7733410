"""Two processes and one folder: the second writer is refused and spoils nothing, readers are let in, sweeps share."""

import multiprocessing
import sys
import time
from contextlib import contextmanager

import pytest

from mmbert.cli import evaluate, report
from mmbert.core.folder_lock import folder_lock

SWEEP = ("-m", "hydra.sweep.dir=sweep", "seed=0,1")


def hold(folder, ready, shared):
    with folder_lock(folder, "", shared):
        ready.set()
        time.sleep(120)


@contextmanager
def held_elsewhere(folder, shared=False):
    """Another process holds the folder's lock; gives its number."""
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(folder, ready, shared))
    process.start()
    try:
        assert ready.wait(20)
        yield process.pid
    finally:
        process.kill()
        process.join()


def content(folder):
    """Every file with its bytes, the lock's own left out."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.fixture
def base(tiny_words):
    """The words of a tiny run without a folder."""
    return [word for word in tiny_words if not word.startswith("hydra.run.dir")]


def test_a_second_run_is_refused_before_hydra_writes_there(here, refused):
    (here / "out").mkdir()
    with held_elsewhere(here / "out") as other:
        assert refused().startswith(f"out is in use by process {other} on ")
        assert not content(here / "out")


def test_a_second_resume_is_refused_and_the_first_is_not_touched(here, refused, train):
    assert train().code == 0
    (here / "out" / "metrics.json").unlink()  # as if the run were in its last steps
    before = content(here / "out")
    with held_elsewhere(here / "out") as other:
        assert f"out is in use by process {other} on " in refused("resume=out", base=[])
        assert content(here / "out") == before
    ended = train("resume=out", base=[])  # that process was killed: the folder is free at once
    assert ended.code == 0, ended.err
    assert (here / "out" / "metrics.json").exists() and not (here / "out" / ".lock").exists()


def test_a_run_in_training_may_be_read(here, train, capsys, monkeypatch):
    assert train().code == 0
    with held_elsewhere(here / "out"):
        report.main(["out", "--out", "page"])
        monkeypatch.setattr(sys, "argv", ["mmbert-evaluate", "model=out", "out=evaluation", "trainer=cpu"])
        evaluate.main()
    assert (here / "page" / "report.html").exists() and (here / "evaluation" / "evaluation.json").exists()


def test_two_reports_and_two_evaluations_do_not_share_a_folder(here, train, capsys, monkeypatch):
    assert train().code == 0
    capsys.readouterr()
    with held_elsewhere(here / "page") as other:
        for command, words in (
            (report.main, ["mmbert-report", "out", "--out", "page"]),
            (evaluate.main, ["mmbert-evaluate", "model=out", "out=page", "trainer=cpu"]),
        ):
            monkeypatch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as left:
                command()
            assert left.value.code == 2
            assert f"page is in use by process {other} on " in capsys.readouterr().err
        assert not content(here / "page")


def test_a_new_sweep_keeps_out_of_a_running_one(here, refused, base):
    with held_elsewhere(here / "sweep", shared=True) as other:
        message = refused(*SWEEP, base=base)
    assert message.startswith(f"sweep is in use by process {other} on ") and "study.resume=true" in message
    assert not content(here / "sweep")


def test_sweeps_that_resume_share_the_jobs(here, train, base):
    with held_elsewhere(here / "sweep", shared=True), held_elsewhere(here / "sweep" / "0") as other:
        ended = train(*SWEEP, "study.resume=true", base=base)
    assert ended.code == 0, ended.err
    assert f"sweep/0 is in use by process {other} on " in ended.err and "this job is left to it" in ended.err
    assert [path.parent.name for path in here.glob("sweep/*/metrics.json")] == ["1"]
    assert not (here / "sweep" / "0" / "error.json").exists()


def test_a_job_that_another_has_done_meanwhile_is_not_done_again(here, train, base, monkeypatch):
    assert train(*SWEEP, base=base).code == 0
    before = content(here / "sweep")
    # the plan was made before the other process came to its end
    monkeypatch.setattr("mmbert.cli.sweep.sweeper.unfinished_jobs", lambda jobs, folder: jobs)
    ended = train(*SWEEP, "study.resume=true", base=base)
    assert ended.code == 0 and ended.err.count("another process has done this job meanwhile") == 2
    now = content(here / "sweep")
    assert all(now[path] == before[path] for path in before if ".hydra" not in path.parts and path.suffix != ".yaml")


def test_a_run_that_was_killed_before_it_began_is_started_again(here, refused, train):
    (here / "out" / ".hydra").mkdir(parents=True)
    (here / "out" / ".hydra" / "overrides.yaml").write_text("- data=manifest\n- data.path=my.csv\n")
    assert refused("resume=out", base=[]) == (
        "resume=out: that run was ended before it began, or is only just starting, so nothing is lost. Start it again: "
        "mmbert-train data=manifest data.path=my.csv hydra.run.dir=out"
    )
    assert train().code == 0
