#!/usr/bin/env bash
# transformers 5.23.0: the embedding of a sound by a fused CLAP (laion/clap-htsat-fused) depends on a coin, also in
# evaluation mode, and also if every sound of the batch is short.
#
# Most expect the same sound in the same batch to have the same vector in evaluation mode. ClapFeatureExtractor marks
# one sound of each batch, drawn by NumPy's global generator, as longer than ten seconds if none is ("if no audio is
# longer than 10s, then randomly select one audio to be longer"), and the model sends the marked ones through another
# way, that of feature fusion. Two sounds of half a second, twelve times:
#   sound    distinct vectors    largest difference
#   first    2                   above 0.1
# It matters because features that are stored, compared or searched then differ from run to run, by more than sounds
# differ from each other; a single sound is always marked, so that one by one and in a batch are different models.
# Set inputs["is_longer"] to False for sounds of up to ten seconds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.11.0 transformers==5.23.0 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PY'
import logging

import numpy as np
import torch
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

logging.disable(logging.WARNING)
torch.manual_seed(0)
AUDIO = {"num_mel_bins": 64, "spec_size": 256, "patch_embeds_hidden_size": 8, "depths": [1, 1], "hidden_size": 16}
AUDIO |= {"num_attention_heads": [2, 2], "num_hidden_layers": 2, "enable_fusion": True, "aff_block_r": 2}
TEXT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 60}
model = ClapModel(ClapConfig(audio_config=AUDIO, text_config=TEXT, projection_dim=16)).eval()
for weight in model.parameters():
    if weight.ndim > 1:
        torch.nn.init.normal_(weight, 0, 0.1)
extractor = ClapFeatureExtractor(truncation="fusion")  # as laion/clap-htsat-fused has it
draw = np.random.default_rng(0)
sounds = [draw.normal(0, 0.1, 24000).astype(np.float32) for _ in range(2)]  # half a second each
np.random.seed(0)
vectors, marked = [], []
for _ in range(12):
    inputs = extractor(sounds, sampling_rate=48000, return_tensors="pt")
    marked.append(inputs["is_longer"].flatten().tolist())
    with torch.no_grad():
        vectors.append(model.get_audio_features(**inputs).pooler_output[0])
distinct = torch.stack(vectors).mul(1e4).round().unique(dim=0)
gap = float((torch.stack(vectors) - vectors[0]).abs().max())
print(f"marked as longer, of two short sounds: {sorted(set(map(tuple, marked)))}")
print(f"first sound: {len(distinct)} distinct vectors, they differ by {gap:.3f}")
assert all(sum(row) == 1 for row in marked) and len(distinct) == 2 and gap > 0.1, "transformers has changed"
print("transformers 5.23.0: as described")
PY
