"""Damaged files of every kind: what reads them succeeds or says what is wrong, and nothing else is touched.

The part that runs with all tests tries the same few inputs each time; ``-m slow`` tries all. ``count.py`` prints the
counts, and makes a single case again.
"""

from __future__ import annotations

import pytest

from damage_harness.runner import all_subjects, faults, run_cases

SUBJECTS = {subject.name: subject for subject in all_subjects()}


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_fixed_few(name):
    subject = SUBJECTS[name]
    found = list(faults(run_cases(subject, range(subject.quick))))
    assert not found, "\n\n".join(map(str, found))


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBJECTS)
def test_all(name):
    subject = SUBJECTS[name]
    found = list(faults(run_cases(subject, range(subject.inputs))))
    assert not found, "\n\n".join(map(str, found[:20]))


def test_there_are_enough_inputs():
    assert sum(subject.inputs for subject in SUBJECTS.values()) >= 5000
