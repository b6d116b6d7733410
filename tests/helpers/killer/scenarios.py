"""The commands that are killed: training, encoding, sweeps, searches, reports and pages of the data."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from killer.scenario import Scenario

#: A run of a second on texts alone.
TINY = (
    *("data=manifest", "data.num_workers=0", "data.batch_size=4", "text=tiny", "image=none", "audio=none"),
    *("fusion=mean", "fusion.out_dim=8", "fusion.dropout=0.3", "trainer=cpu", "trainer.enable_progress_bar=false"),
    *("logger=csv", "trainer.log_every_n_steps=1", "checkpoint.every_minutes=0.0000001"),
    "callbacks.early_stopping.patience=9",
)


def table(shared: Path, rows: int = 24) -> Path:
    """A CSV file of short texts, two classes and three splits."""
    lines = [f"word{i % 2} {i} {'and ' * (i % 7)}end,{'ab'[i % 2]}" for i in range(rows)]
    splits = [f"{line},{split}" for split in ("train", "val", "test") for line in lines]
    (shared / "my.csv").write_text("\n".join(["text,label,split", *splits]) + "\n")
    return shared / "my.csv"


def command(main: Callable[[], Any], *words: str) -> None:
    """A command as it is typed."""
    sys.argv = [main.__module__, *words]
    main()


class Training(Scenario):
    """A run, started anew where it was killed before it had a config, else resumed."""

    name = "training"
    kills = 20
    terms = 0.25
    more: tuple[str, ...] = ("trainer.max_epochs=4", "plots=false")

    def prepare(self, shared: Path) -> None:
        table(shared)

    def work(self, shared: Path, folder: Path) -> None:
        from mmbert.cli import train

        if (folder / "run" / "config.yaml").exists():
            command(train.main, f"resume={folder / 'run'}")
        else:
            command(train.main, *TINY, *self.more, f"data.path={shared / 'my.csv'}", f"hydra.run.dir={folder / 'run'}")

    def left(self, shared: Path, folder: Path) -> dict[str, Any]:
        return left_of_run(folder / "run")

    def begun(self, folder: Path) -> bool:
        return (folder / "run" / "config.yaml").exists()

    def stage(self, folder: Path) -> str:
        run = folder / "run"
        if (run / "metrics.json").exists():
            return "writing results"
        if (run / "checkpoints" / "last.ckpt").exists():
            return "training"
        return "first epoch" if (run / "config.yaml").exists() else "before the config"


class TrainingWithPlots(Training):
    """As training, with loader workers, a frozen encoder, augmentation and plots: a long end."""

    name = "training with plots and workers"
    kills = 6
    terms = 0.0
    more = (
        *("trainer.max_epochs=2", "plots=true", "data.num_workers=1", "encoders.text.frozen=true"),
        *("augment=standard", "augment.modality_dropout=0", "augment.text.mask=0.1"),
    )

    def begun(self, folder: Path) -> bool:
        return (folder / "run" / "metrics.json").exists()  # it is the end that most kills are to meet

    def left(self, shared: Path, folder: Path) -> dict[str, Any]:
        plots = {path.name: path.read_bytes() for path in (folder / "run" / "plots").iterdir()}
        return {**left_of_run(folder / "run"), **plots}


class Encoding(Scenario):
    """The store is filled by a frozen encoder."""

    name = "encoding"
    kills = 10

    def prepare(self, shared: Path) -> None:
        table(shared, rows=120)

    def work(self, shared: Path, folder: Path) -> None:
        from mmbert.cli import store

        words = (*TINY, f"data.path={shared / 'my.csv'}", "encoders.text.frozen=true", f"store.dir={folder / 'store'}")
        command(store.main, "build", *words)

    def left(self, shared: Path, folder: Path) -> dict[str, Any]:
        from mmbert.store.inventory import array_stores, open_array_store, verify_array_store

        found: dict[str, Any] = {}
        for one in array_stores(folder / "store"):
            store = open_array_store(one.folder)
            keys = store.keys()
            for key, place in zip(keys.tolist(), store.find(keys).tolist(), strict=True):
                entry = store.entry(place)
                found[f"{one.name} {key}"] = None if entry is None else [array.tobytes() for array in entry]
            found[f"{one.name} damaged"] = verify_array_store(one)[1]
        return found

    def begun(self, folder: Path) -> bool:
        return any((folder / "store").rglob("*.index"))

    def stage(self, folder: Path) -> str:
        return "encoding" if self.begun(folder) else "before the first batch"


class Study(Scenario):
    """A sweep of four jobs that goes on with what is missing."""

    name = "a study"
    kills = 8

    def prepare(self, shared: Path) -> None:
        table(shared)

    def work(self, shared: Path, folder: Path) -> None:
        from mmbert.cli import train

        words = ("trainer.max_epochs=2", "plots=false", f"data.path={shared / 'my.csv'}", "study.resume=true")
        command(
            train.main, "-m", *TINY, *words, f"hydra.sweep.dir={folder / 'sweep'}", "seed=0,1", "fusion=mean,concat"
        )

    def left(self, shared: Path, folder: Path) -> dict[str, Any]:
        jobs = sorted((folder / "sweep").glob("*/config.yaml"))
        found = {
            f"{path.parent.name} {name}": value for path in jobs for name, value in left_of_run(path.parent).items()
        }
        return {**found, "jobs": len(jobs)}

    def begun(self, folder: Path) -> bool:
        return any((folder / "sweep").glob("*/config.yaml"))

    def stage(self, folder: Path) -> str:
        done = len(list((folder / "sweep").glob("*/metrics.json")))
        return f"job {min(done + 1, 4)}"


class Search(Scenario):
    """A search with Optuna."""

    name = "a search"
    kills = 4
    most = 2

    def prepare(self, shared: Path) -> None:
        table(shared)

    def work(self, shared: Path, folder: Path) -> None:
        from mmbert.cli import train

        words = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "optimizer.lr=interval(0.001,0.1)")
        words += ("trainer.max_epochs=2", "plots=false", f"data.path={shared / 'my.csv'}", "study.resume=true")
        command(train.main, "-m", *TINY, *words, f"hydra.sweep.dir={folder / 'sweep'}")

    def left(self, shared: Path, folder: Path) -> dict[str, Any]:
        jobs = sorted((folder / "sweep").glob("*/config.yaml"))
        found = {
            f"{path.parent.name} {name}": value for path in jobs for name, value in left_of_run(path.parent).items()
        }
        return {**found, "best": (folder / "sweep" / "optimization_results.yaml").read_text()}


class Report(Scenario):
    """A report written over an older one of other runs: a reader always finds the one or the other."""

    name = "a report"
    kills = 12
    most = 4

    def prepare(self, shared: Path) -> None:
        from mmbert.cli import report
        from mmbert.cli.train import main

        path = table(shared)
        words = ("-m", *TINY, "trainer.max_epochs=1", f"data.path={path}", f"hydra.sweep.dir={shared / 'sweep'}")
        command(main, *words, "seed=0,1", "fusion=mean,concat")
        for number, runs in enumerate((["0", "1"], ["0", "1", "2", "3"])):
            folders = [str(shared / "sweep" / run) for run in runs]
            report.main([*folders, "--by", "fusion", "--out", str(shared / f"report-{number}")])

    def work(self, shared: Path, folder: Path) -> None:
        import shutil

        from mmbert.cli import report

        if not (folder / "old").exists():
            shutil.copytree(shared / "report-0", folder / "page", dirs_exist_ok=True)
            (folder / "old").touch()
        runs = [str(shared / "sweep" / str(number)) for number in range(4)]
        report.main([*runs, "--by", "fusion", "--out", str(folder / "page")])

    def left(self, shared: Path, folder: Path) -> dict[str, Any]:
        return {path.name: path.read_bytes() for path in sorted((folder / "page").iterdir())}

    def torn(self, shared: Path, folder: Path) -> list[str]:
        if not (folder / "old").exists():
            return []
        versions = [shared / f"report-{number}" for number in (0, 1)]
        return [
            path.name
            for path in (folder / "page").iterdir()
            if not path.name.startswith(".")
            and path.read_bytes() not in [(version / path.name).read_bytes() for version in versions]
        ]


class DataPage(Scenario):
    """The page and the JSON file of mmbert-check-data."""

    name = "a page of the data"
    kills = 6

    def prepare(self, shared: Path) -> None:
        table(shared, rows=60)

    def work(self, shared: Path, folder: Path) -> None:
        from mmbert.cli import check_data

        words = ("data=manifest", f"data.path={shared / 'my.csv'}", "text=tiny", "image=none", "audio=none")
        command(check_data.main, *words, "--html", str(folder / "data.html"), "--json", str(folder / "data.json"))

    def left(self, shared: Path, folder: Path) -> dict[str, Any]:
        return {name: (folder / name).read_bytes() for name in ("data.html", "data.json")}


def left_of_run(run: Path) -> dict[str, Any]:
    """What a run leaves that neither kills nor company may change; its half-written files must be gone."""
    metrics = json.loads((run / "metrics.json").read_text())
    files = ("history.csv", "predictions/val.parquet", "predictions/test.parquet", "model/model.safetensors")
    return {
        **{name: (run / name).read_bytes() for name in files},
        **{path.name: path.read_bytes() for path in run.glob("model/**/*.safetensors")},
        "metrics": {key: value for key, value in metrics.items() if "/" in key},
        "checkpoint": metrics["checkpoint"],
        "steps": metrics["steps"],
        "leftovers": sorted(path.name for path in run.rglob(".*") if path.name not in (".hydra",)),
        "error": (run / "error.json").exists(),
    }


def left_of_sweep(sweep: Path) -> dict[str, Any]:
    """What all its jobs leave, by the name of their folder."""
    jobs = sorted(path.parent for path in sweep.glob("*/config.yaml"))
    found = {f"{job.name} {name}": value for job in jobs for name, value in left_of_run(job).items()}
    return {**found, "jobs": [job.name for job in jobs]}


#: In the order of the published table.
SCENARIOS = (Training(), TrainingWithPlots(), Encoding(), Study(), Search(), Report(), DataPage())
