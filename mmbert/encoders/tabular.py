"""``TabularEncoder``: columns of a table as tokens, as FT-Transformer makes them.

Paper: Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data", arXiv:2106.11959. Differs from it:
unknown words and empty cells have vectors of their own, numbers are standard scores rather than quantiles, and without
layers of attention the pooled vector is a small network over the mean of the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Inputs
from mmbert.data.tables.train_cells import TrainCells
from mmbert.encoders.base import Encoder
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.processors.tabular import TabularProcessor, learnt_columns
from mmbert.encoders.transformer_block import TransformerBlock


class TabularEncoder(Encoder):
    """One token a column: b + x · w of a number, b + e[word] of a word.

    An empty cell is b + m, with m learnt for each column; unknown words have e[0]. Both m and e[0] begin at zero, so
    that an empty number starts as the mean of train, and what train never shows stays neutral.

    Args:
        columns: what is known of each column, see ``learnt_columns``; None = learnt from train, which the training
            program does.
        categorical: columns whose numbers are categories, such as postal codes.
        max_categories: a column of more different words is refused.
        min_count: words that fewer rows of train have are unknown ones.
        out_dim: D.
        layers: of attention over the columns; 0 = none, the vector is a small network over the mean of the tokens;
            else it is that of a class token.
        heads: of the attention.
        dropout: in the attention's layers, or the small network.
        frozen: no gradients, always in evaluation mode.
        lr_scale: factor on the learning rate.

    Raises:
        ConfigError: nothing is known of the columns, or the heads do not divide D.
    """

    kind: ClassVar[str] = "tabular"
    processor: TabularProcessor

    def __init__(
        self,
        columns: Mapping[str, Mapping[str, Any]] | None = None,
        categorical: Sequence[str] = (),
        max_categories: Annotated[int, Range(1)] = 1000,
        min_count: Annotated[int, Range(1)] = 1,
        out_dim: Annotated[int, Range(1)] = 64,
        layers: Annotated[int, Range(0)] = 0,
        heads: Annotated[int, Range(1)] = 4,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        frozen: bool = False,
        lr_scale: float = 1.0,
    ) -> None:
        super().__init__(frozen, lr_scale)
        if not columns:
            raise ConfigError("Nothing is known of the columns: give TabularEncoder what TabularEncoder.learned found.")
        if layers and out_dim % heads:
            raise ConfigError(f"heads={heads} do not divide out_dim={out_dim}.")
        self.out_dim, self.processor = out_dim, TabularProcessor(columns)
        sizes = [len(learnt["categories"]) if "categories" in learnt else None for learnt in columns.values()]
        self.number_places = [place for place, size in enumerate(sizes) if size is None]
        self.word_places = [place for place, size in enumerate(sizes) if size is not None]
        places = [*self.number_places, *self.word_places]
        self.order = [places.index(place) for place in range(len(places))]
        bound = out_dim**-0.5  # as in the paper's code
        self.bias = nn.Parameter(torch.empty(len(sizes), out_dim).uniform_(-bound, bound))
        if len(sizes) > 1:  # a record whose only cell is empty is missing itself
            self.missing = nn.Parameter(torch.zeros(len(sizes), out_dim))
        if self.number_places:
            self.weight = nn.Parameter(torch.empty(len(self.number_places), out_dim).uniform_(-bound, bound))
        rows = [size + 1 for size in sizes if size is not None]
        self.firsts = [sum(rows[:place]) for place in range(len(rows))]  # of each column of words, its unknown one
        if rows:
            self.words = nn.Embedding(sum(rows), out_dim)
            nn.init.uniform_(self.words.weight, -bound, bound)
            with torch.no_grad():
                self.words.weight[self.firsts] = 0.0
        self.blocks = nn.ModuleList(TransformerBlock(out_dim, heads, dropout) for _ in range(layers))
        if layers:
            self.class_token = nn.Parameter(torch.empty(out_dim).uniform_(-bound, bound))
            self.norm = nn.LayerNorm(out_dim)
        else:
            self.pool = nn.Sequential(
                nn.Linear(out_dim, 2 * out_dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * out_dim, out_dim)
            )
        self.freeze()

    @classmethod
    def learned(cls, options: Mapping[str, Any], cells: TrainCells) -> dict[str, Any]:
        """See ``Encoder``: means, deviations and categories, where ``columns`` does not give them."""
        if options.get("columns"):
            return {}
        categorical = list(options.get("categorical") or ())
        most, least = options.get("max_categories") or 1000, options.get("min_count") or 1
        return {"columns": learnt_columns(cells, categorical, most, least)}

    def continuous(self, inputs: Inputs) -> Continuous:
        """The vectors of the cells, and as the neutral value those of empty cells: parts are columns."""
        with torch.no_grad():
            embedded = self.embed(inputs)
            empty = (self.missing + self.bias if len(self.bias) > 1 else self.bias).expand_as(embedded)
        return Continuous.of({**inputs, "embedded": embedded}, "embedded", empty, "an empty cell")

    def embed(self, inputs: Inputs) -> Tensor:
        """numbers, codes, missing and mask (B, K) -> (B, K, D)."""
        width = len(self.bias)  # a batch may be padded to more
        mask = inputs["mask"][:, :width]
        numbers = blank(inputs["numbers"][:, :width].unsqueeze(-1), mask).to(self.bias.dtype)  # (B, K, 1)
        codes, missing = torch.where(mask, inputs["codes"][:, :width], 0), inputs["missing"][:, :width] & mask
        parts = []
        if self.number_places:
            parts.append(numbers[:, self.number_places] * self.weight)
        if self.word_places:
            rows = codes[:, self.word_places] + torch.tensor(self.firsts, device=codes.device)
            parts.append(self.words(rows))
        cells = torch.cat(parts, 1)[:, self.order]
        if width > 1:
            cells = torch.where(missing.unsqueeze(-1), self.missing, cells)
        return cells + self.bias

    def encode(self, inputs: Inputs) -> Encoded:
        """numbers, codes, missing and mask (B, K), or ``embedded`` (B, K, D) -> tokens (B, K, D)."""
        mask = inputs["mask"][:, : len(self.bias)]
        tokens = blank(inputs["embedded"], mask) if "embedded" in inputs else self.embed(inputs)
        if not self.blocks:
            return Encoded(tokens, mask, self.pool(tokens.mean(1)))
        x = torch.cat([self.class_token.expand(tokens.shape[0], 1, -1), tokens], 1)
        everything = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        for block in self.blocks:
            x = block(x, everything)
        x = self.norm(x)
        return Encoded(x[:, 1:], mask, x[:, 0])
