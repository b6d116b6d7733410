"""The study fusion_zoo from beginning to end: encoders, a search for each strategy, seeds with what it found, a report.

    python experiments/fusion_zoo/run.py
    python experiments/fusion_zoo/run.py --only runs report
    python experiments/fusion_zoo/run.py --strategies concat,mean --trials 2 --chosen try.yaml -- trainer.max_epochs=1

Start it again after an interruption: what is finished is not done again. Words behind ``--`` go to every training run.
Runs lie in the folder one stands in; make a try in another one, or the study takes the try's searches for its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
CHOSEN = HERE / "chosen.yaml"
STEPS = ("encoders", "search", "runs", "report")
ENCODERS = Path("outputs/fusion_zoo")
SEARCHES = Path("multirun/fusion_zoo_search")
RUNS = Path("multirun/fusion_zoo")
#: A frame for modules of other packages, which is no strategy itself; and one that works inside the text encoder, where
#: nothing stored can be read: it would run the encoder forwards and backwards in every step.
LEFT_OUT = ("adapter", "mag")
#: What is searched, the same for all; DROPOUT is the strategy's own, or the answer's head's where it has none.
SPACE = {
    "optimizer.lr": "tag(log,interval(3e-4,1e-2))",
    "optimizer.weight_decay": "tag(log,interval(1e-3,1e-1))",
    "DROPOUT": "interval(0.0,0.4)",
}
#: Trials have a seed of their own, so that no seed of the comparison has chosen its options.
SEARCH_SEED = 100
#: A low-discrepancy sequence rather than TPE: the points do not depend on results, so all strategies are tried at the
#: same ones, and a search that is resumed goes on with the next. No trial is cut short. No trial sees a test split.
SEARCH = [
    "hydra/sweeper=optuna",
    "hydra.sweeper.sampler._target_=optuna.samplers.QMCSampler",
    "+hydra.sweeper.sampler.scramble=true",
    "+hydra.sweeper.sampler.warn_independent_sampling=false",
    "hydra.sweeper.pruner=null",
    f"seed={SEARCH_SEED}",
    "data.splits.test=null",
    "data.splits.test_missing=null",
    "robustness.subsets=false",
    "study.name=fusion_zoo_search",
]


def main() -> None:
    """Runs the steps that are asked for; a strategy that fails stops no other, and the exit code tells."""
    args = words_of().parse_args()
    names = args.strategies.split(",") if args.strategies else strategies()
    failed: list[str] = []
    if "encoders" in args.only:
        for task, modality in (("seen", "image"), ("heard", "audio")):
            if train_encoder(task, modality, args.words):
                sys.exit(f"The encoder of {modality} failed; without it nothing else can run.")
    if "search" in args.only:
        failed += [f"search of {name}" for name in names if train(search_words(name, args.trials, args.words))]
        write_chosen(names, args.chosen)
    if "runs" in args.only:
        chosen = read_chosen(args.chosen)
        failed += [f"{name}: no options were chosen" for name in names if name not in chosen]
        failed += [
            f"runs of {name}"
            for name in names
            if name in chosen and train(run_words(name, args.seeds, chosen[name]["options"], args.words))
        ]
    if "report" in args.only:
        call(["-m", "mmbert.cli.report", str(RUNS), "--out", "reports/fusion_zoo"])
    if failed:
        sys.exit("Failed: " + "; ".join(failed) + ". The same command tries again what failed.")


def words_of() -> argparse.ArgumentParser:
    """What may be typed."""
    parser = argparse.ArgumentParser(description="The study fusion_zoo.")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=STEPS, help="these steps")
    parser.add_argument("--strategies", help="concat,mean,...; by default every file of conf/fusion")
    parser.add_argument("--trials", type=int, default=3, help="of each strategy's search (3)")
    parser.add_argument("--seeds", default="0,1,2", help="of the comparison (0,1,2)")
    parser.add_argument("--chosen", type=Path, default=CHOSEN, help="the file of what the searches found")
    parser.add_argument("words", nargs="*", help="behind --: options of every training run")
    return parser


def strategies() -> list[str]:
    """Every strategy there is, those of the folder one stands in too."""
    from mmbert.cli.options.help import group_choices

    return [name for name in group_choices()["fusion"] if name not in LEFT_OUT]


def train_encoder(task: str, modality: str, words: Sequence[str]) -> int:
    """Trains the encoder of one modality on the number it shows, unless that is done; the exit code."""
    folder = ENCODERS / task
    if (folder / "metrics.json").exists():
        return 0
    if (folder / "checkpoints" / "last.ckpt").exists():
        return train([f"resume={folder}"])
    told = [f"tasks=only_{task}", f"modalities={modality}", f"hydra.run.dir={folder}", "plots=false", "logger=csv"]
    return train([*told, "data.splits.test_missing=null", *words])


def search_words(name: str, trials: int, words: Sequence[str]) -> list[str]:
    """The words of a strategy's search."""
    space = [f"{dropout_of(name) if key == 'DROPOUT' else key}={values}" for key, values in SPACE.items()]
    place = [f"hydra.sweep.dir={SEARCHES / name}", "hydra.sweep.subdir=trial${study.trial}"]
    goes_on = [f"hydra.sweeper.n_trials={trials}", "study.resume=true"]
    return ["-m", "experiment=fusion_zoo", f"fusion={name}", *SEARCH, *space, *place, *goes_on, "logger=csv", *words]


def run_words(name: str, seeds: str, options: dict[str, Any], words: Sequence[str]) -> list[str]:
    """The words of a strategy's runs with the options that were chosen for it."""
    told = [f"{key}={value}" for key, value in options.items()]
    return [
        "-m",
        "experiment=fusion_zoo",
        f"fusion={name}",
        f"seed={seeds}",
        *told,
        "study.resume=true",
        "logger=csv",
    ] + [*words]


def dropout_of(name: str) -> str:
    """The option that is a strategy's dropout: its own, or that of the answer's head if it has none."""
    import mmbert.conf

    groups = [Path(mmbert.conf.__path__[0]) / "fusion", Path("conf/fusion"), Path("fusion")]
    file = next(file for group in groups if (file := group / f"{name}.yaml").exists())
    return "fusion.dropout" if "dropout" in yaml.safe_load(file.read_text("utf-8")) else "tasks.answer.dropout"


def write_chosen(names: Sequence[str], file: Path) -> None:
    """Writes the best options of every search that ended; those of strategies not named stay."""
    chosen = read_chosen(file)
    for name in names:
        found = SEARCHES / name / "optimization_results.yaml"
        best = yaml.safe_load(found.read_text("utf-8")) if found.exists() else {}
        if "best_params" in best:
            chosen[name] = {
                "validation": best["best_value"],
                "trial": best["best_trial"],
                "trials": best["trials"],
                "options": best["best_params"],
            }
    head = "# The best of each strategy's search, by validation accuracy of the answer; written by run.py.\n"
    file.write_text(head + yaml.safe_dump(dict(sorted(chosen.items())), sort_keys=False), "utf-8")


def read_chosen(file: Path) -> dict[str, Any]:
    """What was chosen so far, by strategy."""
    return (yaml.safe_load(file.read_text("utf-8")) or {}) if file.exists() else {}


def train(words: Sequence[str]) -> int:
    """``mmbert-train`` with these words; its exit code."""
    return call(["-m", "mmbert.cli.train", *words])


def call(words: Sequence[str]) -> int:
    """This Python with these words, which are shown; its exit code."""
    print("+ python", *words, flush=True)
    return subprocess.run([sys.executable, *words], check=False).returncode


if __name__ == "__main__":
    main()
