"""What masked language modelling of MELD's texts adds to frozen encoders, over numbers of labels.

    python experiments/pretraining_gain/run.py
    python experiments/pretraining_gain/run.py --encoders minilm --stages pretrain

Two encoders: MiniLM with its published weights, and two layers of the same width that begin with random ones. Each is
trained on the texts of train without labels (``outputs/pretraining_gain``); then emotions are learnt on its frozen
features, and on those of the encoder as it was, from few labels (``multirun/pretraining_gain``).
"""

from __future__ import annotations

import argparse
import subprocess
import sys

PER_CLASS = (14, 71, 285)
SEEDS = range(5)
TEXT = ("data=meld_text", "encoders.text.max_tokens=32", "trainer=cpu", "data.num_workers=0", "plots=false")
LOCAL = ("logger=csv", "trainer.enable_progress_bar=false", "data.eval_batch_size=256")
ENCODERS = {
    "minilm": (),
    "small": ("encoders.text.pretrained=false", "encoders.text.config={num_hidden_layers: 2}"),
}
#: Epochs of 157 steps; layers with random weights take a higher learning rate, 1e-3 instead of 3e-5.
PRETRAINING = {
    "minilm": ("trainer.max_epochs=2",),
    "small": ("trainer.max_epochs=4", "encoders.text.lr_scale=0.33"),
}


def train(*words: str) -> None:
    """Runs mmbert-train."""
    subprocess.run([sys.executable, "-m", "mmbert.cli.train", *words], check=True)


def pretrain(encoder: str) -> None:
    """Masked language modelling of the texts of train."""
    batches = ("data.batch_size=64", "data.bucket_by_length=true")
    place = f"hydra.run.dir=outputs/pretraining_gain/{encoder}"
    train("task=mlm", *TEXT, *LOCAL, *ENCODERS[encoder], *PRETRAINING[encoder], *batches, place)


def classify(encoder: str, begins_with: str) -> None:
    """Emotion on frozen features: each number of labels, each draw of rows; validation once, at the end."""
    words = [*TEXT, *LOCAL, *ENCODERS[encoder], "encoders.text.frozen=true", "tasks.sentiment=null", "fusion=concat"]
    words += ["data.per_class_rare=keep", "data.split.seed=${seed}", "optimizer.lr=1e-3"]
    words += ["trainer.max_epochs=30", "trainer.check_val_every_n_epoch=30"]
    if begins_with == "mlm":
        words.append(f"encoders_from=outputs/pretraining_gain/{encoder}")
    words += [f"data.per_class={','.join(map(str, PER_CLASS))}", f"seed={','.join(map(str, SEEDS))}"]
    words += ["study.name=pretraining_gain", "study.resume=true"]
    place = f"hydra.sweep.dir=multirun/pretraining_gain/{encoder}-{begins_with}"
    train("-m", *words, place, "hydra.sweep.subdir=per_class${data.per_class}-seed${seed}")


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=list(ENCODERS))
    parser.add_argument(
        "--stages", nargs="+", choices=("pretrain", "given", "mlm"), default=("pretrain", "given", "mlm")
    )
    chosen = parser.parse_args()
    for encoder in chosen.encoders:
        for stage in chosen.stages:
            if stage == "pretrain":
                pretrain(encoder)
            else:
                classify(encoder, stage)


if __name__ == "__main__":
    main()
