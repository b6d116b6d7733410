"""rouge-score, imported so that it closes no stream that is not its own.

Its logging library, absl, makes a handler at import with the standard error of that moment, and closes that stream
with the handler, as ``logging.config.dictConfig`` does, which Hydra calls before each job. A stream that stood in for
the standard error at import (a notebook's, a test's, that of ``contextlib.redirect_stderr``) would be closed under its
owner.
"""

from __future__ import annotations

import sys
from types import ModuleType


def rouge_library() -> ModuleType:
    """The package ``rouge_score`` with its modules ``rouge_scorer`` and ``tokenizers``."""
    from absl import logging as absl_logging

    absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__  # which absl leaves open
    import rouge_score.rouge_scorer
    import rouge_score.tokenizers

    return rouge_score
