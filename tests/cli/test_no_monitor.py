"""What is to choose the checkpoint has no value, or is never measured: told before training, or kept and told after."""

import json

import pytest

from mmbert.core.errors import TrainingError

#: The column label as a task whose kind is not guessed.
REGRESSION = ("+task@tasks.label=regression", "tasks.label.column=label")
MULTILABEL = ("+task@tasks.label=multilabel", "tasks.label.column=label")


@pytest.fixture
def table(here):
    """``table(val, test)``: my.csv with labels a and b, or 1.5 and 2.5 with ``numbers``, in train, and those in val."""

    def write(*val, numbers=False, text="word"):
        first, second = ("1.5", "2.5") if numbers else ("a", "b")
        rows = [f"word{i % 2} {i},{(first, second)[i % 2]},{s}" for s in ("train", "test") for i in range(8)]
        rows += [f"{text},{label},val" for label in val]
        (here / "my.csv").write_text("\n".join(["text,label,split", *rows]) + "\n")

    return write


def test_one_class_has_no_auroc(table, stopped):
    table("a", "a", "")
    assert stopped("monitor=val/label/auroc") == (
        "monitor=val/label/auroc has no value on the validation split: all 2 labelled samples are of the class 'a'. "
        "Choose another metric (monitor=val/label/loss, monitor=val/label/accuracy, monitor=val/label/f1), or give the "
        "split other samples."
    )


def test_what_is_validated_counts_and_not_the_whole_split(table, stopped, passed):
    table("a", "a", "a", "a", "b")
    words = ("monitor=val/label/auroc", "data.eval_batch_size=2")
    assert "all 4 labelled samples are of the class 'a'" in stopped(*words, "trainer.limit_val_batches=2")
    assert json.loads((passed(*words) / "metrics.json").read_text())["checkpoint"]["value"] is not None


def test_a_callback_of_its_own_is_held_to_it_too(table, stopped):
    table("1.5", numbers=True)
    words = (
        "callbacks.early_stopping.monitor=val/label/r2",
        "callbacks.early_stopping.mode=max",
        "+task@tasks.label=regression",
        "tasks.label.column=label",
    )
    assert stopped(*words).startswith(
        "callbacks.early_stopping.monitor=val/label/r2 has no value on the validation split: the only labelled sample"
    )


def test_the_default_falls_back_to_the_loss_and_says_so(table, passed, capsys):
    table("[]", "[]")
    folder = passed(*MULTILABEL)
    reason = "all 2 labelled samples are without any property"
    told = " ".join(capsys.readouterr().out.split())
    assert f"val/label/map has no value on val ({reason}): val/label/loss chooses the checkpoint" in told
    chosen = json.loads((folder / "metrics.json").read_text())["checkpoint"]
    assert (chosen["monitor"], chosen["mode"], chosen["path"]) == ("val/label/loss", "min", "checkpoints/best.ckpt")


def test_constant_predictions_are_seen_in_training_only_and_nothing_is_lost(table, here, capsys):
    from mmbert.training.run import run
    from tests.cli.conftest import composed

    table("1.5", "2.5", numbers=True)  # one text twice: whatever is learnt, both predictions are the same
    words = (
        "+task@tasks.label=regression",
        "tasks.label.column=label",
        "monitor=val/label/pearson",
        "trainer.max_epochs=3",
    )
    with pytest.raises(TrainingError, match=r"val/label/pearson had no value at any .*monitor=val/label/loss"):
        run(composed(words).copy(), here / "out")
    assert capsys.readouterr().out.count("val/label/pearson has no value after epoch 1: it is not the best") == 1
    left = json.loads((here / "out" / "metrics.json").read_text())
    assert left["epochs"] == 3 and left["checkpoint"]["value"] is None and left["checkpoint"]["path"] is None
    assert left["test/label/mae"] > 0 and (here / "out" / "model" / "model.safetensors").exists()
    told = json.loads((here / "out" / "error.json").read_text())
    assert told["type"] == "TrainingError" and "traceback" not in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trainer.max_steps=1"], "trainer.max_steps=1 ends the training before its first validation, which comes in "),
        (["trainer.limit_val_batches=0"], "trainer.limit_val_batches=0 leaves no validation, so val/label/accuracy "),
        (["trainer.max_epochs=0"], "trainer.max_epochs=0 trains nothing, and there is no validation, so val/label/acc"),
        (["trainer.limit_train_batches=0"], "trainer.limit_train_batches leaves nothing to train on, and there is no"),
        (
            ["trainer.check_val_every_n_epoch=3"],
            "trainer.max_epochs=1 ends the training before its first validation (t",
        ),
        (["trainer.val_check_interval=100"], "trainer.val_check_interval=100 is more than the 2 batches of an epoch ("),
        (["trainer.max_steps=1", "trainer.devices=auto"], "trainer.max_steps=1 ends the training before its first val"),
        (["trainer.limit_val_batches=0.0001"], "Lightning refuses these options of the trainer: "),
        (["trainer.val_check_interval=100", "callbacks=none"], "Lightning refuses these options of the trainer: "),
        (["trainer.enable_checkpointing=false"], "Lightning refuses these options of the trainer: "),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_training_that_would_never_validate_is_refused(stopped, words, message):
    assert stopped(*words).startswith(message)


@pytest.mark.parametrize(
    "words",
    [
        ["trainer.max_steps=1", "callbacks=none"],
        ["trainer.max_epochs=0", "callbacks=none"],
        ["trainer.limit_val_batches=0", "callbacks=none"],
        ["trainer.max_steps=1", "trainer.val_check_interval=1"],
        ["trainer.max_time=00:00:00:00", "trainer.max_epochs=5"],
        ["trainer.num_sanity_val_steps=2"],
        ["trainer.overfit_batches=1"],
        ["trainer.fast_dev_run=true"],
    ],
    ids=lambda words: "-".join(words),
)
def test_others_end_well(passed, words):
    folder = passed(*words)
    assert json.loads((folder / "metrics.json").read_text())["test/label/loss"] > 0
    assert not (folder / "error.json").exists()
