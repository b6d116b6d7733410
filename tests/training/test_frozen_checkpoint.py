"""Checkpoints hold what learns; the rest is known by its fingerprint."""

import pytest
import torch

from mmbert.core.errors import TrainingError
from mmbert.training.run import run

COVERS = ("module",)

FROZEN = "encoders.image.frozen=true"


@pytest.fixture(scope="module")
def folder(compose_tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen")
    run(compose_tiny(FROZEN, "trainer.max_epochs=1", "logger=none"), folder)
    return folder


def test_a_checkpoint_holds_no_frozen_weights(folder):
    for name in ("best", "last"):
        (path,) = (folder / "checkpoints").glob(f"{name}*.ckpt")
        state = torch.load(path, weights_only=True)
        names = list(state["state_dict"])
        assert not [key for key in names if key.startswith("model.encoders.image.")]
        assert [key for key in names if key.startswith("model.encoders.text.")]
        assert list(state["mmbert_frozen"]) == ["image"]


def test_the_saved_model_has_frozen_weights_in_a_file_of_their_own(folder):
    from safetensors.torch import load_file

    from mmbert.model import MultimodalModel

    names = load_file(folder / "model" / "model.safetensors")
    assert [name for name in names if name.startswith("encoders.text.")]
    assert not [name for name in names if name.startswith("encoders.image.")]
    (path,) = (folder / "model" / "encoders" / "image").glob("frozen-*.safetensors")
    loaded = MultimodalModel.from_pretrained(folder / "model").encoders["image"].state_dict()
    frozen = load_file(path)
    assert loaded.keys() == frozen.keys()
    assert all(torch.equal(tensor, frozen[name]) for name, tensor in loaded.items())


def test_other_frozen_weights_are_refused(folder, compose_tiny):
    import pytorch_lightning as pl

    from mmbert.training.balance.fixed import FixedBalance
    from mmbert.training.build import build
    from mmbert.training.module import FusionModule

    (path,) = (folder / "checkpoints").glob("best*.ckpt")
    for seed, fits in ((0, True), (1, False)):  # the tiny encoder's weights are random
        pl.seed_everything(seed, verbose=False)
        parts = build(compose_tiny(FROZEN))
        module = FusionModule(parts.model, FixedBalance(parts.model.named_tasks()), lambda *args: None)
        state = torch.load(path, weights_only=True)
        if not fits:
            with pytest.raises(TrainingError, match="frozen encoder 'image' has other weights"):
                module.on_load_checkpoint(state)
            continue
        module.on_load_checkpoint(state)
        assert {key for key in module.state_dict() if key.startswith("model.")} <= set(state["state_dict"])
