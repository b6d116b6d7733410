"""Classes with too few rows are told: to learn from in train, to measure in the other splits."""

import json

from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_named
from mmbert.data.quality.check import EncoderInput, check_data
from mmbert.data.quality.classes import first_names
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel

READS = {"text": EncoderInput(modality_named("text"))}


def findings(folder, labels, task):
    rows = [(split, label) for split, given in labels.items() for label in given]
    lines = [json.dumps({"text": f"t{i}", "split": split, "label": label}) for i, (split, label) in enumerate(rows)]
    (folder / "t.jsonl").write_text("\n".join(lines))
    report = check_data(MultimodalData(folder / "t.jsonl"), READS, {"answer": task})
    return [(finding.severity, finding.what, finding.rows, finding.count) for finding in report.findings]


def test_single_rows_in_train_and_classes_that_a_split_lacks(tmp_path):
    task = Classification(1, "label", ["a", "b", "c", "never"])
    given = {"train": [*"aabbc"], "val": ["a", "b", None], "test": ["a", "c"]}
    assert findings(tmp_path, given, task) == [
        ("warning", "answer: classes with a single row in train, too few to learn from: c", ["row 5 (line 5)"], 1),
        ("warning", "answer: 'val' has no row of classes that train shows, so says nothing of: c", [], 0),
        ("warning", "answer: 'test' has no row of classes that train shows, so says nothing of: b", [], 0),
    ]


def test_classes_that_train_never_shows_are_told_with_their_rows(tmp_path):
    given = {"train": ["a|b", "a", "b"], "val": ["a|b"], "test": ["a|c", "b", "c"]}
    (unseen,) = findings(tmp_path, given, Multilabel(1, "label", ["a", "b", "c"]))
    assert unseen[1:] == (
        "answer: 'test' has classes that train never shows: c",
        ["row 5 (line 5)", "row 7 (line 7)"],
        2,
    )


def test_nothing_is_said_of_classes_where_all_is_there_or_a_split_has_no_labels(tmp_path):
    task = Classification(1, "label", ["a", "b"])
    assert findings(tmp_path, {"train": [*"aabb"], "val": [*"ab"], "test": [*"ba"]}, task) == []
    (told,) = findings(tmp_path, {"train": [*"aabb"], "val": [*"ab"], "test": [None, None]}, task)
    assert told[1] == "answer, column 'label': no row of 'test' has a label, so nothing is measured on it"


def test_many_classes_are_named_in_part():
    assert first_names(["a", "b"]) == "a, b"
    assert first_names([str(i) for i in range(23)]).endswith("18, 19 and 3 more")
