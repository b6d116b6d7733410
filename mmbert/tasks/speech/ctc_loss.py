"""The loss of connectionist temporal classification, a sample at a time."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mmbert.core.masks import blank
from mmbert.tasks.speech.ctc_search import BLANK


def ctc_losses(logits: Tensor, frames: Tensor, ids: Tensor, length: Tensor) -> Tensor:
    """(B,) float: -log p(transcript), 0 where there is none, or no sound to say it (one that was taken away).

    Args:
        logits: (B, L, C + 1), the blank first.
        frames: (B,) int64, how many tokens of each sound are real.
        ids: (B, N) int64 symbols; what is beyond a transcript's end is not read.
        length: (B,) int64 of the transcripts; 0 = there is none.
    """
    labelled = length > 0
    each = F.ctc_loss(
        # an unlabelled sample's logits never reach a gradient
        blank(logits.float(), labelled).log_softmax(-1).transpose(0, 1),  # (L, B, C + 1)
        ids,
        frames.clamp(min=1),
        length,
        blank=BLANK,
        reduction="none",
        zero_infinity=True,  # transcripts that are too long were refused when they were read
    )
    return blank(each, labelled & (frames > 0))
