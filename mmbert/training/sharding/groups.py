"""Which parts of a model are shared out among processes while it trains, and how they become whole again.

Each encoder and the fusion is a group of torch's ``fully_shard`` (FSDP2; Zhao et al. 2023, arXiv:2304.11277): a process
keeps a part of its weights, and all of them only from its forward to its backward. The equal layers of an encoder are
groups of their own inside it, whose weights are there for one layer at a time. Everything else stays whole in every
process (``mmbert.training.sharding.whole_parameters``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.distributed import _composable_state
from torch.distributed._composable.contract import REGISTRY_KEY, STATE_KEY
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.utils import _pytree

from mmbert.core.types import Encoded, Fused
from mmbert.encoders.base import Encoder
from mmbert.model import MultimodalModel

#: What passes from part to part. ``fully_shard`` looks for tensors in the nodes of a pytree alone, and the hooks by
#: which weights come back before the backward are on these tensors: ``findings/torch_fully_shard_dataclass_output.sh``.
TRAVELLING = (Encoded, Fused)
#: Networks that leave out layers at random: each process others, so that layers cannot be exchanged one by one.
LAYER_DROP = ("layer_drop", "layerdrop")


def shard_parts(parts: Sequence[nn.Module], mesh: DeviceMesh) -> None:
    """Shares out parts of a model, in place; every process must call it.

    Args:
        parts: ``shard_groups`` of the model, on its device, the same in every process.
        mesh: the processes, one dimension.
    """
    for kind in TRAVELLING:
        if kind not in _pytree.SUPPORTED_NODES:
            _pytree.register_dataclass(kind)
    for part in parts:
        whole = {parameter for parameter in part.parameters() if parameter.ndim == 0}  # fully_shard refuses scalars
        for parameter in part.parameters():
            parameter.data = parameter.data.contiguous()  # as it refuses other orders in memory
        # a fusion looks into its layers for diagnostics, outside their forward
        for layer in equal_layers(part) if isinstance(part, Encoder) else ():
            fully_shard(layer, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
        # tasks may read an encoder's embeddings after its forward
        fully_shard(part, mesh=mesh, reshard_after_forward=False, ignored_params=whole)


def shard_groups(model: MultimodalModel, stored: Collection[str] = ()) -> list[nn.Module]:
    """The encoders and the fusion, but for those of whose weights others have a share, or need them between calls.

    Frozen encoders whose tokens come from the store stay whole: only now and then a process needs one. So does a fusion
    with layer injection, which computes inside an encoder, outside its own forward.
    """
    parts: list[nn.Module] = [encoder for name, encoder in model.encoders.items() if name not in stored]
    parts += [model.fusion] if model.fusion.injects_into is None else []
    owners = Counter(parameter for part in all_parts(model) for parameter in set(part.parameters()))
    return [part for part in parts if any(True for _ in part.parameters()) and only_own(part, owners)]


def all_parts(model: MultimodalModel) -> list[nn.Module]:
    """What a model is made of."""
    return [*model.encoders.values(), model.fusion, *model.tasks.values(), *model.decision_heads.values()]


def only_own(part: nn.Module, owners: Counter[nn.Parameter]) -> bool:
    """Whether no parameter of a part belongs to another one too."""
    return all(owners[parameter] == 1 for parameter in part.parameters())


def equal_layers(part: nn.Module) -> list[nn.Module]:
    """The layers of a part that follow one another, of one class: of a stack inside a layer the outer one's.

    None where layers are left out at random, or share weights with each other or the rest.
    """
    if any(getattr(module, name, 0) for module in part.modules() for name in LAYER_DROP):
        return []
    layers = list(members_of_stacks(part))
    owners = Counter(parameter for layer in layers for parameter in set(layer.parameters()))
    own = {id(parameter) for layer in layers for parameter in layer.parameters()}
    places = Counter(id(p) for _, p in part.named_parameters(remove_duplicate=False) if id(p) in own)
    shared = any(count > 1 for count in (*owners.values(), *places.values()))
    return [] if shared else layers


def members_of_stacks(module: nn.Module) -> Iterator[nn.Module]:
    """The members of the outermost stacks: lists and sequences of two or more modules of one class with weights."""
    for child in module.children():
        members = list(child) if isinstance(child, (nn.ModuleList, nn.Sequential)) else []
        alike = len(members) > 1 and len({type(member) for member in members}) == 1
        if alike and all(any(True for _ in member.parameters()) for member in members):
            yield from members
        else:
            yield from members_of_stacks(child)


def is_sharded(model: nn.Module) -> bool:
    """Whether a part of a model is shared out."""
    return any(isinstance(module, FSDPModule) for module in model.modules())


def drop_whole_weights(model: nn.Module) -> None:
    """Leaves each process its own part of what is shared out; nothing is exchanged."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


@torch.no_grad()
def make_whole(model: nn.Module) -> None:
    """Puts every weight of a model back into every process, and takes away what sharing out had added to it.

    Every process must call it. The weights become new ``nn.Parameter``s without gradients.
    """
    sharded = [module for module in model.modules() if isinstance(module, FSDPModule)]
    drop_whole_weights(model)
    whole: dict[int, nn.Parameter] = {}
    places = [(owner, name) for owner in model.modules() for name in owner._parameters]
    for owner, name in places:
        held = owner._parameters[name]
        if isinstance(held, DTensor):
            if id(held) not in whole:
                whole[id(held)] = nn.Parameter(held.full_tensor(), held.requires_grad)
            setattr(owner, name, whole[id(held)])
    for module in sharded:
        forget_sharding(module)
    for managed in model.modules():
        for name in ("_is_fsdp_managed_module", "_fsdp_use_orig_params"):
            managed.__dict__.pop(name, None)


def forget_sharding(module: FSDPModule) -> None:
    """Undoes what ``fully_shard`` does to a module beside its weights; torch has no such function."""
    state = module._get_fsdp_state()
    handles = [state._pre_forward_hook_handle, state._post_forward_hook_handle]
    if (group := state._fsdp_param_group) is not None:
        handles += group._module_to_pre_save_state_dict_hook_handle.values()
        handles += group._module_to_pre_load_state_dict_hook_handle.values()
        handles += [parameter._post_load_hook_handle for parameter in group.fsdp_params]
    for handle in handles:
        handle.remove()
    module.__class__ = type(module).__bases__[1]  # fully_shard made class FSDPX(FSDPModule, X)
    assert isinstance(module, nn.Module)
    _composable_state._module_state_mapping.pop(module, None)
    for key in (STATE_KEY, REGISTRY_KEY):
        module.__dict__.pop(key, None)


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor that is shared out, on this device; others as they are. Every process must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor  # type: ignore[no-any-return]
