#!/usr/bin/env bash
# peft 0.21.2 × transformers 5.23.0: a LoRA adapter on the attention of WavLM (q_proj, k_proj, v_proj, out_proj, the usual
# target modules) changes no output and gets no gradient, in training and in evaluation.
#
# Most expect of a model of transformers what holds for wav2vec 2.0 and HuBERT, whose modules have the same names: a
# wrapped layer acts with its adapter. WavLMAttention gives the weights of its layers to torch's
# multi_head_attention_forward and calls none of them; peft's wrapper answers with the base layer's weight. No warning:
#   model      adapters with a gradient    change of the output by random adapters
#   wav2vec2   16 of 16                    above 0
#   wavlm      0 of 16                     exactly 0
# It matters because print_trainable_parameters() counts them, an optimiser takes them, the head above learns, and
# what is saved as a fine-tuned WavLM is the base model. Name intermediate_dense and output_dense instead.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.11.0 peft==0.21.2 transformers==5.23.0 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PY'
import warnings

import torch
from peft import LoraConfig, get_peft_model
from transformers import Wav2Vec2Config, Wav2Vec2Model, WavLMConfig, WavLMModel

warnings.simplefilter("ignore")
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SMALL |= {"num_conv_pos_embedding_groups": 4, "conv_dim": [16] * 7, "layerdrop": 0.0, "apply_spec_augment": False}
TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj"]
for name, kind, config in (("wav2vec2", Wav2Vec2Model, Wav2Vec2Config), ("wavlm", WavLMModel, WavLMConfig)):
    torch.manual_seed(0)
    model = get_peft_model(kind(config(**SMALL)), LoraConfig(r=4, target_modules=TARGETS))
    adapters = {key: weight for key, weight in model.named_parameters() if "lora_" in key}
    for weight in adapters.values():
        torch.nn.init.normal_(weight)
    sound = torch.randn(1, 8000)
    model.train()(sound).last_hidden_state.square().sum().backward()
    learning = sum(weight.grad is not None and bool(weight.grad.any()) for weight in adapters.values())
    with torch.no_grad(), model.eval().disable_adapter():
        base = model(sound).last_hidden_state
    with torch.no_grad():
        change = float((model(sound).last_hidden_state - base).abs().max())
    print(f"{name:9} {learning} of {len(adapters)} adapters have a gradient, the output changes by {change:.3f}")
    assert len(adapters) == 16
    assert (learning, change > 0) == ((0, False) if name == "wavlm" else (16, True)), "peft or transformers has changed"
print("peft 0.21.2 x transformers 5.23.0: as described")
PY
