"""The pytest plugin, which pytest loads by itself wherever mmbert is installed; torch does not come with it.

The fixtures ``check_fusion`` and ``check_encoder`` check a contract inside a test of one's own; a contract that is
broken is shown as its report, without a traceback through the kit. Whole files of tests are made by
``mmbert.testing.fusion_tests`` and ``encoder_tests``.
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


@pytest.fixture(name="check_encoder")
def check_encoder_fixture() -> Callable[..., Any]:
    """``mmbert.testing.check_encoder``, imported by the first test that asks for it."""
    from mmbert.testing.encoder_contract import check_encoder

    return check_encoder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A broken contract is shown as its report alone."""
    test_report = yield
    kit = sys.modules.get("mmbert.testing.report")  # absent: nothing was checked
    if kit is not None and call.excinfo is not None and isinstance(call.excinfo.value, kit.ContractError):
        test_report.longrepr = str(call.excinfo.value)
    return test_report
