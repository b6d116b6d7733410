"""What fusion strategies cost at least: their arithmetic written out with torch's functions and nothing around it.

Each floor takes a built strategy's parameters and the same inputs, and gives the same vector and tokens (which
``fusion.py`` checks before it measures) for samples that have every modality. It has padding masks, for without them
the numbers would be wrong, and dropout in the same places; no checks, no blanking, no care for missing modalities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbert.core.types import Encoded
from mmbert.fusion.mult import sinusoids

Inputs = dict[str, Encoded]
Output = tuple[Tensor, dict[str, Tensor]]


def norm(x: Tensor, layer: Any) -> Tensor:
    """Layer norm."""
    return F.layer_norm(x, (x.shape[-1],), layer.weight, layer.bias)


def linear(x: Tensor, layer: Any) -> Tensor:
    """A linear layer."""
    return F.linear(x, layer.weight, layer.bias)


def drop(x: Tensor, layer: Any) -> Tensor:
    """Dropout, as strong as the layer's and as it is at the moment."""
    return F.dropout(x, layer.p, layer.training)


def embed(f: Any, inputs: Inputs, summaries: bool = False) -> dict[str, Tensor]:
    """Tokens of every modality in one width, behind their pooled vectors if asked for."""
    embedding, projects = (f.embedding, f.project) if hasattr(f, "project") else (f.embed.modality, f.embed.project)
    streams = {}
    for m, x in inputs.items():
        tokens = torch.cat([x.pooled.unsqueeze(1), x.tokens], 1) if summaries else x.tokens
        p = projects[m]
        streams[m] = linear(drop(norm(tokens, p.norm), p.dropout), p.linear) + embedding[m]
    return streams


def sdpa(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """(B, Q, H), (B, K, H), (B, K, H), mask (B, K) -> (B, Q, H)."""
    q, k, v = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (q, k, v))
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask[:, None, None])
    return mixed.transpose(1, 2).flatten(2)


def ffn(x: Tensor, block: Any) -> Tensor:
    """Linear, activation, dropout, linear."""
    return linear(drop(block[1](linear(x, block[0])), block[2]), block[3])


def self_attention(x: Tensor, mask: Tensor | None, a: Any) -> Tensor:
    """Multi-head self-attention."""
    return linear(sdpa(*linear(x, a.qkv).chunk(3, -1), a.num_heads, mask), a.out)


def cross_attention(x: Tensor, y: Tensor, mask: Tensor | None, a: Any) -> Tensor:
    """Multi-head attention from x to y."""
    k, v = linear(y, a.key_value).chunk(2, -1)
    return linear(sdpa(linear(x, a.query), k, v, a.num_heads, mask), a.out)


def layer(x: Tensor, mask: Tensor | None, t: Any) -> Tensor:
    """A pre-norm transformer layer."""
    x = x + drop(self_attention(norm(x, t.attention_norm), mask, t.attention), t.dropout)
    return x + drop(ffn(norm(x, t.ffn_norm), t.ffn), t.dropout)


def look(x: Tensor, y: Tensor, mask: Tensor | None, t: Any) -> Tensor:
    """A pre-norm layer from one sequence to another, gated if it has gates."""
    attended = drop(cross_attention(norm(x, t.query_norm), norm(y, t.key_norm), mask, t.attention), t.dropout)
    x = x + (attended if not hasattr(t, "attention_gate") else t.attention_gate.tanh() * attended)
    out = drop(ffn(norm(x, t.ffn_norm), t.ffn), t.dropout)
    return x + (out if not hasattr(t, "ffn_gate") else t.ffn_gate.tanh() * out)


def before(mask: Tensor, places: int) -> Tensor:
    """The mask with some real places before it."""
    return F.pad(mask, (places, 0), value=True)


def apart(x: Tensor, inputs: Inputs) -> dict[str, Tensor]:
    """Tokens side by side, by modality."""
    return dict(zip(inputs, x.split([y.mask.shape[1] for y in inputs.values()], 1), strict=True))


def single_stream(f: Any, inputs: Inputs) -> Output:
    """One transformer over everything."""
    streams = embed(f, inputs)
    x = torch.cat([f.cls.expand(len(next(iter(streams.values()))), 1, -1), *streams.values()], 1)
    mask = before(torch.cat([y.mask for y in inputs.values()], 1), 1)
    for t in f.layers:
        x = layer(x, mask, t)
    x = norm(x, f.norm)
    return linear(x[:, 0], f.out).tanh(), apart(x[:, 1:], inputs)


def bottleneck(f: Any, inputs: Inputs) -> Output:
    """A transformer for each modality, bottleneck tokens behind its own."""
    x = {m: torch.cat([f.cls[m].expand(len(t), 1, -1), t], 1) for m, t in embed(f, inputs).items()}
    masks = {m: before(y.mask, 1) for m, y in inputs.items()}
    wide = {m: F.pad(mask, (0, len(f.bottleneck)), value=True) for m, mask in masks.items()}
    shared = f.bottleneck.expand(len(next(iter(x.values()))), -1, -1)
    for n, layers in enumerate(f.layers):
        if n < f.fusion_layer:
            x = {m: layer(t, masks[m], layers[m]) for m, t in x.items()}
            continue
        both = {m: layer(torch.cat([t, shared], 1), wide[m], layers[m]) for m, t in x.items()}
        x = {m: t[:, : x[m].shape[1]] for m, t in both.items()}
        shared = torch.stack([t[:, x[m].shape[1] :] for m, t in both.items()]).mean(0)
    x = {m: norm(t, f.norms[m]) for m, t in x.items()}
    return linear(torch.stack([t[:, 0] for t in x.values()]).mean(0), f.out), {m: t[:, 1:] for m, t in x.items()}


def perceiver(f: Any, inputs: Inputs) -> Output:
    """Latents that read everything, and tokens that read the latents."""
    y = torch.cat(list(embed(f, inputs).values()), 1)
    mask = torch.cat([x.mask for x in inputs.values()], 1)
    u = f.latents.expand(len(y), -1, -1)
    for n in range(f.num_blocks):
        u = look(u, y, mask, f.looks[min(n, len(f.looks) - 1)])
        for t in f.thinks[min(n, len(f.thinks) - 1)]:
            u = layer(u, None, t)
    return linear(norm(u.mean(1), f.norm), f.out), apart(look(y, u, None, f.decode), inputs)


def flamingo(f: Any, inputs: Inputs) -> Output:
    """One modality reads the others through gates."""
    streams = embed(f, inputs)
    own = streams[f.reader]
    x, mask = torch.cat([f.start.expand(len(own), 1, -1), own], 1), before(inputs[f.reader].mask, 1)
    y, there = torch.cat([streams[m] for m in f.others], 1), torch.cat([inputs[m].mask for m in f.others], 1)
    for gated, t in zip(f.looks, f.layers, strict=True):
        x = layer(look(x, y, there, gated), mask, t)
    x = norm(x, f.norm)
    pooled = linear(x[:, 0], f.out)
    plain = {m: linear(inputs[m].tokens, f.token_projection[m]) + pooled.unsqueeze(1) for m in f.others}
    return pooled, {f.reader: x[:, 1:], **plain}


def co_attention(f: Any, inputs: Inputs) -> Output:
    """Streams that exchange keys and values, norms behind the sublayers."""

    def rest(x: Tensor, attended: Tensor, r: Any) -> Tensor:
        x = norm(x + drop(attended, r.dropout), r.attention_norm)
        return norm(x + drop(ffn(x, r.ffn), r.dropout), r.ffn_norm)

    x = embed(f, inputs, summaries=True)
    masks = {m: before(y.mask, 1) for m, y in inputs.items()}
    others = {m: torch.cat([masks[j] for j in x if j != m], 1) for m in x}
    for c, own in zip(f.meetings, f.layers, strict=True):
        qkv = {m: linear(t, c.qkv[m]).chunk(3, -1) for m, t in x.items()}
        met = {}
        for m, t in x.items():
            k, v = (torch.cat([qkv[j][i] for j in x if j != m], 1) for i in (1, 2))
            met[m] = rest(t, linear(sdpa(qkv[m][0], k, v, c.num_heads, others[m]), c.out[m]), c.rest[m])
        x = {m: rest(t, self_attention(t, masks[m], own[m].attention), own[m].rest) for m, t in met.items()}
    pooled = torch.stack([linear(t[:, 0], f.poolers[m]).relu() for m, t in x.items()]).mean(0)
    return pooled, {m: t[:, 1:] for m, t in x.items()}


def mult(f: Any, inputs: Inputs) -> Output:
    """A crossmodal transformer for every ordered pair, and self-attention."""
    x = {m: t + sinusoids(t) for m, t in embed(f, inputs).items()}
    slots, tokens = [], {}
    for target, pairs in f.pairs.items():
        crossed = []
        for source, t in pairs.items():
            z = x[target]
            for one in t.layers:
                z = look(z, x[source], inputs[source].mask, one)
            crossed.append(norm(z, t.norm))
        z = torch.cat(crossed, 2)
        for one in f.memory[target]:
            z = layer(z, inputs[target].mask, one)
        z = norm(z, f.norms[target])
        last = inputs[target].mask.sum(1) - 1
        slots.append(z[torch.arange(len(z)), last])
        tokens[target] = linear(z, f.token_projection[target])
    h = torch.cat(slots, 1)
    return linear(h + ffn(h, f.residual), f.out), tokens


def crossed(x: Tensor, normed: Tensor, y: Tensor, mask: Tensor, t: Any) -> Tensor:
    """A layer of ``cross_attention``: x, whose norm is at hand, looks at y."""
    x = x + drop(cross_attention(normed, y, mask, t.attention), t.dropout)
    first, *block = t.feed_forward
    return x + drop(ffn(norm(x, first), block), t.dropout)


def crossed_streams(f: Any, inputs: Inputs) -> Output:
    """``cross_attention``: each stream looks at all the others at once."""
    x = embed(f, inputs, summaries=True)
    masks = {m: before(y.mask, 1) for m, y in inputs.items()}
    others = {m: torch.cat([masks[j] for j in x if j != m], 1) for m in x}
    for norms, layers in zip(f.norms, f.layers, strict=True):
        normed = {m: norm(t, norms[m]) for m, t in x.items()}
        updated = {}
        for m, t in x.items():
            y = torch.cat([normed[j] for j in x if j != m], 1)
            updated[m] = crossed(t, normed[m], y, others[m], layers[m])
        x = updated
    pooled = torch.stack([norm(t[:, 0], f.final_norms[m]) for m, t in x.items()]).mean(0)
    return linear(pooled, f.out), {m: t[:, 1:] for m, t in x.items()}


def contrastive(f: Any, inputs: Inputs) -> Output:
    """``cross_attention`` over what is projected, without the loss."""
    projected = {}
    for m, x in inputs.items():
        p = f.project[m]
        tokens, pooled = (linear(drop(norm(t, p.norm), p.dropout), p.linear) for t in (x.tokens, x.pooled))
        projected[m] = Encoded(tokens, x.mask, pooled)
    return crossed_streams(f.base, projected)


def missing_aware_prompts(f: Any, inputs: Inputs) -> Output:
    """One transformer over everything, with the prompts of complete samples."""
    streams = embed(f, inputs, summaries=True)
    size = len(next(iter(streams.values())))
    x = torch.cat([f.summary.expand(size, 1, -1), *streams.values()], 1)
    mask = before(torch.cat([before(y.mask, 1) for y in inputs.values()], 1), 1)
    for number, (one, t) in enumerate(zip(f.norms, f.layers, strict=True)):
        if number < len(f.prompts):
            x = torch.cat([f.prompts[number, -1].expand(size, -1, -1), x], 1)
            mask = before(mask, f.num_prompts)
        normed = norm(x, one)
        x = crossed(x, normed, normed, mask, t)
    x = x[:, f.num_prompts * len(f.prompts) :]
    parts = x[:, 1:].split([1 + y.mask.shape[1] for y in inputs.values()], 1)
    return linear(norm(x[:, 0], f.final_norm), f.out), {m: t[:, 1:] for m, t in zip(inputs, parts, strict=True)}


#: by the name of the strategy's YAML; all others are held against one matrix product of as many operations
FLOORS: dict[str, Callable[[Any, Inputs], Output]] = {
    "single_stream": single_stream,
    "bottleneck": bottleneck,
    "perceiver": perceiver,
    "flamingo": flamingo,
    "co_attention": co_attention,
    "mult": mult,
    "cross_attention": crossed_streams,
    "contrastive": contrastive,
    "missing_aware_prompts": missing_aware_prompts,
}


class OneProduct(nn.Module):
    """A linear layer whose forward and backward pass take a given number of operations.

    Args:
        flops: of both passes together.
        batch: rows of what it is given.
        width: of its output.
    """

    def __init__(self, flops: float, batch: int, width: int) -> None:
        super().__init__()
        # 2 · B · k · width forward, twice that backward
        self.linear = nn.Linear(max(1, round(flops / (6 * batch * width))), width)
        self.given = nn.Parameter(torch.randn(batch, self.linear.in_features))

    def forward(self) -> Tensor:
        """(B, width)."""
        product: Tensor = self.linear(self.given)
        return product
