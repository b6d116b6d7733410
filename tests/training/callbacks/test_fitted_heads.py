"""Heads are fitted to all training samples, in order and unchanged, before each validation; saved models have them."""

import sys

import pandas as pd
import torch

from mmbert.model import MultimodalModel
from mmbert.tasks.contrastive_classification import ContrastiveClassification
from mmbert.training.callbacks.fitted_heads import places_in_order
from mmbert.training.run import run

SEEN: list[tuple[list[int], torch.Tensor]] = []


class Watched(ContrastiveClassification):
    """Remembers the labels and vectors that it was fitted to."""

    def fit_head(self, outputs, targets):
        assert not self.training
        SEEN.append((self.decode(targets), outputs["vectors"]))
        super().fit_head(outputs, targets)


def test_a_run_fits_before_each_validation_and_the_saved_model_answers_by_it(compose_tiny, tmp_path, digits):
    SEEN.clear()
    cfg = compose_tiny("logger=none", "trainer.max_epochs=2", "data.eval_batch_size=5", "augment.modality_dropout=0.9")
    cfg.tasks = {
        "operation": {"_target_": f"{__name__}.Watched", "column": "operation", "classes": None, "weight": 1.0}
    }
    sys.modules.setdefault(__name__, sys.modules[Watched.__module__])
    run(cfg, tmp_path)
    train = pd.read_csv(digits).query("split == 'train'")
    assert [labels for labels, _ in SEEN] == [train["operation"].tolist()] * 2  # the table's order, each sample once
    assert not torch.equal(SEEN[0][1], SEEN[1][1])  # the encoders have learnt in between
    model = MultimodalModel.from_pretrained(tmp_path / "model", trust_custom_code=True)
    assert model.named_tasks()["operation"].head.weight.any()


def test_copies_are_left_out_and_rows_are_in_order():
    assert places_in_order([7, -1, 3, 5]).tolist() == [2, 3, 0]
