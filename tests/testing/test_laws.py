"""How laws are run and reported."""

import pytest

from mmbert.core.errors import InputError
from mmbert.testing.laws import BUILT, RENAMED_LAWS, check_laws, chosen_laws
from mmbert.testing.report import ContractError, ContractViolation, Report, Verdict

COVERS = ("report",)


def refuse(case):
    raise ContractViolation(f"{case} is odd", "it is not even")


def even(case):
    if case % 2:
        refuse(case)


def fails(case):
    raise ZeroDivisionError("by zero")


def test_the_first_case_that_breaks_a_law_is_the_counter_example():
    report = check_laws("Number", {"even": even}, lambda law: [("two", 2), ("three", 3), ("five", 5)], False)
    assert report == Report("Number", [Verdict("even", False, "three: 3 is odd", "it is not even")])
    assert check_laws("Number", {"even": even}, lambda law: [("", 3)], False).verdicts[0].seen == "3 is odd"
    assert check_laws("Number", {"even": even}, lambda law: [("", 2), ("", 4)]).passed


def test_what_cannot_be_built_is_checked_no_further():
    report = check_laws("Number", {BUILT: fails, "even": even}, lambda law: [("one", 1)], False)
    assert report.broken == [BUILT] and len(report.verdicts) == 1
    assert report.verdicts[0].seen == "one: ZeroDivisionError: by zero"


def test_a_case_that_cannot_be_made_breaks_the_law():
    def cases(law):
        yield "first", 2
        raise RuntimeError("no more")

    assert check_laws("Number", {"even": even}, cases, False).verdicts[0].seen == "first: RuntimeError: no more"


def test_a_broken_law_raises_its_report():
    with pytest.raises(ContractError) as caught:
        check_laws("Number", {"even": even, "fine": lambda case: None}, lambda law: [("", 7)])
    assert str(caught.value).splitlines() == [
        "Number: breaks the contract",
        "  FAIL  even",
        "        seen: 7 is odd",
        "        likely cause: it is not even",
        "  pass  fine",
    ]


def test_laws_are_chosen_by_name_in_their_own_order():
    laws, more = {BUILT: even, "a": even, "b": even}, {"slow": even}
    assert list(chosen_laws(laws, None, more)) == [BUILT, "a", "b"]
    assert list(chosen_laws(laws, None, more, with_optional=True)) == [BUILT, "a", "b", "slow"]
    assert list(chosen_laws(laws, ["slow", "a"], more)) == [BUILT, "a", "slow"]
    with pytest.raises(InputError, match="no law 'c'"):
        chosen_laws(laws, ["c"])
    for old, new in RENAMED_LAWS.items():
        with pytest.raises(InputError, match=f"'{old}' is called '{new}' now"):
            chosen_laws(laws, [old])
