"""What masked language modelling of MELD's texts adds to a frozen MiniLM, over numbers of labels.

    python experiments/pretraining_gain/run.py
    python experiments/pretraining_gain/run.py --stages given

MiniLM is trained on the texts of train without labels (``outputs/pretraining_gain``); then emotions are learnt from
few labels on its frozen features, and on those of the encoder as it is given (``multirun/pretraining_gain``).
"""

from __future__ import annotations

import argparse
import subprocess
import sys

PER_CLASS = (14, 71, 285)
SEEDS = range(5)
PRETRAINED = "outputs/pretraining_gain"
TEXT = ("data=meld_text", "encoders.text.max_tokens=32", "trainer=cpu", "data.num_workers=0", "data.batch_size=64")
TEXT += ("data.eval_batch_size=256", "logger=csv", "plots=false", "trainer.enable_progress_bar=false")


def train(*words: str) -> None:
    """Runs mmbert-train."""
    subprocess.run([sys.executable, "-m", "mmbert.cli.train", *words], check=True)


def pretrain() -> None:
    """Masked language modelling of the texts of train: one epoch, 157 steps."""
    batches = ("trainer.max_epochs=1", "data.bucket_by_length=true")
    train("task=mlm", *TEXT, *batches, f"hydra.run.dir={PRETRAINED}")


def classify(encoder: str) -> None:
    """Emotion on frozen features: each number of labels, each draw of rows; validation once, at the end."""
    words = [*TEXT, "encoders.text.frozen=true", "tasks.sentiment=null", "fusion=concat"]
    words += ["data.per_class_rare=keep", "data.split.seed=${seed}"]
    words += ["trainer.max_epochs=30", "trainer.check_val_every_n_epoch=30"]
    if encoder == "mlm":
        words.append(f"encoders_from={PRETRAINED}")
    words += [f"data.per_class={','.join(map(str, PER_CLASS))}", f"seed={','.join(map(str, SEEDS))}"]
    words += ["study.name=pretraining_gain", "study.resume=true"]
    place = f"hydra.sweep.dir=multirun/pretraining_gain/{encoder}"
    train("-m", *words, place, "hydra.sweep.subdir=per_class${data.per_class}-seed${seed}")


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--stages", nargs="+", choices=("pretrain", "given", "mlm"), default=["pretrain", "given", "mlm"]
    )
    for stage in parser.parse_args().stages:
        if stage == "pretrain":
            pretrain()
        else:
            classify(stage)


if __name__ == "__main__":
    main()
