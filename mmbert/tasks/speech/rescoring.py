"""N-best lists in a new order: the pseudo-log-likelihood of each text under a masked language model joins CTC's score.

    PLL(y) = Σ_i log p(y_i | y without y_i),  each token masked by itself
    score(y) = log p_CTC(y) + w · PLL(y)

Paper: Salazar et al. 2020, "Masked Language Model Scoring", arXiv:1910.14659. w is chosen on the validation split: the
one of a grid whose best texts have the fewest errors, the smallest if several do. w = 0 leaves the list as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmbert.encoders.pretrained.masked_model import load_masked_model
from mmbert.encoders.pretrained.transformers import positions

#: Texts whose pseudo-log-likelihood is remembered.
MOST_REMEMBERED = 20_000
#: Masked copies that go through the network at once.
MOST_ROWS = 64


class PseudoLikelihood:
    """Scores texts by a masked language model of transformers; no gradients, and no part of the model that is trained.

    Of a text that is longer than the model takes its beginning is scored.

    Args:
        source: a folder, or a name on the Hugging Face hub.

    Raises:
        WeightsError: it cannot be had, or is no masked language model.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.network, self.tokenizer = load_masked_model(source)
        self.most_tokens = positions(self.network.config, self.tokenizer)
        self._known: dict[str, float] = {}

    def scores(self, texts: Sequence[str], device: torch.device) -> list[float]:
        """The pseudo-log-likelihood of each text; 0 of an empty one."""
        for text in texts:
            if text not in self._known:
                if len(self._known) >= MOST_REMEMBERED:
                    self._known.clear()
                self._known[text] = self._score(text, device)
        return [self._known[text] if text in self._known else self._score(text, device) for text in texts]

    def _score(self, text: str, device: torch.device) -> float:
        encoding = self.tokenizer(
            text, return_tensors="pt", return_special_tokens_mask=True, truncation=True, max_length=self.most_tokens
        )
        places = (~encoding["special_tokens_mask"][0].bool()).nonzero().squeeze(1)
        total, network = 0.0, self.network.to(device)
        if not len(places):
            return total
        for part in places.split(MOST_ROWS):
            ids = encoding["input_ids"].repeat(len(part), 1)
            rows = torch.arange(len(part))
            hidden = ids[rows, part]
            ids[rows, part] = self.tokenizer.mask_token_id
            with torch.no_grad():
                logits = network(input_ids=ids.to(device)).logits[rows, part].double().cpu()
            total += float(logits.log_softmax(-1)[rows, hidden].sum())
        return total

    def save(self, folder: Path) -> None:
        """Writes it so that ``PseudoLikelihood(folder)`` is the same."""
        self.network.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def rescored(scores: Sequence[tuple[float, float]], weight: float) -> list[int]:
    """The order of an n-best list, best first, by CTC's score and a weighted second one; ties stay in order."""
    return sorted(range(len(scores)), key=lambda place: -(scores[place][0] + weight * scores[place][1]))


def best_weight(samples: Sequence[dict[str, Any]], grid: Sequence[float]) -> tuple[float, list[int]]:
    """The weight of a grid whose best texts have the fewest errors, the smallest of several, and each one's errors.

    Args:
        samples: one a sample: ``scores``, pairs of its n-best list, and ``errors``, those of each text.
        grid: of weights.
    """
    ordered = sorted(grid)
    errors = [sum(s["errors"][rescored(s["scores"], weight)[0]] for s in samples) for weight in ordered]
    return ordered[errors.index(min(errors))], errors


def weight_buffer() -> Tensor:
    """() float64, below 0 as long as no weight was chosen: nothing is rescored then."""
    return torch.full((), -1.0, dtype=torch.float64)
