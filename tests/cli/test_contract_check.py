"""What the commands that check a contract share."""

import pytest

from mmbert.cli.contract_check import PartKind, class_of_kind, print_report, set_option, target_and_options
from mmbert.core.errors import ConfigError, InputError
from mmbert.testing.report import Report, Verdict

FUSION = PartKind("strategy", ("fusion",), base="mmbert.fusion.base.Fusion", filled_in=("dims", "out_dim"))


def test_a_files_options_are_taken_and_changed(here):
    target, options = target_and_options("concat", ["dropout=0.5"], FUSION)
    assert target == "mmbert.fusion.concat.ConcatFusion"
    assert options["dropout"] == 0.5 and "out_dim" not in options
    assert target_and_options("fusion/concat", [], FUSION)[0] == target
    assert target_and_options(target, [], FUSION) == (target, {})


def test_options_of_options_are_set_by_their_path():
    options = {}
    set_option(options, "module.layers", "[1, 2]")
    set_option(options, "module.name", "x")
    assert options == {"module": {"layers": [1, 2], "name": "x"}}
    with pytest.raises(ConfigError, match=r"module.name has no entries|name has no entries"):
        set_option(options, "module.name.deep", "1")


def test_a_class_of_another_kind_is_refused_with_the_hint():
    part = PartKind("strategy", ("fusion",), base="mmbert.fusion.base.Fusion", hint="Try {target}.")
    assert class_of_kind("mmbert.fusion.concat.ConcatFusion", part).__name__ == "ConcatFusion"
    with pytest.raises(InputError, match=r"is no Fusion: derive it from .*Fusion. Try mmbert.tasks.base.Task\."):
        class_of_kind("mmbert.tasks.base.Task", part)
    with pytest.raises(InputError, match="no class and no function"):
        class_of_kind("mmbert.testing.laws.RENAMED_LAWS", part)


def test_the_exit_code_follows_what_is_printed(capsys):
    with print_report(Report("Fine", [Verdict("shapes", True)])):
        print("more")
    assert capsys.readouterr().out == "Fine: keeps the contract\n  pass  shapes\nmore\n"
    with pytest.raises(SystemExit) as leaving, print_report(Report("Odd", [Verdict("shapes", False, "a", "b")])):
        print("more")
    assert leaving.value.code == 1 and capsys.readouterr().out.endswith("more\n")
