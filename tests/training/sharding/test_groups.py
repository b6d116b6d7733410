"""Which parts are shared out, and that a model is as if nothing had been once it is whole again."""

import copy

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from mmbert.training.sharding.groups import equal_layers, is_sharded, make_whole, shard_groups, shard_parts
from three_tasks_model import module_of, samples


def names(model, parts):
    return [name for name, module in model.named_modules() if any(module is part for part in parts)]


def test_encoders_and_fusion_are_groups_unless_stored_or_shared():
    model = module_of().model
    encoders = [f"encoders.{name}" for name in model.encoders]
    assert names(model, shard_groups(model)) == [*encoders, "fusion"]
    assert names(model, shard_groups(model, stored=["text"])) == [n for n in encoders if n != "encoders.text"] + [
        "fusion"
    ]
    first = next(iter(model.tasks.values()))
    first.tied = next(model.encoders["text"].parameters())
    assert "encoders.text" not in names(model, shard_groups(model))


class Stack(nn.Module):
    def __init__(self, layers, **more):
        super().__init__()
        self.embedding, self.layers = nn.Embedding(5, 4), nn.ModuleList(layers)
        for name, value in more.items():
            setattr(self, name, value)


def test_equal_layers_are_groups_of_their_own():
    stack = Stack([nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)) for _ in range(3)])
    assert equal_layers(stack) == list(stack.layers)  # not what is inside of them
    assert equal_layers(Stack([nn.Linear(4, 4), nn.LayerNorm(4)])) == []
    assert equal_layers(Stack([nn.Linear(4, 4)])) == []
    assert equal_layers(Stack([nn.Linear(4, 4), nn.Linear(4, 4)], layer_drop=0.1)) == []
    same = nn.Linear(4, 4)
    assert equal_layers(Stack([same, same])) == []
    tied = Stack([nn.Linear(4, 4), nn.Linear(4, 4)])
    tied.head = tied.layers[0].weight
    assert equal_layers(tied) == []


def test_a_model_that_was_shared_out_is_as_it_was(mesh):
    model, batch = module_of().model.eval(), samples(0)
    before = copy.deepcopy(model)
    shard_parts(shard_groups(model), mesh)
    assert is_sharded(model) and any(isinstance(p, DTensor) for p in model.parameters())
    out = model(batch.inputs)
    model.train()
    model(batch.inputs).fused.pooled.sum().backward()
    model.eval()
    make_whole(model)
    assert not is_sharded(model) and not any(isinstance(p, DTensor) for p in model.parameters())
    for (name, module), (other, old) in zip(model.named_modules(), before.named_modules(), strict=True):
        assert name == other and type(module) is type(old) and module.__dict__.keys() == old.__dict__.keys(), name
        for hooks in ("_forward_hooks", "_forward_pre_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks"):
            assert len(getattr(module, hooks)) == len(getattr(old, hooks)), (name, hooks)
        assert len(module._load_state_dict_post_hooks) == len(old._load_state_dict_post_hooks), name
    for (name, tensor), (other, old) in zip(model.state_dict().items(), before.state_dict().items(), strict=True):
        assert name == other and torch.equal(tensor, old), name
    again = copy.deepcopy(model)
    again.load_state_dict(before.state_dict())
    for name, found in before(batch.inputs).outputs.items():
        for key, tensor in found.items():
            assert torch.equal(model(batch.inputs).outputs[name][key], tensor)
            torch.testing.assert_close(out.outputs[name][key], tensor)
    shard_parts(shard_groups(model), mesh)  # once more
    assert isinstance(model.fusion, FSDPModule)


@pytest.mark.parametrize("shared", [True, False])
def test_weights_that_two_places_share_stay_one(mesh, shared):
    model = module_of().model
    fusion = model.fusion
    fusion.one = nn.Linear(2, 2)
    fusion.other = nn.Linear(2, 2)
    if shared:
        fusion.other.weight = fusion.one.weight
    shard_parts(shard_groups(model), mesh)
    make_whole(model)
    assert (fusion.other.weight is fusion.one.weight) == shared
