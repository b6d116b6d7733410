"""CoNLL-2003: IOB1 becomes IOB2, documents are counted, and every word has its tag."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.scheme import IOB1, IOB2, Entities

from mmbert.core.errors import DataError
from mmbert.data.sets.conll import iob2, read_sentences, visible
from mmbert.data.sets.conll2003 import Conll2003
from prepared_sets import built, splits_of

COVERS = ("conll",)

TRAIN = """-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
German JJ I-NP I-MISC
British JJ I-NP B-MISC

-DOCSTART- -X- -X- O

Peter NNP I-NP I-PER
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "eng.train").write_text(TRAIN)
    (tmp_path / "eng.testa").write_text("Rome NNP B-NP B-LOC\n")
    (tmp_path / "eng.testb").write_text("\n\nhe PRP B-NP O\n\n")
    return tmp_path


def test_sentences_become_rows(folder, tmp_path):
    _, rows = built(Conll2003, folder, tmp_path / "home")
    assert {split: len(ids) for split, ids in splits_of(rows).items()} == {"train": 2, "val": 1, "test": 1}
    assert rows[0]["text"] == "EU rejects German British"
    assert json.loads(rows[0]["words"]) == ["EU", "rejects", "German", "British"]
    assert json.loads(rows[0]["tags"]) == ["B-ORG", "O", "B-MISC", "B-MISC"]
    assert [row["document"] for row in rows] == ["train-1", "train-2", "val-0", "test-0"]


def test_a_word_without_a_tag_is_named_with_its_line(folder, tmp_path):
    (folder / "eng.testa").write_text("Rome NNP B-NP B-LOC\nalone\n")
    with pytest.raises(DataError, match="eng.testa, line 2: 'alone' has a word and no tag"):
        built(Conll2003, folder, tmp_path / "home")
    (folder / "eng.testa").unlink()
    with pytest.raises(DataError, match="none of the files eng.testa, valid.txt, dev.txt"):
        built(Conll2003, folder, tmp_path / "home")


@given(st.lists(st.sampled_from(["O", "I-A", "I-B", "B-A", "B-B"]), max_size=8))
def test_the_entities_are_those_that_the_first_scheme_means(tags):
    def spans(found, scheme):
        return [(entity.start, entity.end, entity.tag) for entity in Entities([found], scheme).entities[0]]

    # seqeval's strict IOB1 knows a B- only between neighbours of one type; elsewhere it stands for I-, as in IOB2
    once = iob2(tags)
    assert iob2(once) == once and all(a == b or (a[0], b[0]) == ("I", "B") for a, b in zip(tags, once, strict=True))
    proper = all(
        tag[0] != "B" or (i and tags[i - 1] != "O" and tags[i - 1][2:] == tag[2:]) for i, tag in enumerate(tags)
    )
    if proper:
        assert spans(tags, IOB1) == spans(once, IOB2)


def test_heads_and_invisible_words(tmp_path):
    (tmp_path / "t.txt").write_text("IMGID:7\na\tO\n\u200d\tO\nIMGID:8\nb\tB-X\n\n", encoding="utf-8")
    sentences = [visible(s) for s in read_sentences(tmp_path / "t.txt", head="IMGID:")]
    assert [(s.words, s.tags, s.head, s.line) for s in sentences] == [
        (["a"], ["O"], "IMGID:7", 2),
        (["b"], ["B-X"], "IMGID:8", 5),
    ]
