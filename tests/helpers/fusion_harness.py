"""What all tests of fusion strategies share: strategies as their YAML builds them, samples, and layers in NumPy.

``from fusion_harness import …`` works in every test file (``pythonpath`` in setup.cfg). The layers are written from
their formulas for one sequence without padding, so that no expected value depends on masks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf
from scipy.special import erf
from scipy.stats import norm as gaussian

from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.testing import random_inputs

CONF = Path(__file__).parents[2] / "conf" / "fusion"
#: Every strategy that has a YAML file; a new one is among them by being there.
STRATEGIES = sorted(path.stem for path in CONF.glob("*.yaml"))
#: Widths that differ, so that a mix-up between modalities cannot go unnoticed.
DIMS = {"text": 4, "image": 3, "audio": 5}
#: Which sample has which modality: all of them (the published formula itself), two, and one.
PRESENT = [[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 0]]
WIDTH = 8

Weights = dict[str, np.ndarray]
#: One sample's present modality: its pooled vector (D,), its real tokens (L, D), and their places in the sequence (L,).
RealTokens = tuple[np.ndarray, np.ndarray, np.ndarray]


def options_of(name: str) -> tuple[type[Fusion], dict[str, Any]]:
    """The class of ``fusion=NAME`` and the options of its YAML, without ``out_dim`` and Hydra's own keys."""
    options = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    kind = get_class(options.pop("_target_"))
    return kind, {key: value for key, value in options.items() if key != "out_dim" and not key.startswith("_")}


def build(kind: Callable[..., Fusion], dims: dict[str, int] = DIMS, out_dim: int = WIDTH, **options: Any) -> Fusion:
    """In float64 and evaluation mode, with every parameter moved off its first value: no norm is the identity."""
    torch.manual_seed(3)
    fusion = kind(dims, out_dim, **options).double().eval()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return fusion


def build_with_weights(kind: Callable[..., Fusion], *args: Any, **options: Any) -> tuple[Fusion, Weights]:
    """As ``build``, and its parameters and buffers by name."""
    fusion = build(kind, *args, **options)
    return fusion, {name: tensor.detach().numpy() for name, tensor in fusion.state_dict().items()}


def batch_of(
    dims: dict[str, int] = DIMS, present: Sequence[Sequence[int]] = PRESENT, scattered: bool = False
) -> dict[str, Encoded]:
    """Padded random inputs in float64; of fewer modalities, less the samples that then have none."""
    rows = [list(row[: len(dims)]) for row in present if any(row[: len(dims)])]
    return random_inputs(dims, len(rows), present=torch.tensor(rows).bool(), dtype=torch.float64, scattered=scattered)


def samples(
    dims: dict[str, int] = DIMS, present: Sequence[Sequence[int]] = PRESENT
) -> tuple[dict[str, Encoded], list[dict[str, np.ndarray]]]:
    """The batch, and for each sample {modality: pooled vector} of those that it has."""
    inputs = batch_of(dims, present)
    batch = len(next(iter(inputs.values())).mask)
    rows = [{m: x.pooled[b].numpy() for m, x in inputs.items() if x.mask[b].any()} for b in range(batch)]
    return inputs, rows


def real_tokens(inputs: dict[str, Encoded]) -> list[dict[str, RealTokens]]:
    """For each sample {modality: its vector, real tokens and their places} of those that it has."""
    batch = len(next(iter(inputs.values())).mask)
    return [
        {
            m: (x.pooled[b].numpy(), x.tokens[b][x.mask[b]].numpy(), x.mask[b].nonzero().flatten().numpy())
            for m, x in inputs.items()
            if x.mask[b].any()
        }
        for b in range(batch)
    ]


def by_modality(
    rows: list[dict[str, np.ndarray]], weights: list[dict[str, np.ndarray]], dims: dict[str, int] = DIMS
) -> np.ndarray:
    """Weights of the modalities that each sample has -> (B, M, …), 0 for the others."""
    return np.stack(
        [
            np.stack([weight.get(m, np.zeros_like(next(iter(weight.values())))) for m in dims])
            for row, weight in zip(rows, weights, strict=True)
        ]
    )


# comparisons --------------------------------------------------------------------------------------------------------


def assert_close(given: Any, expected: Any, atol: float = 1e-9) -> None:
    """Of a tensor and what NumPy found, or a list of it by sample."""
    given = given.detach().numpy() if isinstance(given, torch.Tensor) else given
    np.testing.assert_allclose(given, np.asarray(expected), rtol=0, atol=atol)


def assert_fuses_to(
    fusion: Fusion, inputs: dict[str, Encoded], expected: list[np.ndarray], atol: float = 1e-10
) -> None:
    """The vectors of a batch are those expected, sample by sample."""
    assert_close(fusion(inputs).pooled, np.stack(expected), atol)


def assert_tokens_fuse_to(
    fusion: Fusion,
    by_hand: Callable[[dict[str, RealTokens]], tuple[np.ndarray, dict[str, np.ndarray]]],
    dims: dict[str, int] = DIMS,
) -> None:
    """The vector and each present modality's tokens are those expected, with padding at the end and in between.

    Args:
        fusion: as ``build`` gives it.
        by_hand: a sample of ``real_tokens`` -> (H,) and {modality: (L, H)}.
        dims: those of the fusion.
    """
    for scattered in (False, True):
        inputs = batch_of(dims, scattered=scattered)
        fused = fusion(inputs)
        for b, sample in enumerate(real_tokens(inputs)):
            pooled, tokens = by_hand(sample)
            assert_close(fused.pooled[b], pooled, 1e-10)
            assert set(tokens) == set(sample)
            for m, expected in tokens.items():
                assert_close(fused.tokens[m][b][inputs[m].mask[b]], expected, 1e-10)


def sizes_of_attention(
    fusion: Fusion, monkeypatch: pytest.MonkeyPatch, lengths: dict[str, int], dims: dict[str, int] = DIMS
) -> list[tuple[int, int]]:
    """(queries, keys) of each attention in a forward pass over sequences of these lengths."""
    seen = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def spy(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> torch.Tensor:
        seen.append((q.shape[2], k.shape[2]))
        return kernel(q, k, v, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    fusion(random_inputs(dims, 2, lengths=lengths, dtype=torch.float64))
    return seen


# layers in NumPy, on weights by name: x (..., D) -> (..., H) ---------------------------------------------------------


def linear(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    """W x + b; without b where the layer has none."""
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)


def norm(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    """Layer norm."""
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def projected(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    """``fusion/layers/projection.py``: a linear map of the layer norm."""
    return linear(norm(x, w, f"{name}.norm"), w, f"{name}.linear")


def outer(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """Any number of vectors -> their outer product, one axis each."""
    product = np.ones(())
    for vector in vectors:
        product = np.multiply.outer(product, vector)
    return product


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + erf(x / math.sqrt(2))) / 2


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, heads: int) -> np.ndarray:
    """q (Q, H), k and v (K, H) -> (Q, H): softmax(q k' / sqrt(H / heads)) v, head by head."""
    parts = np.split(np.arange(q.shape[1]), heads)
    return np.concatenate([softmax(q[:, p] @ k[:, p].T / math.sqrt(len(p))) @ v[:, p] for p in parts], -1)


# noisy gates: fusion/layers/noisy_gate.py ----------------------------------------------------------------------------


def top_gates(scores: np.ndarray, able: Sequence[int], k: int) -> np.ndarray:
    """scores (E,), the experts a sample can be sent to -> (E,): softmax over the k largest of these."""
    chosen = sorted(able, key=lambda i: -scores[i])[:k]
    powers = np.zeros(len(scores))
    for i in chosen:
        powers[i] = math.exp(scores[i])
    return powers / powers.sum()


def gate_chances(clean: np.ndarray, spread: np.ndarray, scores: np.ndarray, able: Sequence[int], k: int) -> np.ndarray:
    """Equations 8 and 9 of the paper: P of each expert, whose own noise alone is drawn anew."""
    found = np.zeros(len(clean))
    for i in able:
        others = sorted((scores[j] for j in able if j != i), reverse=True)
        found[i] = gaussian.cdf((clean[i] - others[k - 1]) / spread[i]) if len(others) >= k else 1.0
    return found


def squared_variation(values: np.ndarray) -> float:
    """(standard deviation / mean)²."""
    return np.var(values) / np.mean(values) ** 2


# transformers: fusion/layers/transformer.py --------------------------------------------------------------------------


class TransformerReference:
    """The layers of ``fusion/layers/transformer.py`` on the weights of a fusion.

    Args:
        fusion: whose weights.
        heads: of all its attentions.
    """

    def __init__(self, fusion: Fusion, heads: int) -> None:
        self.w = {name: tensor.detach().numpy() for name, tensor in fusion.state_dict().items()}
        self.heads = heads

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        """A linear map."""
        return linear(x, self.w, name)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        """Layer norm."""
        return norm(x, self.w, name)

    def embed(self, m: str, vectors: np.ndarray) -> np.ndarray:
        """Projection and modality embedding."""
        return projected(vectors, self.w, f"embed.project.{m}") + self.w[f"embed.modality.{m}"]

    def attention(self, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Of projected queries, keys and values."""
        return attention(q, k, v, self.heads)

    def self_attention(self, x: np.ndarray, name: str) -> np.ndarray:
        """``SelfAttention``."""
        return self.linear(self.attention(*np.split(self.linear(x, f"{name}.qkv"), 3, axis=-1)), f"{name}.out")

    def cross_attention(self, x: np.ndarray, y: np.ndarray, name: str) -> np.ndarray:
        """``CrossAttention``: zeros where there is no key."""
        if not len(y):
            return np.zeros_like(x)
        k, v = np.split(self.linear(y, f"{name}.key_value"), 2, axis=-1)
        return self.linear(self.attention(self.linear(x, f"{name}.query"), k, v), f"{name}.out")

    def ffn(self, x: np.ndarray, name: str, activation: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """``feed_forward``."""
        return self.linear(activation(self.linear(x, f"{name}.0")), f"{name}.3")

    def layer(self, x: np.ndarray, name: str, activation: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """``SelfAttentionLayer``."""
        x = x + self.self_attention(self.norm(x, f"{name}.attention_norm"), f"{name}.attention")
        return x + self.ffn(self.norm(x, f"{name}.ffn_norm"), f"{name}.ffn", activation)

    def cross_layer(
        self,
        x: np.ndarray,
        y: np.ndarray,
        name: str,
        activation: Callable[[np.ndarray], np.ndarray],
        gates: tuple[float, float] = (1.0, 1.0),
    ) -> np.ndarray:
        """``CrossLayer``: x (Q, H) attends to y (K, H)."""
        normed = self.norm(x, f"{name}.query_norm"), self.norm(y, f"{name}.key_norm")
        x = x + gates[0] * self.cross_attention(*normed, f"{name}.attention")
        return x + gates[1] * self.ffn(self.norm(x, f"{name}.ffn_norm"), f"{name}.ffn", activation)
