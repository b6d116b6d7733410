"""A change of hidden states between two layers of an encoder, for a batch and for some of its samples."""

import torch

from mmbert.core.injection import LayerInjection
from mmbert.testing import encoded


def added(hidden, mask, others):
    """Each real token plus the other modality's vector."""
    return hidden + mask.unsqueeze(-1) * others["image"].pooled.unsqueeze(1)


def test_it_changes_the_states_by_the_other_modalities_of_the_same_samples():
    injection = LayerInjection(2, {"image": encoded([[10.0], [20.0], [30.0]])}, added)
    hidden, mask = torch.tensor([[[1.0], [2.0]]] * 3), torch.tensor([[True, False]] * 3)
    assert injection(hidden, mask).squeeze(-1).tolist() == [[11.0, 2.0], [21.0, 2.0], [31.0, 2.0]]
    part = injection.rows(torch.tensor([2, 0]))
    assert part.layer == 2
    assert part(hidden[:2], mask[:2]).squeeze(-1).tolist() == [[31.0, 2.0], [11.0, 2.0]]
