#!/bin/bash
# Speech recognition of one voice each, English prompts and French captions: study.sh [FOLDER OF RUNS]
# A masked language model of MELD's texts is trained first; it rescores the English n-best lists.
set -eu
runs=${1:-multirun/one_voice_speech}
common=(logger=none plots=false data.num_workers=0 trainer.enable_progress_bar=false)

mmbert-train task=mlm data=meld_text encoders.text.max_tokens=32 trainer.max_epochs=1 data.batch_size=64 \
    data.bucket_by_length=true hydra.run.dir="$runs/language_model" "${common[@]}"

train() { # NAME SEED [OPTION ...]
    mmbert-train tasks=speech audio=melspec_cnn encoders.audio.hop_seconds=0.01 'encoders.audio.time_strides=[2,2,1]' \
        encoders.audio.max_seconds=6 'encoders.audio.spec_augment={bands:4,frames:6,count:1}' fusion=concat \
        optimizer.lr=2e-3 data.batch_size=16 data.on_error=skip trainer.max_epochs=40 trainer.check_val_every_n_epoch=2 \
        '~callbacks.early_stopping' monitor=val/said/cer tasks.said.beam_size=16 seed="$2" \
        hydra.run.dir="$runs/$1-seed$2" "${common[@]}" "${@:3}"
}
for seed in 0 1 2; do
    train prompts "$seed" data=prompts text=none tasks.said.n_best=16 tasks.said.rescore_with="$runs/language_model"
    train stamps "$seed" data=stamps modalities=audio tasks.said.column=caption_fr
done
