"""The contracts as runnable checks, for the package's own modules and for users' modules.

Names are imported when they are first asked for: pytest loads ``mmbert.testing.plugin`` at every start, and torch must
not come with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmbert.testing.encoder_contract import check_encoder
    from mmbert.testing.fusion_contract import check_fusion
    from mmbert.testing.fusion_costs import cost_of
    from mmbert.testing.fusion_gradient_flow import flow_of
    from mmbert.testing.fusion_inputs import encoded, random_inputs
    from mmbert.testing.pytest_suite import encoder_tests, fusion_tests, task_tests
    from mmbert.testing.report import ContractError, Report, Verdict
    from mmbert.testing.task_contract import check_task

#: The module of each name.
WHERE = {
    "check_encoder": "encoder_contract",
    "check_fusion": "fusion_contract",
    "check_task": "task_contract",
    "cost_of": "fusion_costs",
    "flow_of": "fusion_gradient_flow",
    "encoded": "fusion_inputs",
    "random_inputs": "fusion_inputs",
    "ContractError": "report",
    "Report": "report",
    "Verdict": "report",
    "encoder_tests": "pytest_suite",
    "fusion_tests": "pytest_suite",
    "task_tests": "pytest_suite",
}
__all__ = [
    "ContractError",
    "Report",
    "Verdict",
    "check_encoder",
    "check_fusion",
    "check_task",
    "cost_of",
    "encoded",
    "encoder_tests",
    "flow_of",
    "fusion_tests",
    "random_inputs",
    "task_tests",
]


def __getattr__(name: str) -> Any:
    """Imports what is asked for."""
    if name not in WHERE:
        raise AttributeError(f"module 'mmbert.testing' has no attribute '{name}'")
    return getattr(import_module(f"mmbert.testing.{WHERE[name]}"), name)
