#!/bin/bash
# Speech recognition of spoken digits on two new speakers: study.sh [FOLDER OF RUNS]
# Plain and with SpecAugment with seed 0; what validation prefers, with the further seeds.
set -eu
runs=${1:-multirun/fsdd_speech}
export OMP_NUM_THREADS=1

train() { # NAME SEED [OPTION ...]
    mmbert-train data=fsdd tasks=speech audio=melspec_cnn encoders.audio.hop_seconds=0.01 \
        'encoders.audio.time_strides=[2,1,1]' fusion=concat logger=none plots=false data.num_workers=0 \
        trainer.max_epochs=12 seed="$2" hydra.run.dir="$runs/$1-seed$2" "${@:3}"
}
augment=encoders.audio.spec_augment={bands:8,frames:10,count:2}
train plain 0 & train augmented 0 "$augment" &
wait
chosen=$(python - "$runs" <<'END'
import json, sys
rate = {}
for name in ("plain", "augmented"):
    rate[name] = json.load(open(f"{sys.argv[1]}/{name}-seed0/metrics.json"))["val/said/wer"]
print(min(rate, key=rate.get))
END
)
for seed in 1 2; do
    if [ "$chosen" = plain ]; then train plain $seed; else train augmented $seed "$augment"; fi &
done
wait
