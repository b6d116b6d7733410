"""The projection that strategies share."""

import torch

from mmbert.fusion.layers.projection import Projection


def test_it_is_zero_where_the_mask_is_false_in_spite_of_its_biases():
    project = Projection(3, 2)
    out = project(torch.zeros(2, 3), torch.tensor([True, False]))
    torch.testing.assert_close(out[0], project.linear.bias)  # the norm of zeros is its bias, 0 at the start
    assert (out[1] == 0).all() and (out[0] != 0).all()


def test_normalised_vectors_of_any_scale_project_alike_and_others_do_not():
    vectors, mask = torch.tensor([[1.0, 2.0, 4.0], [1000.0, 2000.0, 4000.0]]), torch.tensor([True, True])
    normalised = Projection(3, 2)(vectors, mask)
    torch.testing.assert_close(normalised[0], normalised[1], rtol=1e-4, atol=1e-4)
    plain = Projection(3, 2, normalize=False)
    torch.testing.assert_close(plain(vectors, mask), vectors @ plain.linear.weight.T + plain.linear.bias)
