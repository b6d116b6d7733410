"""Operations of small modules, counted by hand."""

import torch
from torch import nn

from mmbert.core.flops import count


class Latents(nn.Module):
    """Hands a view of a parameter to a module within, as models with learnt queries do."""

    def __init__(self):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(3, 4))
        self.within = nn.Linear(4, 5)

    def forward(self, batch):
        return self.within(self.latents.expand(batch, -1, -1))


def test_a_view_of_a_parameter_is_counted_with_and_without_gradients():
    # 2 samples × 3 latents × 4 × 5 multiplications, and as many additions
    model = Latents()
    assert count(lambda: model(2)) == 2 * 2 * 3 * 4 * 5
    with torch.no_grad():
        assert count(lambda: model(2)) == 240
    with torch.inference_mode():
        assert count(lambda: model(2)) == 240


def test_attention_is_counted_as_its_products():
    # scores: 1 head, 6 queries, 7 keys, width 8; the sum over values as much again
    q, k, v = torch.randn(1, 1, 6, 8), torch.randn(1, 1, 7, 8), torch.randn(1, 1, 7, 8)
    assert count(lambda: nn.functional.scaled_dot_product_attention(q, k, v)) == 2 * (2 * 6 * 7 * 8)
