"""A learnt vocabulary spells what it was learnt from, and joins it again as it was."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.tasks.text_generation.vocabulary import SPECIAL_PIECES, learn_vocabulary, learnt_tokenizer

TEXTS = [
    "Le chat s'assoit, n'est-ce pas ?",
    "Ein schöner Hund – mit 3,5 kg.",
    "我爱中国。iPhone 手机",
    "この犬は大きいです。",
    "a##b [SEP] x ▁",
    "ที่นี่",
]


@pytest.mark.parametrize("size", [8, 60, 400])
def test_texts_are_cut_and_joined_without_loss(size):
    vocabulary = learn_vocabulary(TEXTS, size)
    tokenizer = learnt_tokenizer(vocabulary)
    assert vocabulary[:4] == list(SPECIAL_PIECES) and len(set(vocabulary)) == len(vocabulary)
    for text in TEXTS:
        ids = tokenizer(text, split_special_tokens=True)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert [ids[0], ids[-1]] == [tokenizer.cls_token_id, tokenizer.sep_token_id]
        assert tokenizer.sep_token_id not in ids[1:-1]  # spelt out in the text it ends nothing
        joined = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert joined.split("▁")[0].strip() == text.split("▁")[0].strip()


def test_a_larger_vocabulary_has_longer_pieces_and_the_order_is_the_same_again():
    small, large = learn_vocabulary(TEXTS * 3, 60), learn_vocabulary(TEXTS * 3, 400)
    assert len(small) < len(large) <= 400 and max(map(len, small)) < max(map(len, large))
    assert learn_vocabulary(TEXTS * 3, 400) == large
    assert "中国" not in large  # unspaced scripts go by character


@given(st.text(alphabet="ab é,'-我い\u0301", min_size=1, max_size=20))
@settings(deadline=None, max_examples=30)
def test_any_text_of_known_letters_survives(text):
    plain = " ".join(unicodedata.normalize("NFC", text).split())
    tokenizer = learnt_tokenizer(learn_vocabulary(["ab é , ' - 我 い á", plain or "a"], 60))
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == plain
