"""Patterns of personal data: what each finds and what it must leave, in several scripts, and in linear time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.personal_data import PERSONAL_PATTERNS, is_card, is_iban, is_resident_number, plain_letters

#: By pattern: texts, and what is left of them.
FOUND = {
    "email": {
        "write to a.b+c@d-e.co.uk.": "write to #.",
        "<ANNA@EXAMPLE.COM>, (x_y@z.org)": "<#>, (#)",
        "请联系anna@example.com谢谢": "请联系#谢谢",
        "メールはanna@example.jpまで": "メールは#まで",
        "müller@example.com or jürgen@köln.de": "# or #",
        "ａｎｎａ＠ｅｘ.ｃｏｍ": "#",
        "mailto:anna@example.com?subject=x": "mailto:#?subject=x",
    },
    "phone": {
        "电话13812345678。": "电话#。",
        "打１３８１２３４５６７８吧": "打#吧",
        "+86 138-1234-5678, 8613812345678": "#, #",
        "010-12345678/(0571) 88888888": "#/#",
        "0086 10 1234 5678; 0171/1234567": "#; #",
        "06 12 34 56 78 or 06.12.34.56.78": "# or #",
        "+1 (555) 123-4567, 555-123-4567 and (555) 123-4567.": "#, # and #.",
        "call +49 30 123456, 2024-01-31": "call #, 2024-01-31",
    },
    "url": {
        "see https://a.cn/x?y=1, or (www.b.de).": "see #, or (#).",
        "见https://a.cn/路。谢谢": "见#。谢谢",
        "FTP://host/file!": "#!",
    },
    "iban": {
        "DE89 3704 0044 0532 0130 00 BIC": "# BIC",
        "账号GB82WEST12345698765432，": "账号#，",
        "de89370400440532013000": "#",
        "NO93 8601 1117 947 THEN": "# THEN",
    },
    "credit_card": {
        "4111 1111 1111 1111 12/27": "# 12/27",
        "卡号5500005555555559。": "卡号#。",
        "1234 4111-1111-1111-1111": "1234 #",
        "3782 822463 10005": "#",
    },
    "ip": {
        "192.168.0.1. 10.0.0.255:8080": "#. #:8080",
        "[2001:db8::1], fe80::1": "[#], #",
        "地址127.0.0.1的": "地址#的",
    },
    "chinese_id": {
        "身份证11010519491231002X。": "身份证#。",
        "(11010519491231002x) 110105 19491231 002X": "(#) #",
        "１１０１０５１９４９１２３１００２Ｘ": "#",
        "130503670401001": "#",
    },
}
LEFT = {
    "email": ["a@b", "@name", "x @ y.com", "a@b.c", "5@7.8.9"],
    "phone": [
        *("2024-01-31 12:00:59", "01.02.2024 10:15", "01/02/2024", "3.14159265358979", "1706700000", "1706700000000"),
        *("ISBN 978-3-16-148410-0", "1,234,567,890", "€ 0.25 0.50", "110105194912310021", "192.168.100.100"),
        *(
            "100 000 000 000",
            "v1.2.3",
            "12345678901234567890",
            "1381234567",
            "138123456789",
            "x13812345678",
            "page 555",
        ),
    ],
    "url": ["http is a word", "www", "a.b", "xhttps", "https://"],
    "iban": ["GB82 WEST 1234 5698 7654 33", "AB12 word here now", "DE89", "XDE89370400440532013000"],
    "credit_card": ["4111 1111 1111 1112", "0000 0000 0000 0000", "1706700000000", "123456789012", "4111111111111111x"],
    "ip": ["256.1.1.1", "1.2.3", "1.2.3.4.5", "12:30:45", "std::vector", "a:b:c", "::"],
    "chinese_id": ["110105194912310021", "11010519491331002X", "130503671301001", "x11010519491231002X", "1234567890"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in FOUND.items() for text in texts])
def test_what_a_pattern_finds(name, text):
    assert PERSONAL_PATTERNS[name].replaced(text, "#") == FOUND[name][text]


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in LEFT.items() for text in texts])
def test_what_a_pattern_leaves(name, text):
    assert PERSONAL_PATTERNS[name].replaced(text, "#") == text


def test_every_pattern_is_tested_both_ways():
    assert set(FOUND) == set(LEFT) == set(PERSONAL_PATTERNS)


def test_check_digits_by_hand():
    # Luhn of 79927398713: 7+(1+8)+9+(4)+7+(6)+9+(1+6)+7+(2)+3 = 70 (ISO/IEC 7812-1, annex B)
    assert is_card("4992 7398 7160 0006") == (sum([8, 9, 9, 4, 5, 3, 9, 8, 5, 1, 6, 0, 0, 0, 0, 6]) % 10 == 0)
    # GB 11643-1999's own example: the sum of weighted digits is 167, 167 mod 11 = 2, whose check letter is X
    assert is_resident_number("11010519491231002X") and not is_resident_number("110105194912310020")
    # ISO 13616's example: 3214282912345698765432161182 mod 97 = 1
    assert 3214282912345698765432161182 % 97 == 1 and is_iban("GB82WEST12345698765432")


@given(st.text(st.sampled_from("a1@. -+:/0x(，中é０＠"), max_size=40))
@settings(deadline=None, max_examples=150)
def test_masking_changes_nothing_but_what_it_finds(text):
    assert len(plain_letters(text)) == len(text)
    for pattern in PERSONAL_PATTERNS.values():
        left = pattern.replaced(text, "\0").split("\0")
        place = 0
        for piece in left:  # the pieces between the marks stand in the text in their order
            place = text.index(piece, place) + len(piece)


@pytest.mark.parametrize(
    "unit", ["a", "1", "a.", "@", "1 ", "+1", "http://", ":", "0", "é", "a@a.", "AB12 ", "1-", "x@"]
)
def test_the_time_grows_no_faster_than_the_text(unit):
    def seconds(size):
        text = unit * (size // len(unit))
        began = time.process_time()
        for pattern in PERSONAL_PATTERNS.values():
            pattern.replaced(text, "#")
        return time.process_time() - began

    small, large = min(seconds(1_000) for _ in range(3)), min(seconds(4_000) for _ in range(2))
    assert large < 10 * small + 0.05  # four times the text; 16 times the time would be quadratic
