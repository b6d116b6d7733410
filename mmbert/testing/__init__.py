"""The contracts as runnable checks, for the package's own modules and for users' modules."""

from mmbert.testing.check import check_fusion
from mmbert.testing.inputs import encoded, random_inputs
from mmbert.testing.outcome import ContractError, Report, Verdict

__all__ = ["ContractError", "Report", "Verdict", "check_fusion", "encoded", "random_inputs"]
