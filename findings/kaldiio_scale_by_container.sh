#!/usr/bin/env bash
# kaldiio 2.18.1: one wav.scp gives the same sound on two scales, ±16384 from WAV and ±0.5 from FLAC.
#
# Most expect a reader of sounds to have one scale, whatever the container: soundfile, torchaudio and librosa do. kaldiio
# decodes WAV by itself into the file's own integers (int16) and hands every other container to soundfile, which gives
# floats in [-1, 1] (float64). Both come without a word from the same load_scp of one list:
#   pcm    int16    largest value 16384
#   flac   float64  largest value 0.5
# It matters because lists that mix both are ordinary (a corpus whose later part was compressed), and log-mel features
# of the two then differ by a constant of 2·ln(32768) = 20.8: a model learns the container. Divide integers by 32768.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet kaldiio==2.18.1 soundfile==0.14.0 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PY'
import kaldiio
import numpy as np
import soundfile

sound = (0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)).astype(np.float32)
soundfile.write("a.wav", sound, 8000, subtype="PCM_16")
soundfile.write("a.flac", sound, 8000, subtype="PCM_16")
with open("wav.scp", "w") as file:
    file.write("pcm a.wav\nflac a.flac\n")
seen = {name: samples for name, (_, samples) in kaldiio.load_scp("wav.scp").items()}
for name, samples in seen.items():
    print(f"{name:6} {samples.dtype!s:8} largest value {np.abs(samples).max():g}")
assert seen["pcm"].dtype == np.int16 and np.abs(seen["pcm"]).max() == 16384, "kaldiio has changed"
assert seen["flac"].dtype == np.float64 and np.abs(seen["flac"]).max() == 0.5, "kaldiio has changed"
print("kaldiio 2.18.1: as described")
PY
