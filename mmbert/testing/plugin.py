"""The pytest plugin, which pytest loads by itself wherever mmbert is installed; torch does not come with it.

The fixture ``check_fusion`` holds a fusion to the contract inside a test of one's own, and a contract that is broken is
shown as its report, without a traceback through the kit. A whole file of tests is ``mmbert.testing.fusion_tests``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest


@pytest.fixture(name="check_fusion")
def check_fusion_fixture() -> Callable[..., Any]:
    """``mmbert.testing.check_fusion``, imported by the first test that asks for it."""
    from mmbert.testing.fusion_contract import check_fusion

    return check_fusion


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A broken contract is told by its report alone."""
    report = yield
    outcome = sys.modules.get("mmbert.testing.report")  # absent: nothing was checked
    if outcome is not None and call.excinfo is not None and isinstance(call.excinfo.value, outcome.ContractError):
        report.longrepr = str(call.excinfo.value)
    return report
