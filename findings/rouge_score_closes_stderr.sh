#!/usr/bin/env bash
# rouge-score 0.1.2 with absl-py 2.5.1: importing the metric hands the standard error of that moment to a logging handler,
# and the next logging.config.dictConfig closes it.
#
# Most expect that importing a text metric changes nothing. rouge-score imports absl's logging, whose handler takes
# sys.stderr when it is made and closes that stream with itself, unless it is the process's own. dictConfig closes all
# handlers that exist. So where something stands in for the standard error at import (redirect_stderr, a notebook, a
# test runner's capture), its stream is closed under its owner:
#   with redirect_stderr(log): import rouge_score, then logging.config.dictConfig({"version": 1})
#   log.write("...")   ValueError: I/O operation on closed file
# It matters because configuration frameworks call dictConfig before each job of a sweep: the second job of a process then
# fails in its first warning, far from the import. Point absl's handler at sys.__stderr__ before rouge-score is imported.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet rouge-score==0.1.2 absl-py==2.5.1 numpy==2.4.6
"$folder/env/bin/python" -W ignore - <<'PY'
import io
import logging.config
from contextlib import redirect_stderr

log = io.StringIO()
with redirect_stderr(log):
    from rouge_score import rouge_scorer
print("after the import the stream is", "closed" if log.closed else "open")
assert rouge_scorer.RougeScorer(["rouge1"]).score("a b", "a b")["rouge1"].fmeasure == 1.0
assert not log.closed
logging.config.dictConfig({"version": 1})
print("after dictConfig it is", "closed" if log.closed else "open")
assert log.closed, "absl-py or rouge-score has changed"
print("rouge-score 0.1.2, absl-py 2.5.1: as described")
PY
