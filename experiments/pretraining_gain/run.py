"""What masked language modelling of a set's own texts adds to a frozen MiniLM, over numbers of labels.

    python experiments/pretraining_gain/run.py
    python experiments/pretraining_gain/run.py --sets stamps --stages given

MiniLM is trained on the texts of train without labels (``outputs/pretraining_gain_SET``); then classes are learnt from
few labels on its frozen features, and on those of the encoder as it is given (``multirun/pretraining_gain/SET``).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass

SEEDS = range(5)


@dataclass(frozen=True)
class Texts:
    """Of a set: the words of the command line, numbers of labels a class, and the options of pre-training."""

    words: tuple[str, ...]
    task: str
    per_class: tuple[int, ...]
    pretraining: tuple[str, ...]


SETS = {
    # Dialogues in English, which MiniLM knows.
    "meld": Texts(
        ("data=meld_text", "encoders.text.max_tokens=32"),
        "tasks.sentiment=null",
        (14, 71, 285),
        ("trainer.max_epochs=1", "data.batch_size=64", "data.bucket_by_length=true"),
    ),
    # Captions in Finnish, which it hardly knows; there are few.
    "stamps": Texts(
        ("data=stamps", "data.caption=fi", "modalities=text", "data.rows_without=skip", "encoders.text.max_tokens=32"),
        "tasks.kind=null",
        (2, 8, 32),
        ("trainer.max_epochs=12", "data.batch_size=32"),
    ),
}
PLAIN = ("trainer=cpu", "data.num_workers=0", "logger=csv", "plots=false", "trainer.enable_progress_bar=false")


def train(*words: str) -> None:
    """Runs mmbert-train."""
    subprocess.run([sys.executable, "-m", "mmbert.cli.train", *words], check=True)


def pretrain(name: str) -> None:
    """Masked language modelling of the texts of train: the checkpoint with the lowest loss on validation."""
    chosen = SETS[name]
    train("task=mlm", *chosen.words, *PLAIN, *chosen.pretraining, f"hydra.run.dir=outputs/pretraining_gain_{name}")


def classify(name: str, encoder: str) -> None:
    """Classes from frozen features: each number of labels, each draw of rows; validation once, at the end."""
    chosen = SETS[name]
    words = [*chosen.words, *PLAIN, chosen.task, "encoders.text.frozen=true", "fusion=concat"]
    words += ["data.batch_size=64", "data.eval_batch_size=256", "data.per_class_rare=keep", "data.split.seed=${seed}"]
    words += ["trainer.max_epochs=30", "trainer.check_val_every_n_epoch=30"]
    if encoder == "mlm":
        words.append(f"encoders_from=outputs/pretraining_gain_{name}")
    words += [f"data.per_class={','.join(map(str, chosen.per_class))}", f"seed={','.join(map(str, SEEDS))}"]
    words += [f"study.name=pretraining_gain_{name}", "study.resume=true"]
    place = f"hydra.sweep.dir=multirun/pretraining_gain/{name}/{encoder}"
    train("-m", *words, place, "hydra.sweep.subdir=per_class${data.per_class}-seed${seed}")


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument(
        "--stages", nargs="+", choices=("pretrain", "given", "mlm"), default=["pretrain", "given", "mlm"]
    )
    words = parser.parse_args()
    for name in words.sets:
        for stage in words.stages:
            if stage == "pretrain":
                pretrain(name)
            else:
                classify(name, stage)


if __name__ == "__main__":
    main()
