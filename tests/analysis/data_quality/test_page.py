"""The page of suspects: samples with picture and sound, masked texts, and numbers alone where samples are withheld."""

import re

import pytest

from mmbert.analysis.data_quality.page import quality_page
from mmbert.core.privacy import Privacy
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.audio import AudioModality
from mmbert.data.modalities.image import ImageModality
from mmbert.data.modalities.text import TextModality

INPUTS = {"text": TextModality(), "image": ImageModality(), "audio": AudioModality()}
ERROR = {"row": 0, "split": "train", "given": "call 0171", "suggested": "<b>", "quality": 0.125, "label_error": True}
ODD = {"row": 1, "split": "train", "contradiction": 3.5, "odd_one_out": "image", "given": "a"}
ODD |= {"says": {"text": {"answer": "a", "probability": 0.9}, "image": {"answer": "b", "probability": 0.75}}}
CONTENT = {
    "model": "run",
    "data": "my.csv",
    "folds": 5,
    "rows": 48,
    "not_judged": {"said": "a task of the kind <ctc>"},
    "label_errors": {
        "kind": {
            "kind": "classification",
            "scored": 47,
            "flagged": 3,
            "estimate": 4,
            "agreement": 0.9,
            "class_not_met": 1,
            "worst": [ERROR],
        }
    },
    "contradictions": {
        "kind": {
            "source": "unimodal heads",
            "planted": [{"modality": "image", "partners": "other class", "planted": 4, "auroc": 0.875}],
            "worst": [ODD, {**ODD, "odd_one_out": None, "contradiction": 3.25}],
        }
    },
    "near_duplicates": {
        "groups": 1,
        "rows": 2,
        "in_several_splits": 1,
        "with_several_labels": 1,
        "alike_in_one_modality": 0,
        "worst": [
            {
                "rows": [2, 3],
                "row_splits": ["train", "test"],
                "count": 2,
                "alike": ["text"],
                "unlike": ["image"],
                "splits": ["train", "test"],
                "labels": {"kind": ["a", "b"]},
            }
        ],
    },
}


@pytest.fixture
def data(digits):
    return MultimodalData(digits)


def test_the_worst_with_what_they_are(data):
    page = quality_page(CONTENT, data, INPUTS, Privacy())
    assert "0.875" in page and "+3.50" in page and "quality 0.125" in page and "&lt;b&gt;" in page
    assert "image says <b>b</b> 75.0\u00a0%" in page and "odd one out: image" in page and "kind: a / b" in page
    assert "said is not scored: a task of the kind &lt;ctc&gt;." in page
    linked, parts = re.findall('href="#([^"]+)"', page), re.findall('<h2 id="([^"]+)"', page)
    assert linked == parts == ["errors-kind", "contradictions-kind", "duplicates"]
    assert page.count("odd one out") == 1 and "contradiction +3.25</small>" in page  # of two modalities either may be
    assert "row 2 · train" in page and "row 3 · test" in page
    assert page.count("<audio") <= 5 and page.count("<img") and str(data.table.cell(0, "text"))[:12] in page


def test_privacy_is_kept(data):
    masked = quality_page(CONTENT, data, INPUTS, Privacy(mask=[{"digits": "[0-9]{4}"}]))
    assert "0171" not in masked and "call [digits]" in masked
    closed = quality_page(CONTENT, data, INPUTS, Privacy(samples=False))
    assert "<audio" not in closed and "<img" not in closed and str(data.table.cell(0, "text"))[:12] not in closed
