"""Runs the laws of a contract on a module and collects a verdict for each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

import torch

from mmbert.core.errors import InputError, nearest
from mmbert.testing.report import ContractError, ContractViolation, Report, Verdict

#: The first law of every contract; without it no other can be checked.
BUILT = "can be built"
#: Earlier names of laws, which scripts may still give.
RENAMED_LAWS = {
    "padding does not speak": "padding changes nothing",
    "absence does not speak": "absence changes nothing",
    "layers of the absent are silent": "layers of absent modalities change nothing",
    "samples do not speak to each other": "samples are independent",
    "presence speaks": "every present modality is used",
    "the order of keys means nothing": "the order of keys changes nothing",
}
#: What a law is checked on: something that builds the module, again and again.
Case = TypeVar("Case")
Law = Callable[[Case], None]


def check_laws(
    name: str,
    laws: Mapping[str, Law[Case]],
    cases: Callable[[str], Iterable[tuple[str, Case]]],
    raise_on_failure: bool = True,
) -> Report:
    """Checks one law after the other; if the module cannot be built, that law alone.

    Args:
        name: of the module, for the report.
        laws: functions that raise ``ContractViolation``, by the law's name.
        cases: name of a law -> what it is checked on, with words by which a message distinguishes the cases.
        raise_on_failure: raise rather than only report.

    Raises:
        ContractError: a law is broken.
    """
    report = Report(name)
    for law, check in laws.items():
        report.verdicts.append(verdict_of(law, check, cases))
        if law == BUILT and not report.passed:
            break
    if raise_on_failure and not report.passed:
        raise ContractError(str(report))
    return report


def verdict_of(law: str, check: Law[Case], cases: Callable[[str], Iterable[tuple[str, Case]]]) -> Verdict:
    """The verdict over all cases; the first that breaks the law is the counter-example."""
    where = ""
    try:
        for words, case in cases(law):
            where = words
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                check(case)
    except ContractViolation as broken:
        return Verdict(law, False, after(where, broken.seen), broken.cause)
    except Exception as error:
        return Verdict(law, False, after(where, f"{type(error).__name__}: {error}"), "the module itself fails")
    return Verdict(law, True)


def after(where: str, seen: str) -> str:
    """A counter-example, after the case in which it was found if there are several."""
    return f"{where}: {seen}" if where else seen


def chosen_laws(
    laws: Mapping[str, Law[Case]],
    only: Collection[str] | None,
    optional: Mapping[str, Law[Case]] | None = None,
    with_optional: bool = False,
) -> dict[str, Law[Case]]:
    """All laws, or those named and ``can be built`` before them; optional ones only if asked for or named.

    Raises:
        InputError: a name is unknown.
    """
    every = {**laws, **(optional or {})}
    if only is None:
        return every if with_optional else dict(laws)
    for law in only:
        if law in RENAMED_LAWS:
            raise InputError(f"The law '{law}' is called '{RENAMED_LAWS[law]}' now.")
        if law not in every:
            raise InputError(f"There is no law '{law}'. {nearest(law, every)}")
    return {law: check for law, check in every.items() if law == BUILT or law in only}
