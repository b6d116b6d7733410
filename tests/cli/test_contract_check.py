"""What mmbert-check-fusion, -encoder and -task share: which class is meant, its options, and the exit code."""

import pytest

from mmbert.cli.contract_check import (
    PartKind,
    check_parser,
    class_of_kind,
    file_named,
    print_report,
    set_option,
    target_and_options,
)
from mmbert.core.errors import ConfigError, InputError
from mmbert.fusion.mean import MeanFusion
from mmbert.testing.report import Report, Verdict

STRATEGY = PartKind("strategy", ("fusion",), "mmbert.fusion.base.Fusion", ("dims", "out_dim"), hint="Not {target}.")
ENCODER = PartKind("encoder", ("text", "image", "audio"), "mmbert.encoders.base.Encoder")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_options_may_repeat():
    args = check_parser("fusion", "Checks.", "a class").parse_args(
        ["mean", "--set", "a=1", "--set", "b=2", "--only", "x"]
    )
    assert (args.fusion, args.set, args.only, args.traceback) == ("mean", ["a=1", "b=2"], ["x"], False)


def test_a_files_options_are_taken_and_changed():
    target, options = target_and_options("concat", ["dropout=0.5"], STRATEGY)
    assert target == "mmbert.fusion.concat.ConcatFusion"
    assert options["dropout"] == 0.5 and "out_dim" not in options
    assert target_and_options("fusion/concat", [], STRATEGY)[0] == target
    assert target_and_options(target, [], STRATEGY) == (target, {})


def test_a_name_gives_the_class_and_the_options_of_its_file(empty_folder):
    (empty_folder / "fusion").mkdir()
    (empty_folder / "fusion" / "mine.yaml").write_text(
        "_target_: mmbert.fusion.mean.MeanFusion\nout_dim: 8\ndropout: 0.5\n"
    )
    target, options = target_and_options("mine", ["dropout=0.25", "normalize=false"], STRATEGY)
    assert target == "mmbert.fusion.mean.MeanFusion"
    assert options == {"dropout": 0.25, "normalize": False}, "out_dim is the check's own"


@pytest.mark.parametrize(
    ("word", "given", "message"),
    [
        ("maen", [], "There is no strategy 'maen'.*Did you mean 'mean'"),
        ("mean", ["dropout"], "--set dropout: an option and its value are wanted"),
        ("mean", ["dropuot=0.1"], "MeanFusion takes no dropuot. Did you mean 'dropout'"),
    ],
)
def test_a_wrong_word_is_answered_with_the_nearest(word, given, message):
    with pytest.raises(ConfigError, match=message):
        target_and_options(word, given, STRATEGY)


def test_a_required_option_is_asked_for():
    bare = PartKind("strategy", ("fusion",), STRATEGY.base)
    with pytest.raises(ConfigError, match="needs dims, which has no default: --set dims=VALUE"):
        target_and_options("mmbert.fusion.mean.MeanFusion", [], bare)


def test_a_name_of_several_groups_is_written_with_its_group():
    with pytest.raises(ConfigError, match="Which 'tiny'. Write one of text/tiny, image/tiny, audio/tiny"):
        file_named("tiny", ENCODER)
    entry = file_named("image/tiny", ENCODER)
    assert entry is not None and (entry.group, entry.name) == ("image", "tiny")
    assert file_named("my_lab.MyEncoder", ENCODER) is None


def test_dotted_names_set_entries():
    options = {"hidden": 8}
    set_option(options, "module.rank", "3")
    set_option(options, "module.how", "[a, 2]")
    assert options == {"hidden": 8, "module": {"rank": 3, "how": ["a", 2]}}
    with pytest.raises(ConfigError, match="hidden has no entries"):
        set_option(options, "hidden.rank", "3")
    with pytest.raises(ConfigError, match="the value cannot be read"):
        set_option(options, "rank", "[3")


def test_a_class_of_another_kind_is_refused_with_the_hint():
    assert class_of_kind("mmbert.fusion.mean.MeanFusion", STRATEGY) is MeanFusion
    with pytest.raises(
        InputError, match=r"is no Fusion: derive it from mmbert.fusion.base.Fusion. Not torch.nn.Linear"
    ):
        class_of_kind("torch.nn.Linear", STRATEGY)
    with pytest.raises(InputError, match="is no class and no function"):
        class_of_kind("math.pi", STRATEGY)


def test_the_exit_code_follows_what_is_printed(capsys):
    with print_report(Report("Fine", [Verdict("shapes", True)])):
        print("more")
    assert capsys.readouterr().out == "Fine: keeps the contract\n  pass  shapes\nmore\n"
    with pytest.raises(SystemExit) as leaving, print_report(Report("Odd", [Verdict("shapes", False, "a", "b")])):
        print("more")
    assert leaving.value.code == 1 and capsys.readouterr().out.endswith("more\n")
