"""Compact bilinear pooling: a random sketch of the modalities' outer product, without ever forming it.

    Ψ_m(x)_k = Σ_{i : h_m(i) = k} s_m(i) x_i                        count sketch: D_m numbers put into n bins
    c = FFT⁻¹(Π_{m ∈ P} FFT(Ψ_m(LN(v_m))))                          P = the modalities that the sample has
    y = sign(c) sqrt(|c|),   z = W_o (y / |y|) + b_o                power and l2 normalisation, then a linear layer

h_m(i) ∈ {0 … n - 1} and s_m(i) = ±1 are drawn once and never learned. The circular convolution of two sketches is the
count sketch of the outer product with h(i, j) = h_1(i) + h_2(j) mod n and s(i, j) = s_1(i) s_2(j), and on average over
the draws the scalar product of two sketches is that of what was sketched.

Papers: Fukui et al. 2016, "Multimodal Compact Bilinear Pooling for Visual Question Answering and Visual Grounding",
arXiv:1606.01847; Gao et al. 2016, arXiv:1511.06062; for the convolution of any number of sketches Pham &
Pagh 2013, "Fast and Scalable Polynomial Kernels via Explicit Feature Maps". The paper has n = 16000 for two vectors of
2048, and its attention is not here. Differs from it: the layer norm, any number of modalities, and missing ones, which
leave the product of spectra (a factor of 1, the spectrum of a single 1 in bin 0).
Bins that no number is put into hold the round-off of the transforms, and its root would be no longer small: what is
below 8 ε Π |Ψ_m|, ε the precision of the number format, is set to 0. The transforms are in float32 at least. The root
is straightened below 1e-8: mmbert/fusion/layers/power_norm.py.
At the start z has a variance of 1: y / |y| has the length 1, and W_o independent weights of variance 1.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.init import unit_variance
from mmbert.fusion.layers.power_norm import power_norm


class CountSketch(nn.Module):
    """Ψ: each element, with a random sign, added to a random bin (Charikar et al. 2002).

    Args:
        dim: width D of what is sketched.
        bins: n, how many there are.
        generator: where bins and signs are drawn from; they are buffers, saved with the weights.
    """

    bin_of: Tensor
    sign_of: Tensor

    def __init__(self, dim: int, bins: int, generator: torch.Generator) -> None:
        super().__init__()
        self.bins = bins
        self.register_buffer("bin_of", torch.randint(bins, (dim,), generator=generator))
        # int8: a cast of the model to another number format leaves them as they are
        self.register_buffer("sign_of", torch.randint(2, (dim,), generator=generator, dtype=torch.int8) * 2 - 1)

    def forward(self, vectors: Tensor) -> Tensor:
        """vectors (B, D) -> (B, n)."""
        empty = vectors.new_zeros(vectors.shape[0], self.bins)
        return empty.index_add(1, self.bin_of, vectors * self.sign_of.to(vectors.dtype))


class MCBFusion(Fusion):
    """Count sketches, convolved by way of their spectra.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector.
        sketch_dim: n, the bins of the sketch; the more, the nearer it is to the outer product.
        sketch_seed: from which bins and signs are drawn, whatever the run's own seed is.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.

    Raises:
        ConfigError: ``sketch_dim`` is below 2.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        sketch_dim: Annotated[int, Range(2)] = 2048,
        sketch_seed: Annotated[int, Range(0)] = 0,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if sketch_dim < 2:
            raise ConfigError(f"fusion.sketch_dim={sketch_dim} must be 2 or more; the paper has 16000.")
        self.norms = nn.ModuleDict({m: nn.LayerNorm(d) if normalize else nn.Identity() for m, d in dims.items()})
        self.dropout = nn.Dropout(dropout)
        generator = torch.Generator().manual_seed(sketch_seed)
        self.sketch = nn.ModuleDict({m: CountSketch(d, sketch_dim, generator) for m, d in dims.items()})
        self.out = unit_variance(nn.Linear(sketch_dim, out_dim), 1 / sketch_dim)

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H)."""
        sketches, present = [], []
        for m, x in inputs.items():
            vector = blank(self.dropout(self.norms[m](x.pooled)), x.present)
            exact = torch.promote_types(vector.dtype, torch.float32)  # there are no transforms in bfloat16
            sketches.append(self.sketch[m](vector.to(exact)))
            present.append(x.present)
        fused: Tensor = self.out(power_norm(convolved(sketches, present)).to(self.out.weight.dtype))
        return fused


def convolved(sketches: list[Tensor], present: list[Tensor]) -> Tensor:
    """sketches (B, n) and present (B,), one of each a modality -> (B, n): the circular convolution of those present."""
    if torch.compiler.is_exporting():  # ONNX has transforms, and no complex numbers
        return convolved_in_real_numbers(sketches, present)
    spectrum = torch.ones((), dtype=sketches[0].dtype, device=sketches[0].device)
    scale = spectrum
    for sketch, here in zip(sketches, present, strict=True):
        spectrum = spectrum * torch.where(here.unsqueeze(1), torch.fft.rfft(sketch), 1.0)  # (B, n // 2 + 1)
        scale = scale * torch.where(here, sketch.detach().norm(dim=1), 1.0)  # (B,)
    return without_round_off(torch.fft.irfft(spectrum, n=sketches[0].shape[1]), scale)


def convolved_in_real_numbers(sketches: list[Tensor], present: list[Tensor]) -> Tensor:
    """As ``convolved``, with real and imaginary parts side by side: the same sums in another order."""
    scale = torch.ones((), dtype=sketches[0].dtype, device=sketches[0].device)
    real, imaginary = scale, torch.zeros_like(scale)
    for sketch, here in zip(sketches, present, strict=True):
        parts = torch.view_as_real(torch.fft.rfft(sketch))  # (B, n // 2 + 1, 2)
        a = torch.where(here.unsqueeze(1), parts[..., 0], 1.0)
        b = torch.where(here.unsqueeze(1), parts[..., 1], 0.0)
        real, imaginary = real * a - imaginary * b, real * b + imaginary * a
        scale = scale * torch.where(here, sketch.detach().norm(dim=1), 1.0)
    return without_round_off(torch.fft.irfft(torch.complex(real, imaginary), n=sketches[0].shape[1]), scale)


def without_round_off(result: Tensor, scale: Tensor) -> Tensor:
    """result (B, n), the product of the sketches' lengths (B,) -> the same; zeros where only rounding is left."""
    round_off = 8 * torch.finfo(result.dtype).eps * scale.unsqueeze(1)
    return blank(result, result.detach().abs() > round_off)
