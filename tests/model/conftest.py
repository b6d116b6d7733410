"""A small saved model, and a copy of it for each test, which may damage it."""

import shutil

import pytest
import torch

from mmbert.encoders.text import TextEncoder
from mmbert.fusion.mean import MeanFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.regression import Regression


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    """A folder that ``save_pretrained`` wrote, of a text encoder, MeanFusion and a regression called size."""
    torch.manual_seed(0)
    encoder = TextEncoder("tiny", pretrained=False)
    fusion, tasks = MeanFusion({"text": encoder.out_dim}, 8), {"size": Regression(8, "cm")}
    return MultimodalModel({"text": encoder}, fusion, tasks).save_pretrained(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def folder(saved_model, tmp_path):
    """A copy of it."""
    return shutil.copytree(saved_model, tmp_path / "model")
