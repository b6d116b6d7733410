"""How ``mmbert-compress`` reads its words, and how mistakes end."""

import sys

import pytest

from mmbert.cli import compress as command


def typed(words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mmbert-compress", *words])
        command.main()


def test_words_of_a_student_are_parted_outside_brackets():
    given = "text=none, encoders.image.options={channels: [4,8], residual: [false,true]},fusion=mean"
    assert command.split_outside_brackets(given) == [
        "text=none",
        "encoders.image.options={channels: [4,8], residual: [false,true]}",
        "fusion=mean",
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["methods=[strutured]"], "'strutured' is unknown"),
        (["amount=2"], "amount=2: a number from"),
        (["epochs=few"], "epochs=few"),
        (["threads=0"], "at least 1"),
        (["amuont=0.5"], "no option of mmbert-compress"),
        (["methods=[distil]"], "needs a student"),
    ],
)
def test_mistakes_end_in_one_line(words, complaint, finished_run, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        typed([f"model={finished_run}", f"out={tmp_path / 'out'}", *words])
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err
