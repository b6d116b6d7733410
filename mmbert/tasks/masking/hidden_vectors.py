"""``VectorParts``: vectors of ready features that become zeros, normalised one by one as what is to be told.

Paper: Chen et al. 2020, "UNITER", arXiv:1909.11740 (masked region feature regression), with differences that
``mmbert.tasks.masked_features`` lists.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from mmbert.core.masks import blank
from mmbert.core.types import Inputs
from mmbert.tasks.masking.hidden_parts import HiddenParts, chosen_spans


class VectorParts:
    """A part is a vector; see ``InputParts``.

    Args:
        width: W.
    """

    before, per_token, squared, share, span = 0, 1, True, 0.15, 1

    def __init__(self, width: int) -> None:
        self.width = width

    def hide(
        self, inputs: Inputs, randoms: Sequence[np.random.Generator | None], share: float, span: int
    ) -> HiddenParts:
        """See ``InputParts``: features (B, L, W), mask (B, L)."""
        hidden = torch.from_numpy(chosen_spans(inputs["mask"].numpy(), share, span, randoms))
        features = inputs["features"]
        vectors = blank(F.layer_norm(features.float(), features.shape[-1:]), hidden)
        return HiddenParts({**inputs, "features": blank(features, ~hidden)}, hidden, vectors)
