#!/usr/bin/env bash
# seqeval 1.2.2: mode="strict" without a scheme is strict in classification_report and lenient in f1_score.
#
# Most expect one mode to mean one thing in all functions of a metrics library. Here the gold tags B-PER I-PER are
# answered I-PER I-PER: no entity begins where IOB2 says that one must, so a strict F1 is 0.
#   f1_score(gold, answer, mode="strict")                            1.0   the mode is not looked at without a scheme
#   classification_report(gold, answer, mode="strict")  micro F1     0.0   a scheme is guessed from the gold tags
#   f1_score(gold, answer, mode="strict", scheme=IOB2)               0.0
# It matters because papers on entity recognition report one number and a table by type: taken from these two calls
# they follow two different definitions, and the headline number is the lenient one. Name the scheme in every call.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet seqeval==1.2.2 numpy==2.4.6 scikit-learn==1.9.1
"$folder/env/bin/python" -W ignore - <<'PY'
from seqeval.metrics import classification_report, f1_score
from seqeval.scheme import IOB2

gold, answer = [["B-PER", "I-PER"]], [["I-PER", "I-PER"]]
seen = {
    "f1_score, strict, no scheme": f1_score(gold, answer, mode="strict"),
    "classification_report, strict, no scheme": classification_report(gold, answer, mode="strict", output_dict=True)[
        "micro avg"
    ]["f1-score"],
    "f1_score, strict, IOB2": f1_score(gold, answer, mode="strict", scheme=IOB2),
}
for name, value in seen.items():
    print(f"{name:42} {float(value)}")
assert [float(value) for value in seen.values()] == [1.0, 0.0, 0.0], "seqeval has changed"
print("seqeval 1.2.2: as described")
PY
