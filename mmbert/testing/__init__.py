"""The contracts as runnable checks, for the package's own modules and for users' modules.

Names are imported when they are first asked for: pytest loads ``mmbert.testing.plugin`` at every start, and torch must
not come with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmbert.testing.check import check_fusion
    from mmbert.testing.costs import cost_of
    from mmbert.testing.flow import flow_of
    from mmbert.testing.inputs import encoded, random_inputs
    from mmbert.testing.outcome import ContractError, Report, Verdict
    from mmbert.testing.suite import fusion_tests

WHERE = {
    "check_fusion": "check",
    "cost_of": "costs",
    "flow_of": "flow",
    "encoded": "inputs",
    "random_inputs": "inputs",
    "ContractError": "outcome",
    "Report": "outcome",
    "Verdict": "outcome",
    "fusion_tests": "suite",
}
__all__ = [
    "ContractError",
    "Report",
    "Verdict",
    "check_fusion",
    "cost_of",
    "encoded",
    "flow_of",
    "fusion_tests",
    "random_inputs",
]


def __getattr__(name: str) -> Any:
    """Imports what is asked for."""
    if name not in WHERE:
        raise AttributeError(f"module 'mmbert.testing' has no attribute '{name}'")
    return getattr(import_module(f"mmbert.testing.{WHERE[name]}"), name)
