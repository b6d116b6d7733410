"""The pytest plugin, which pytest loads by itself wherever mmbert is installed; torch does not come with it.

The fixtures ``check_fusion``, ``check_encoder``, ``check_task`` check a contract inside a test of one's own; a broken
one is shown as its report, without a traceback through the kit. Whole files of tests are made by
``mmbert.testing.fusion_tests``, ``encoder_tests`` and ``task_tests``.
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


@pytest.fixture(name="check_task")
def check_task_fixture() -> Callable[..., Any]:
    """``mmbert.testing.check_task``, imported by the first test that asks for it."""
    from mmbert.testing.task_contract import check_task

    return check_task


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
