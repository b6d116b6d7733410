"""Bad input, 1 of 4: words on the command line. Each ends with code 2, and its message offers the nearest right one.

``test_options.py`` has many more; here they go through the whole command.
"""

import pytest

WORDS = [
    # a misspelt group, choice, option and value
    ("fuson=mean", "fuson=mean: there is no option 'fuson'. Did you mean 'fusion'?"),
    ("+imge@encoders.scan=tiny", "there is no group 'imge'. Did you mean 'image'?"),
    ("fusion=maen", "fusion=maen: fusion has no choice 'maen'. Did you mean 'mean'?"),
    ("trainer=gpuu", "trainer has no choice 'gpuu'. Did you mean 'gpu'?"),
    ("trainer.max_epoch=3", "there is no option 'trainer.max_epoch'. Did you mean 'trainer.max_epochs'?"),
    ("lr=0.1", "there is no option 'lr'. Did you mean 'optimizer.lr'?"),
    ("trainer.precision=bf61-mixed", "Did you mean 'bf16-mixed'?"),
    ("encoders.text.pooling=men", "Did you mean 'mean'? Choices: mean, cls, pooler"),
    ("monitor=test/label/accuracy", "nothing is chosen on a test split"),
    # a value of the wrong kind or out of range
    ("trainer.max_epochs=many", "trainer.max_epochs=many: a whole number of at least -1 is wanted here."),
    ("data.batch_size=0", "data.batch_size=0: a whole number of at least 1"),
    ("optimizer.lr=-1", "optimizer.lr=-1: a number above 0"),
    ("fusion.out_dim=wide", "fusion.out_dim=wide: "),
    ("seed=[1,2]", "seed=[1,2]: a whole number"),
    ("data.path=null", "data.path has no value, and needs one: data.path=FILE"),
    ("seed=null", "seed has no value, and needs one: seed=SEED"),
    ("privacy.samples=no", "privacy.samples=no: true or false is wanted here."),
    ("privacy.mask=[emial]", "privacy.mask=[emial]: there is no pattern 'emial'. Did you mean 'email'?"),
    ("privacy.mask=[{x: '(a+)+'}]", "repeats a repetition, which may take forever"),
    ("privacy.mask=[{x: 'a('}]", "the regular expression of 'x', a(, cannot be read: missing ), unterminated"),
    # spelled as in an earlier version
    ("logger.kind=csv", "logger.kind=csv: the logger is chosen as a group: logger=csv"),
    # grammar
    ("mean", "'mean' is no option. Options are key=value"),
    ("fusion=concat,mean", "several values are a sweep. To run one after the other, add -m."),
]


@pytest.mark.parametrize(("word", "message"), WORDS)
def test_a_wrong_word_is_told_and_leaves_no_folder(refused, here, word, message):
    assert message in refused(word)
    assert not (here / "out").exists()


BUILT = [
    (["fusion=cross_attention", "fusion.num_heads=3"], "fusion.num_heads=3 must divide fusion.out_dim=8"),
    (["monitor=val/lable/accuracy"], "val/lable/accuracy"),
    (["text=none"], "Every encoder is 'none'. Leave at least one in"),
    (["data.splits.val=valid"], "valid"),
    (["fusion._target_=my_lab.Fusion"], "my_lab.Fusion cannot be found or built"),
    (["encoders.text.name=no/such/model"], "The text model 'no/such/model' was not found"),
    (["encoders.text.max_tokens=5000"], "max_tokens=5000 does not fit tiny: choose from 3 to 128."),
]


@pytest.mark.parametrize(("words", "message"), BUILT, ids=lambda value: value[0] if isinstance(value, list) else "")
def test_words_that_only_the_data_or_the_model_can_judge(stopped, words, message):
    assert message in stopped(*words)


def test_such_a_word_ends_the_command_as_others_do(refused, here):
    assert "must divide fusion.out_dim=8" in refused("fusion=cross_attention", "fusion.num_heads=3")
    assert (here / "out" / "error.json").exists()


@pytest.mark.parametrize("how", ["--traceback", "HYDRA_FULL_ERROR"])
@pytest.mark.parametrize("word", ["fuson=mean", "data.path=gone.csv"])
def test_the_traceback_can_be_asked_for(train, monkeypatch, how, word):
    from mmbert.core.errors import MmbertError

    if how == "HYDRA_FULL_ERROR":
        monkeypatch.delenv("MMBERT_TRACEBACK")
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(MmbertError):  # Python prints it, with its traceback
        train(word, *(["--traceback"] if how == "--traceback" else []))
