"""A small model of two modalities and two tasks, and what an export of it left."""

import pytest
import torch

from mmbert.deploy.export import export_model
from mmbert.deploy.trial_inputs import made_inputs
from mmbert.encoders.features import FeatureEncoder
from mmbert.fusion.gmu import GMUFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification
from mmbert.tasks.regression import Regression


@pytest.fixture(scope="session")
def small_model():
    torch.manual_seed(0)
    encoders = {"face": FeatureEncoder(6), "voice": FeatureEncoder(4)}
    tasks = {
        "mood": Classification(8, "mood", ["glad", "sad", "neither"], calibrate="temperature"),
        "age": Regression(8, "age"),
    }
    tasks["mood"].temperature.fill_(1.7)
    return MultimodalModel(encoders, GMUFusion({"face": 6, "voice": 4}, 8), tasks).eval()


@pytest.fixture(scope="session")
def small_batches(small_model):
    processors = {name: encoder.processor for name, encoder in small_model.named_encoders().items()}
    return [made_inputs(processors, 4, seed) for seed in (0, 1)]


@pytest.fixture(scope="session")
def exported(small_model, small_batches, tmp_path_factory):
    return export_model(small_model, tmp_path_factory.mktemp("export") / "whole", small_batches, ("onnx", "torch"))
