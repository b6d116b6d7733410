#!/usr/bin/env bash
# torch 2.11.0: a module under fully_shard (FSDP2) that returns a dataclass does not learn, without a word.
#
# fully_shard hangs the hooks that gather weights for the backward, and that reduce gradients after it, on the tensors of a
# module's output. It finds them with torch.utils._pytree, for which a dataclass is one leaf and no container. Two
# processes, the same layer, three kinds of output, one step of SGD each:
#   a tuple                                   weights move, and are the same in both processes
#   a dataclass                               weights stay as they were: gradients lie at tensors that no optimiser has
#   the dataclass after register_dataclass    as with the tuple
# With reshard_after_forward=True the backward of the dataclass fails or reads freed weights instead. transformers'
# ModelOutput registers itself, so that only dataclasses of one's own are concerned. Register them, or return tuples.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.11.0 numpy==2.4.6
cat > "$folder/two.py" <<'PY'
import sys
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.utils._pytree import register_dataclass


@dataclass
class Output:
    y: Tensor


class Layer(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.wrap = nn.Linear(4, 4), wrap

    def forward(self, x):
        return self.wrap(self.linear(x))


def moved(rank, wrap, unwrap):
    """How far one step moves the weights, and how far both processes then differ."""
    layer = fully_shard(Layer(wrap), mesh=init_device_mesh("cpu", (2,)))
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    before = layer.linear.weight.full_tensor().clone()
    unwrap(layer(torch.full((2, 4), 1.0 + rank))).sum().backward()
    optimizer.step()
    layer.reshard()
    return float((layer.linear.weight.full_tensor() - before).abs().max())


def process(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    as_tuple = moved(rank, lambda y: (y,), lambda out: out[0])
    plain = moved(rank, Output, lambda out: out.y)
    register_dataclass(Output)
    registered = moved(rank, Output, lambda out: out.y)
    dist.destroy_process_group()
    if rank == 0:
        # inputs of ones and of twos, two rows each: the mean gradient is (2 + 4) / 2
        print(f"weights move by: tuple {as_tuple}, dataclass {plain}, registered dataclass {registered}")
    assert as_tuple == registered == 3.0 and plain == 0.0, "torch has changed"


if __name__ == "__main__":
    mp.spawn(process, args=(sys.argv[1],), nprocs=2)
    print("torch 2.11.0: as described")
PY
"$folder/env/bin/python" -W ignore "$folder/two.py" "$folder"
