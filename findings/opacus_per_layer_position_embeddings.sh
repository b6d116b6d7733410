#!/usr/bin/env bash
# opacus 1.6.0 × transformers 5.23.0: with clipping="per_layer" the position embeddings of a BERT are clipped once for the
# whole batch, so that one sample can move their sum by 2 C where C is allowed, and nothing is said.
#
# Most expect that a model which ModuleValidator passes is trained with each sample's gradient clipped to C, from which
# the noise, and ε, follow. transformers looks up positions once, with ids of shape (1, length), and adds them to every
# sample; opacus takes the first dimension of a layer's input for the batch and so has one "sample" for that layer: the
# sum over the batch. With flat clipping the optimizer's step fails ("stack expects each tensor to be equal size", issue
# 841 of opacus). With clipping="per_layer" no norm is compared with another, the step is taken, and for that layer:
#   clipped sum of a batch of one sample, against that with one more sample   differ by more than 1.5 C
#   the same for the layer of word embeddings                                 differ by at most C
# It matters because the noise is made for C: the ε that is reported does not hold. Freezing the embeddings helps; the
# other layers, and low-rank adapters, have the gradients of single samples.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.11.0 opacus==1.6.0 transformers==5.23.0 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PY'
import warnings

import torch
from opacus import GradSampleModule
from opacus.optimizers import DPPerLayerOptimizer
from opacus.validators import ModuleValidator
from torch import nn
from transformers import BertConfig, BertModel

warnings.simplefilter("ignore")
C = 1.0


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        config = BertConfig(
            vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=20, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        )
        self.bert, self.head = BertModel(config, add_pooling_layer=False), nn.Linear(16, 1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.bert(input_ids=ids).last_hidden_state[:, 0]).squeeze(1)


def clipped_sums(rows: list[int]) -> dict[str, torch.Tensor]:
    """By layer the sum of clipped gradients of these samples: the same text, one wants 50 and the other -100."""
    torch.manual_seed(0)
    net = Net().train()
    assert not ModuleValidator.validate(net), "opacus now refuses the model"
    model = GradSampleModule(net, loss_reduction="sum")
    bounds = [C] * len(list(model.parameters()))
    optimizer = DPPerLayerOptimizer(
        torch.optim.SGD(model.parameters(), lr=0.1), noise_multiplier=0.0, max_grad_norm=bounds, expected_batch_size=1
    )
    ids, wanted = torch.tensor([[3, 7, 11, 5]]).repeat(2, 1), torch.tensor([50.0, -100.0])
    nn.functional.mse_loss(model(ids[rows]), wanted[rows], reduction="sum").backward()
    optimizer.clip_and_accumulate()
    names = {"words": net.bert.embeddings.word_embeddings, "positions": net.bert.embeddings.position_embeddings}
    return {name: layer.weight.summed_grad.flatten() for name, layer in names.items()}


one, both = clipped_sums([0]), clipped_sums([0, 1])
moved = {name: float((both[name] - one[name]).norm()) for name in one}
print({name: round(value, 3) for name, value in moved.items()}, "where at most", C, "is allowed")
assert moved["words"] <= C * 1.001, "opacus has changed"
assert moved["positions"] > 1.5 * C, "opacus or transformers has changed"
print("opacus 1.6.0 x transformers 5.23.0: as described")
PY
