"""Structured pruning: whole attention heads, channels of feed-forward layers and of convolutions, whole layers.

Which parts belong together is found by torch-pruning's dependency graph (Fang et al. 2023, "DepGraph: Towards Any
Structural Pruning", arXiv:2301.12900); which of them go is decided by the magnitude of their weights (the root of the
mean of squares over all that belongs to a head or channel, each layer for itself). An encoder's output keeps its width:
fusion and heads stay as they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mmbert.core.errors import ConfigError, InputError
from mmbert.core.types import Inputs
from mmbert.encoders.base import Encoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.pruned_shapes import changed_shapes, sizes_of, still_there
from mmbert.encoders.text import TextEncoder

#: The three projections of a layer of attention in models of the BERT family.
PROJECTIONS = ("query", "key", "value")
#: By these attributes modules of attention are known, whatever their layers are called.
HEAD_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "nhead")


@dataclass
class Removed:
    """What was cut out of an encoder.

    Attributes:
        heads: by layer of attention, which heads.
        channels: by layer, which of its outputs.
        layers: which layers of the stack.
        kept_whole: why nothing was cut; empty if something was.
    """

    heads: dict[str, list[int]] = field(default_factory=dict)
    channels: dict[str, list[int]] = field(default_factory=dict)
    layers: list[int] = field(default_factory=list)
    kept_whole: str = ""

    def described(self) -> str:
        """In a few words."""
        if self.kept_whole:
            return f"kept whole ({self.kept_whole})"
        heads, channels = (sum(map(len, part.values())) for part in (self.heads, self.channels))
        counted = {"heads": heads, "channels": channels, "layers": len(self.layers)}
        return "without " + ", ".join(f"{count:,} {what}" for what, count in counted.items() if count)


def prune_channels(encoder: Encoder, inputs: Inputs, amount: float) -> Removed:
    """Cuts a share of the heads and channels of every layer out of an encoder, in place.

    Args:
        encoder: in evaluation mode.
        inputs: of a few samples that have the modality, by which the network is traced.
        amount: share of each layer's heads, and of its channels, in (0, 1); as many as are whole.

    Raises:
        ConfigError: torch-pruning is not installed.
        InputError: it cannot cut this network, or what it leaves does not run; the encoder is of no use any more.
    """
    tp = torch_pruning()
    before = sizes_of(encoder)
    try:
        if isinstance(encoder, MelspecCNN):
            removed = prune_melspec(encoder, amount)
        else:
            removed = prune_by_graph(encoder, inputs, amount, tp)
        with torch.no_grad():
            encoder.encode(inputs)
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"torch-pruning cannot cut channels out of {type(encoder).__name__} ({type(error).__name__}: {first}): "
            "methods=[magnitude] and [layers] need no graph of it."
        ) from error
    encoder.pruned_shapes = changed_shapes(before, encoder, encoder.pruned_shapes)
    return removed


def prune_by_graph(encoder: Encoder, inputs: Inputs, amount: float, tp: Any) -> Removed:
    """The same by torch-pruning's graph of the network; arguments as of ``prune_channels``."""
    modes = [parameter.requires_grad for parameter in encoder.parameters()]
    encoder.requires_grad_(True)  # the graph is followed backwards
    attentions = dict(attention_layers(encoder))
    projections = {getattr(layer, key): head_count(layer) for layer in attentions.values() for key in PROJECTIONS}
    names = {module: name for name, module in encoder.named_modules()}
    removed = Removed()
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        pruner = tp.pruner.BasePruner(
            encoder,
            example_inputs=inputs,
            forward_fn=lambda network, given: network.encode(given).tokens,
            importance=tp.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=amount,
            pruning_ratio_dict={module: whole_share(width_of(module), amount) for module in names if width_of(module)},
            head_pruning_ratio=amount,
            head_pruning_ratio_dict={module: whole_share(heads, amount) for module, heads in projections.items()},
            num_heads=projections,
            prune_num_heads=True,
            prune_head_dims=False,
            ignored_layers=[*outer_layers(encoder, tp, inputs), *fused_projections(encoder)],
            root_module_types=[nn.Conv1d, nn.Conv2d, nn.Linear],
        )
        for group in pruner.step(interactive=True):
            cut = {item.dep.target.module: sorted(item.idxs) for item in group if item.dep.target.module in projections}
            root = group[0].dep.target.module
            for name, layer in attentions.items():
                if layer.query in cut:
                    assert cut[layer.query] == cut[layer.key] == cut[layer.value], f"{name}: three kinds of heads"
                    removed.heads[name] = whole_heads(cut[layer.query], name, layer.attention_head_size)
            if not cut:
                removed.channels[names[root]] = sorted(group[0].idxs)
            group.prune()
    for layer in attentions.values():
        layer.all_head_size = layer.query.out_features
        layer.num_attention_heads = layer.all_head_size // layer.attention_head_size
    for parameter, mode in zip(encoder.parameters(), modes, strict=True):
        parameter.grad = None
        parameter.requires_grad_(mode)
    if not (removed.heads or removed.channels):
        removed.kept_whole = "no layer has channels that only layers inside the encoder read"
    return removed


def width_of(module: nn.Module) -> int:
    """Output channels of a layer that can be pruned, 0 of any other."""
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        return module.out_channels
    return module.out_features if isinstance(module, nn.Linear) else 0


def whole_share(count: int, amount: float) -> float:
    """The share by which torch-pruning, which rounds up, takes as many of some parts as are whole."""
    return max(0.0, int(amount * count + 1e-9) - 1e-6) / count


def prune_melspec(encoder: MelspecCNN, amount: float) -> Removed:
    """The same for the small network over spectrograms, whose reshapes torch-pruning's graph does not follow."""
    tp = torch_pruning()
    removed = Removed()
    names = {module: name for name, module in encoder.named_modules()}
    following: list[Any] = [*list(encoder.convolutions)[1:], encoder.mix]
    for convolution, norm, after in zip(encoder.convolutions, encoder.norms, following, strict=True):
        assert isinstance(convolution, nn.Conv2d)
        count = convolution.out_channels
        bands = after.in_channels // count  # of the last one, each of whose channels has so many columns
        own = convolution.weight.detach().flatten(1).square().sum(1)
        read = after.weight.detach().transpose(0, 1).reshape(count, -1).square().sum(1)
        places = sorted((own + read).argsort()[: int(amount * count + 1e-9)].tolist())
        if not places:
            continue
        tp.prune_conv_out_channels(convolution, places)
        tp.prune_groupnorm_out_channels(norm, places)
        tp.prune_conv_in_channels(after, [place * bands + band for place in places for band in range(bands)])
        removed.channels[names[convolution]] = places
    if not removed.channels:
        removed.kept_whole = f"{amount:g} of its channels is less than one"
    return removed


def torch_pruning() -> Any:
    """The library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import torch_pruning as tp
    except ImportError as error:
        raise ConfigError("Structured pruning needs torch-pruning: pip install 'mmbert[compress]'.") from error
    return tp


def attention_layers(encoder: nn.Module) -> Iterable[tuple[str, Any]]:
    """Layers of attention whose heads are rows of three separate projections, as in BERT, by name."""
    for name, module in encoder.named_modules():
        if all(isinstance(getattr(module, key, None), nn.Linear) for key in PROJECTIONS):
            yield name, module


def fused_projections(encoder: nn.Module) -> list[nn.Module]:
    """The layers inside attention of other kinds (timm's, torchaudio's), whose heads are not cut.

    Their outputs are parted into heads of a fixed size: a channel less, and they would fit no more.
    """
    known = {layer for _, layer in attention_layers(encoder)}
    return [
        part
        for module in encoder.modules()
        if module not in known and any(isinstance(vars(module).get(key), int) for key in HEAD_COUNTS)
        for part in module.modules()
        if width_of(part)
    ]


def head_count(layer: Any) -> int:
    """How many heads a layer of attention has now."""
    return int(layer.query.out_features // layer.attention_head_size)


def whole_heads(places: list[int], layer: str, size: int) -> list[int]:
    """The heads whose rows these are.

    Raises:
        AssertionError: torch-pruning took rows of a head and left others, which would regroup all that follow.
    """
    heads = sorted({place // size for place in places})
    assert places == [head * size + row for head in heads for row in range(size)], f"{layer}: parts of heads"
    return heads


def outer_layers(encoder: Encoder, tp: Any, inputs: Inputs) -> list[nn.Module]:
    """The layers whose channels others than this encoder's own layers see: its output's, and the hidden width's.

    Those are the groups that reach the end of the traced graph, or an embedding.
    """
    graph = tp.DependencyGraph().build_dependency(
        encoder, example_inputs=inputs, forward_fn=lambda network, given: network.encode(given).tokens
    )
    outer: list[nn.Module] = []
    for module, node in graph.module2node.items():
        if not isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            continue
        group = graph.get_pruning_group(module, graph.get_pruner_of_module(module).prune_out_channels, [0])
        targets = [item.dep.target for item in group]
        if not node.outputs or any(not t.outputs or isinstance(t.module, nn.Embedding) for t in targets):
            outer.append(module)
    return outer


def drop_layers(encoder: Encoder, amount: float) -> Removed:
    """Takes the top layers off a text encoder, in place; at least one stays.

    Of the ways to choose them (top, bottom, alternate …) the top ones cost least in Sajjad et al. 2023, "On the effect
    of dropping layers of pre-trained transformer models", arXiv:2004.03844.

    Args:
        encoder: any.
        amount: share of the layers, in (0, 1); as many as are whole.
    """
    if not isinstance(encoder, TextEncoder):
        return Removed(kept_whole="only text encoders are stacks of equal layers here")
    blocks = encoder._blocks()
    count = len(blocks)
    gone = min(int(amount * count + 1e-9), count - 1)
    if not gone:
        return Removed(kept_whole=f"{amount:g} of {count} layers is less than one")
    del blocks[count - gone :]
    encoder.network.config.num_hidden_layers = count - gone  # is saved, and so rebuilt
    if "num_hidden_layers" in (encoder.init_args.get("config") or {}):
        encoder.init_args["config"] = {**encoder.init_args["config"], "num_hidden_layers": count - gone}
    encoder.pruned_shapes = still_there(encoder.pruned_shapes, encoder)
    return Removed(layers=list(range(count - gone, count)))
