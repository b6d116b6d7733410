"""Long texts in overlapping windows: each is run through the network by itself, and their tokens become one sequence.

Every token is taken from the window in which it has the most context on its poorer side, as BERT's authors chose for
SQuAD (Devlin et al. 2019, arXiv:1810.04805, ``run_squad.py``: "max context"). So every token is there once, and what a
window's edge would cut, such as an answer, stays whole. Of two texts that are read together the first begins every
window, and the windows go over the second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmbert.core.types import Inputs


@dataclass(frozen=True)
class TextWindows:
    """How a sequence of tokens falls into windows.

    Attributes:
        size: tokens of a window, special ones included.
        overlap: tokens that a window shares with the next.
        leading: special tokens at the beginning of a text, which begin every window.
        trailing: special tokens at its end, which end every window.
    """

    size: int
    overlap: int
    leading: int
    trailing: int

    @property
    def content(self) -> int:
        """Tokens of the text in a window."""
        return self.size - self.leading - self.trailing

    @property
    def step(self) -> int:
        """From the beginning of a window to that of the next, in tokens of the text."""
        return self.content - self.overlap

    def count(self, length: int) -> int:
        """Windows of a text of so many tokens, special ones left out."""
        return 1 + max(0, -(-(length - self.content) // self.step))

    def places(self, length: int) -> Tensor:
        """(windows, size) int64: the places, in the sequence of all tokens, of the tokens of each window; -1 = none.

        Args:
            length: tokens of the text, special ones left out.
        """
        rows = torch.full((self.count(length), self.size), -1)
        whole = self.leading + length
        for number, row in enumerate(rows):
            begin = number * self.step
            end = min(begin + self.content, length)
            inner = torch.arange(self.leading + begin, self.leading + end)
            tokens = torch.cat([torch.arange(self.leading), inner, torch.arange(whole, whole + self.trailing)])
            row[: len(tokens)] = tokens
        return rows

    def sources(self, length: int) -> Tensor:
        """(leading + length + trailing, 2) int64: the window that each token is taken from, and its place in it.

        Special tokens are taken from the first and the last window.
        """
        windows = self.count(length)
        begins = torch.arange(windows) * self.step
        ends = (begins + self.content).clamp(max=length)
        token = torch.arange(length).unsqueeze(1)
        context = torch.minimum(token - begins, ends - 1 - token)  # (length, windows); below 0 outside the window
        window = context.argmax(1) if length else torch.zeros(0, dtype=torch.int64)
        inner = torch.stack([window, self.leading + token.squeeze(1) - begins[window]], 1)
        first = torch.stack([torch.zeros(self.leading, dtype=torch.int64), torch.arange(self.leading)], 1)
        after = self.leading + int(ends[-1] - begins[-1])
        last = torch.stack([torch.full((self.trailing,), windows - 1), after + torch.arange(self.trailing)], 1)
        return torch.cat([first, inner, last])

    def run(self, inputs: Inputs, network: Callable[[Inputs], Tensor]) -> Tensor:
        """Tokens of a batch (B, L, D), zeros where the mask is False.

        Args:
            inputs: ``mask`` (B, L) bool, real tokens first, and other tensors (B, L), among them of pairs of texts
                ``before`` (B, L) bool, the tokens up to the second text.
            network: the same of N windows, (N, W) each -> (N, W, D).
        """
        mask = inputs["mask"]
        windows = self.of_rows(inputs)
        leading = torch.tensor([each.leading for each in windows], device=mask.device)
        lengths = (mask.sum(1) - leading - self.trailing).clamp(min=0).tolist()
        rows = [each.places(length).to(mask.device) for each, length in zip(windows, lengths, strict=True)]
        width = max(int((row >= 0).sum(1).max()) for row in rows)
        places = torch.cat(rows)[:, :width]  # (N, W)
        sample = torch.repeat_interleave(
            torch.arange(len(rows), device=mask.device), torch.tensor([len(row) for row in rows], device=mask.device)
        )
        part = {name: tensor[sample.unsqueeze(1), places.clamp(min=0)] for name, tensor in inputs.items()}
        part["mask"] = part["mask"] & (places >= 0)
        states = network(part)  # (N, W, D)
        found = states.new_zeros(*mask.shape, states.shape[-1])
        first = 0
        for row, length in enumerate(lengths):
            source = windows[row].sources(length).to(mask.device)[: int(mask[row].sum())]
            found[row, : len(source)] = states[first + source[:, 0], source[:, 1]]
            first += len(rows[row])
        return found

    def of_rows(self, inputs: Inputs) -> list[TextWindows]:
        """How each sequence of a batch falls into windows: of a pair all tokens up to the second text begin them."""
        if "before" not in inputs:
            return [self] * len(inputs["mask"])
        counts = (inputs["before"] & inputs["mask"]).sum(1).tolist()
        return [replace(self, leading=count) if count else self for count in counts]
