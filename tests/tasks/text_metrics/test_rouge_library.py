"""Where rouge-score is imported while another stream stands in for the standard error, that stream stays open."""

import subprocess
import sys

import pytest

SCRIPT = """
import contextlib, io, logging.config
stream = io.StringIO()
with contextlib.redirect_stderr(stream):
    {load}
logging.config.dictConfig({{"version": 1}})
print(stream.closed)
"""
OURS = "from mmbert.tasks.text_metrics.rouge_library import rouge_library; rouge_library().rouge_scorer.RougeScorer"


@pytest.mark.parametrize(("load", "closed"), [(OURS, "False"), ("import rouge_score.rouge_scorer", "True")])
def test_a_stream_that_stood_in_for_the_standard_error_stays_open(load, closed):
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(load=load)], capture_output=True, text=True)
    assert done.stdout.split() == [closed], done.stderr  # the second shows that the library still does it
