"""Product of experts: each modality predicts a Gaussian, and their product with a prior is the joint distribution.

    μ_m = W_m LN(v_m) + b_m,   log σ²_m = S_m LN(v_m) + s_m         one expert for each modality, diagonal
    T   = 1 + Σ_{m ∈ P} 1 / σ²_m                                    P = the modalities that the sample has; the 1 is the
    μ   = 1/T Σ_{m ∈ P} μ_m / σ²_m                                  prior N(0, 1), whose mean of 0 adds nothing
    q   = N(μ, 1 / T)
    z   = μ + ε / √T,  ε ~ N(0, 1), in training;  z = μ in evaluation
    auxiliary loss ``kl`` = kl_weight · KL(q ‖ N(0, 1)) = kl_weight · ½ Σ_i (1 / T_i + μ_i² − 1 + log T_i), batch mean

Paper: Wu and Goodman 2018, "Multimodal Generative Models for Scalable Weakly-Supervised Learning" (MVAE),
arXiv:1802.05335, section 2.2: the experts are q̃(z|x_m), so that a missing modality is only a factor that is not there.
Here is only its inference network: no decoders, hence no reconstruction in the loss and no training on random subsets
of the modalities (``augment.modality_dropout`` trains on such). The tasks' losses stand in for the reconstruction, as
in the variational information bottleneck (Alemi et al. 2017, arXiv:1612.00410), and ``kl_weight`` is β there. The
layer norm (``normalize=False`` leaves it out) is added. Instead of the small constant that the authors' code adds to
the variances, T is computed in logarithms.

Initial scale: the experts' variances begin near 1, so that T is about M + 1; means with a variance of M + 1 then give
μ one of M / (M + 1), and z, with its noise, one of 1 as the prior has.

Diagnostics: ``share/precision`` (B, M, H), 1 / (σ²_m T): how far each modality decides each number; what is missing to
a sum of 1 over the modalities is the prior's.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import masked_softmax
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.projection import Projection


class ProductOfExpertsFusion(Fusion):
    """Gaussian experts, multiplied with a standard normal prior.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the joint Gaussian, and of the fused vector.
        kl_weight: of the divergence from the prior, in the loss; 0 leaves it out.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.

    Raises:
        ConfigError: ``kl_weight`` is below 0.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        kl_weight: Annotated[float, Range(0)] = 0.001,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if kl_weight < 0:
            raise ConfigError(f"fusion.kl_weight={kl_weight} must be at least 0.")
        self.kl_weight = kl_weight
        experts = {m: Projection(d, 2 * out_dim, normalize, dropout) for m, d in dims.items()}
        for m, d in dims.items():
            means, log_variances = experts[m].linear.weight.chunk(2)
            nn.init.normal_(means, std=((len(dims) + 1) / d) ** 0.5)
            nn.init.normal_(log_variances, std=0.1 * d**-0.5)
            nn.init.zeros_(experts[m].linear.bias)
        self.experts = nn.ModuleDict(experts)

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """``pooled`` (B, D_m) each -> Fused, with the auxiliary loss ``kl`` and the header's diagnostics if asked."""
        beliefs = torch.stack([self.experts[m](x.pooled, x.present) for m, x in inputs.items()], 1)  # (B, M, 2H)
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
        means, log_variances = beliefs.chunk(2, 2)  # (B, M, H)
        mean, log_precision, shares = joint(means, log_variances, present)
        z = mean
        if self.training:
            z = mean + torch.randn_like(mean) * (-0.5 * log_precision).exp()
        losses = {}
        if self.kl_weight:
            divergence = 0.5 * ((-log_precision).exp() + mean.square() - 1 + log_precision).sum(1)  # (B,)
            losses["kl"] = self.kl_weight * divergence.mean()
        return Fused(z, auxiliary_losses=losses, diagnostics={"share/precision": shares} if diagnostics else {})


def joint(means: Tensor, log_variances: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The product of the present Gaussians and N(0, 1).

    Args:
        means: (B, M, H).
        log_variances: (B, M, H).
        present: (B, M) bool.

    Returns:
        Its mean (B, H), the logarithm of its precision (B, H), and each factor's share of that precision (B, M, H).
    """
    # the prior's logarithm of precision is 0; shares are a softmax over logarithms of precisions, the prior's included
    scores = torch.cat([torch.zeros_like(log_variances[:, :1]), -log_variances], 1)  # (B, 1 + M, H)
    here = torch.cat([torch.ones_like(present[:, :1]), present], 1).unsqueeze(2)  # (B, 1 + M, 1)
    lowest = torch.finfo(scores.dtype).min
    log_precision = scores.masked_fill(~here, lowest).logsumexp(1)
    shares = masked_softmax(scores.mT, here.mT).mT[:, 1:]
    return (shares * means).sum(1), log_precision, shares
