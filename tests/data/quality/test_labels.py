"""Words for missing values that count as classes are told."""

import json

from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_named
from mmbert.data.quality.check import EncoderInput, check_data
from mmbert.data.quality.labels import label_remarks, unlabelled_splits
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.regression import Regression

SPLITS = ["train", "train", "train", "val", "test", "test"]


def make(folder, labels, **options):
    lines = [{"text": f"t{i}", "label": one, "split": s} for i, (one, s) in enumerate(zip(labels, SPLITS, strict=True))]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return MultimodalData(folder / "t.jsonl", **options)


def lines(data, task):
    return [remark.line(data) for remark in label_remarks(data, {"answer": task})]


def test_a_word_for_missing_values_among_classes_is_told(tmp_path):
    data = make(tmp_path, ["0", "1", "NA", "0", "na ", "NA"])
    task = Classification(1, "label", ["0", "1", "NA", "na"])
    assert lines(data, task) == [
        "answer: rows whose 'label' is 'NA' are a class of their own; if the word means that there is no label, type "
        "data.na_values=[NA,na] (2 rows, the first is row 3 (line 3))",
        "answer: rows whose 'label' is 'na' are a class of their own; if the word means that there is no label, type "
        "data.na_values=[NA,na] (row 5 (line 5))",
    ]
    report = check_data(data, {"text": EncoderInput(modality_named("text"))}, {"answer": task})
    assert [finding.count for finding in report.findings if "no label, type" in finding.what] == [2, 1]


def test_none_is_a_class_among_words_and_is_told_among_numbers(tmp_path):
    data = make(tmp_path, ["none", "joy", "fear", "joy", "none", "none"])
    assert lines(data, Classification(1, "label", ["none", "joy", "fear"])) == []
    data = make(tmp_path, ["none", "1", "2", "1", "none", "none"])
    assert len(lines(data, Classification(1, "label", ["none", "1", "2"]))) == 1
    assert len(lines(data, Multilabel(1, "label", ["none", "1", "2"]))) == 1


def test_nothing_is_said_of_numbers_lists_and_named_words(tmp_path):
    assert lines(make(tmp_path, [1.5, 2, 3, 4, 5, 6]), Regression(1, "label")) == []
    assert lines(make(tmp_path, [["NA"], ["a"], [], [], [], []]), Multilabel(1, "label", ["NA", "a"])) == []
    data = make(tmp_path, ["0", "1", "NA", "0", "NA", "1"], na_values=["NA"])
    assert lines(data, Classification(1, "label", ["0", "1"])) == []


def test_a_split_without_any_label_is_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,label,split\na,x,train\nb,y,train\nc,x,val\nd,,test\n")
    data, task = MultimodalData(path), Classification(1, "label", ["x", "y"])
    assert list(unlabelled_splits(data, {"answer": task})) == [
        "answer, column 'label': no row of 'test' has a label, so nothing is measured on it"
    ]
