"""Words of texts in any script, and what their letters say of the language."""

import pytest

from mmbert.tasks.text_metrics.words import WordTokenizer, bleu_tokenizer, guess_language, words_of_rouge


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't go, it's 12!", ["don", "t", "go", "it", "s", "12"]),
        ("L'été – naïve", ["l", "été", "naïve"]),
        ("e\u0301te\u0301", ["été"]),  # decomposed accents are one word with composed ones
        ("我爱iPhone手机。", ["我", "爱", "iphone", "手", "机"]),
        ("この犬ABC", ["こ", "の", "犬", "abc"]),
        ("किताब है", ["किताब", "है"]),  # vowel signs are marks, which \w leaves out
        ("ที่นี่", ["ที่", "นี่"]),
        (" … ", []),
    ],
)
def test_words(text, words):
    assert WordTokenizer().tokenize(text) == words


@pytest.mark.parametrize(
    ("texts", "language", "tokens"),
    [
        (["我爱中国", "iPhone"], "zh", "zh"),
        (["この犬は大きいです", "東京"], "ja", "ja-mecab"),
        (["ฉันรักแมว"], "th", "char"),
        (["L'été est là"], "other", "13a"),
        (["The cat, 12."], "ascii", "13a"),
        (["A long English sentence with one sign 中 in it"], "other", "13a"),
        ([], "ascii", "13a"),
    ],
)
def test_the_language_follows_from_the_letters_and_the_tokenizer_from_it(texts, language, tokens):
    assert guess_language(texts) == language
    assert bleu_tokenizer(language) == tokens
    assert (words_of_rouge(language) is None) == (language == "ascii")


def test_codes_with_a_region_are_known():
    assert bleu_tokenizer("zh-TW") == "zh" and bleu_tokenizer("fr") == "13a" and words_of_rouge("en") is None
