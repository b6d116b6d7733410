#!/usr/bin/env bash
# peft 0.21.2 × torch 2.11.0: a LoRA adapter on linear1 and linear2 of nn.TransformerEncoderLayer trains, and has no part
# in the output once the module is in evaluation mode; one on self_attn.out_proj has none ever.
#
# Most expect that a layer which peft has wrapped acts with its adapter wherever it is used, and that eval() turns off
# dropout alone. torch's encoder layer takes a fused path in evaluation (no gradients, batch_first) that reads
# linear1.weight and linear2.weight, and peft's wrapper answers with the base layer's; MultiheadAttention always reads
# out_proj.weight. No warning comes from either. With dropout 0 the same input gives:
#   adapter on       training, change of the output    evaluation, change of the output
#   linear1,linear2  above 0                           exactly 0
#   out_proj         exactly 0                         exactly 0
# It matters because the training loss falls, so the adapters have learnt, while every number that is measured in
# evaluation mode is that of the base model. torch.backends.mha.set_fastpath_enabled(False) helps in the first case.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.11.0 peft==0.21.2 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PY'
import warnings

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

warnings.simplefilter("ignore")


def changes(targets: list[str]) -> tuple[float, float]:
    """How much an adapter with weights far from 0 changes the output, in training and in evaluation mode."""
    found = []
    for training in (True, False):
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True).train(training)
        x = torch.randn(2, 5, 16)
        with torch.no_grad():
            before = layer(x)
            holder = inject_adapter_in_model(LoraConfig(target_modules=targets), nn.ModuleDict({"layer": layer}))
            for name, parameter in holder.named_parameters():
                if "lora_" in name:
                    nn.init.normal_(parameter)
            holder.train(training)
            found.append(float((holder["layer"](x) - before).abs().max()))
    return found[0], found[1]


for targets in (["linear1", "linear2"], ["out_proj"]):
    training, evaluation = changes(targets)
    print(f"{','.join(targets):16} training {training:.3f}  evaluation {evaluation:.3f}")
    assert evaluation == 0, "torch or peft has changed"
    assert (training > 0.01) == (targets != ["out_proj"]), "torch or peft has changed"
print("peft 0.21.2 x torch 2.11.0: as described")
PY
