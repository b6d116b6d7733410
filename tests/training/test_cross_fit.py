"""A run's config trained on other rows: nothing is learnt from the rest."""

from collections import Counter

import numpy as np

from mmbert.training.cross_fit import fit_on_rows


def test_labels_are_learnt_from_the_given_train_rows_alone(compose_tiny, tmp_path):
    cfg = compose_tiny("trainer.max_epochs=1", "tasks.operation.class_weights=balanced")
    rows = {"train": np.arange(40, 75), "val": np.arange(0, 8), "held_out": np.arange(8, 40)}
    parts = fit_on_rows(cfg, rows, tmp_path)
    assert {split: of.tolist() for split, of in parts.data.rows.items()} == {k: v.tolist() for k, v in rows.items()}
    task = parts.model.named_tasks()["operation"]
    counts = Counter(parts.data.table.column("operation", rows["train"]))
    assert task.init_args["class_counts"] == {name: n for name, n in counts.items() if n} | {
        name: 0 for name in task.init_args["class_counts"] if name not in counts
    }
    values = np.array(parts.data.table.column("value", rows["train"]), float)
    assert abs(parts.model.named_tasks()["value"].init_args["mean"] - values.mean()) < 1e-4
    assert not parts.model.training and cfg.checkpoint.per_task is False
