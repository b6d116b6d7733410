"""Floating-point operations, counted by torch's FlopCounterMode as a module runs.

Counted are matrix products and convolutions, a multiplication and an addition being two. Not counted is what is done
element by element (activations, norms, softmax, additions, pooling), the looking up of embeddings, nor Fourier
transforms (spectrograms). While counting, attention is computed as plain matrix products: the counter knows no fused
kernel of a CPU, and would take attention for free there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


class Everywhere:
    """Stands for torch's tracker of modules, of which the total has no need.

    The tracker hangs on gradients, and fails without them where a module is given a view of a parameter.
    """

    parents = frozenset({"Global"})

    def __enter__(self) -> Everywhere:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def count(work: Callable[[], Any]) -> int:
    """Operations of what is done, every kernel that the counter does not know replaced by one that it does."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with ExitStack() as stack:
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")  # torch's own, about GPUs that it was not built for
            stack.enter_context(torch.backends.mkldnn.flags(enabled=False))  # its LSTM is one kernel
            counter = FlopCounterMode(display=False)
            counter.mod_tracker = Everywhere()  # type: ignore[assignment]
            stack.enter_context(counter)
            work()
            return int(counter.get_total_flops())
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
