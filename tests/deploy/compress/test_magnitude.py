"""Unstructured pruning by magnitude, against NumPy."""

import numpy as np
import torch

from mmbert.deploy.compress.magnitude import begin_magnitude, end_magnitude, prunable
from mmbert.encoders.image import ImageEncoder
from mmbert.fusion.mean import MeanFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification


def tiny():
    torch.manual_seed(0)
    encoder = ImageEncoder("tiny", pretrained=False)
    fusion = MeanFusion({"image": encoder.out_dim}, 8)
    return MultimodalModel({"image": encoder}, fusion, {"answer": Classification(8, "answer", ["a", "b"])})


def weights(model):
    return np.concatenate([getattr(module, name).detach().numpy().ravel() for module, name in prunable(model)])


def test_the_smallest_weights_of_all_layers_together_become_zero_and_stay_so():
    model = tiny()
    before = weights(model)
    count = begin_magnitude(model, 0.3)
    gone = np.zeros(len(before), bool)
    gone[np.argsort(np.abs(before))[:count]] = True
    assert count == round(0.3 * len(before))
    np.testing.assert_array_equal(weights(model), np.where(gone, 0, before))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(2):
        inputs = {"image": {"pixels": torch.randn(3, 3, 16, 16), "mask": torch.ones(3, 1, dtype=torch.bool)}}
        model(inputs).outputs["answer"]["logits"].square().sum().backward()
        optimizer.step()
    model(inputs)
    trained = weights(model)
    assert (trained[gone] == 0).all() and (trained[~gone] != before[~gone]).mean() > 0.9
    end_magnitude(model)
    np.testing.assert_array_equal(weights(model), trained)
    assert not any(name.endswith(("_orig", "_mask")) for name in model.state_dict())
