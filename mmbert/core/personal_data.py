"""Personal data in texts, found by patterns: addresses of mail and web, numbers of telephones, cards, accounts, people.

Every pattern takes time that grows linearly with the text: it begins at the edge of a word and repeats nothing without
a bound. What a number's own check digits or dates can decide is decided by them.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

#: Dashes and spaces that stand for the plain ones in numbers.
DASHES, SPACES = "\u2010\u2011\u2012\u2013\u2014\u2212\u30fc", "\u00a0\u2002\u2003\u2007\u2009\u202f\u3000"
#: Before and after a number: neither digit nor Latin letter, nor the decimals of another number. CJK may stand there.
BEFORE, AFTER = r"(?<![0-9A-Za-z])(?<![0-9][.,])", r"(?![0-9A-Za-z])(?![.,][0-9])"
#: Letters of scripts with spaces between words, in which a name may stand before the @.
SPACED = "\u00c0-\u1fff"
#: Weights of the first 17 digits of a Chinese resident's number, and its check letters (GB 11643-1999).
RESIDENT_WEIGHTS, RESIDENT_CHECKS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), "10X98765432"


@dataclass(frozen=True)
class PersonalPattern:
    """One kind of personal data.

    Attributes:
        regexes: one after the other; each is matched with full-width letters, digits and dashes taken for plain ones.
        is_one: whether what a regex has found is one. Where it is not, its beginnings up to a space or dash are tried.
    """

    regexes: tuple[re.Pattern[str], ...]
    is_one: Callable[[str], bool] = lambda found: True

    def replaced(self, text: str, mark: str) -> str:
        """A text with ``mark`` in place of every occurrence."""
        for regex in self.regexes:
            pieces, end = [], 0
            for first, last in self.spans(regex, plain_letters(text)):
                pieces += [text[end:first], mark]
                end = last
            text = "".join([*pieces, text[end:]])
        return text

    def found(self, text: str) -> list[tuple[int, int]]:
        """Where in a text ``replaced`` finds one, beginnings and ends."""
        return [span for regex in self.regexes for span in self.spans(regex, plain_letters(text))]

    def spans(self, regex: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
        """Where occurrences begin and end, none inside another."""
        place = 0
        while (match := regex.search(text, place)) is not None:
            found = next((part for part in beginnings(match[0]) if self.is_one(part)), None)
            if found is not None:
                yield match.start(), match.start() + len(found)
            place = match.start() + (1 if found is None else len(found))


def beginnings(found: str) -> Iterator[str]:
    """The whole, then what stands before each space or dash in it, the longest first."""
    yield found
    for place in range(len(found) - 1, 0, -1):
        if found[place] in " -":
            yield found[:place].rstrip(" -")


def plain_letters(text: str) -> str:
    """A text of the same length with full-width letters, digits of any script, dashes and spaces as ASCII has them."""
    return text if text.isascii() else "".join(map(plain_letter, text))


@lru_cache(4096)
def plain_letter(letter: str) -> str:
    """One character of it."""
    if "\uff01" <= letter <= "\uff5e":
        return chr(ord(letter) - 0xFEE0)
    if letter in DASHES or letter in SPACES:
        return "-" if letter in DASHES else " "
    value = unicodedata.decimal(letter, None)
    return letter if value is None else str(value)


def digits_of(found: str) -> list[int]:
    """The digits in it."""
    return [int(letter) for letter in found if letter.isdecimal()]


def has_phone_length(found: str) -> bool:
    """9 to 15 digits; the longest that E.164 allows is 15."""
    return 9 <= len(digits_of(found)) <= 15


def is_iban(found: str) -> bool:
    """Whether the number modulo 97 is 1 (ISO 13616)."""
    plain = found.replace(" ", "").upper()
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def is_card(found: str) -> bool:
    """Whether it is as long as a card's number, begins as one, and its check digit is right (Luhn, ISO/IEC 7812-1)."""
    digits = digits_of(found)
    if not 13 <= len(digits) <= 19 or digits[0] not in (2, 3, 4, 5, 6) or len(set(digits)) == 1:
        return False
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_resident_number(found: str) -> bool:
    """Whether it holds a date of birth, and of 18 digits the last is right (GB 11643-1999)."""
    plain = re.sub("[ -]", "", found).upper()
    born = plain[6:14] if len(plain) == 18 else f"19{plain[6:12]}"
    try:
        year = datetime.datetime.strptime(born, "%Y%m%d").year
    except ValueError:
        return False
    if len(plain) == 15:
        return True
    total = sum(weight * int(digit) for weight, digit in zip(RESIDENT_WEIGHTS, plain, strict=False))
    return 1850 <= year <= 2100 and plain[17] == RESIDENT_CHECKS[total % 11]


def is_ip_address(found: str) -> bool:
    """Whether it is an address of version 4 or 6 with a digit in it."""
    try:
        ipaddress.ip_address(found)
    except ValueError:
        return False
    return any(letter.isalnum() for letter in found)


def compiled(*regexes: str, flags: re.RegexFlag = re.IGNORECASE) -> tuple[re.Pattern[str], ...]:
    """Regular expressions in which letters, digits and spaces are those of ASCII unless they are written out."""
    return tuple(re.compile(regex, flags) for regex in regexes)


#: By name, in the order in which they are replaced: what holds others first, what is least certain last.
PERSONAL_PATTERNS: dict[str, PersonalPattern] = {
    "email": PersonalPattern(
        compiled(
            # names in ASCII end where Chinese begins, for no space need stand between them; then names in any script
            rf"(?<![a-z0-9._%+'{SPACED}-])[a-z0-9._%+'-]{{1,64}}@(?:[a-z0-9-]{{1,63}}\.){{1,8}}[a-z]{{2,63}}(?![a-z0-9{SPACED}-])",
            r"(?<![\w.%+'-])[\w.%+'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}",
        )
    ),
    "url": PersonalPattern(
        compiled(
            r"(?<![a-z0-9])(?:(?:https?|ftp)://|www\.)[^\s<>\"，。！？；：、（）《》「」【】“”]{0,2048}"
            r"[^\s<>\"，。！？；：、（）《》「」【】“”.,;:!?'()\[\]{}]"
        )
    ),
    "iban": PersonalPattern(
        compiled(rf"{BEFORE}[a-z]{{2}}[0-9]{{2}}(?: ?[a-z0-9]{{4}}){{2,7}}(?: ?[a-z0-9]{{1,3}})?{AFTER}"), is_iban
    ),
    "chinese_id": PersonalPattern(
        compiled(
            rf"{BEFORE}[1-9][0-9]{{5}}[ -]?[12][0-9]{{7}}[ -]?[0-9]{{3}}[0-9x]{AFTER}",
            rf"{BEFORE}[1-9][0-9]{{14}}{AFTER}",
        ),
        is_resident_number,
    ),
    "credit_card": PersonalPattern(compiled(rf"{BEFORE}[0-9](?:[ -]?[0-9]){{12,18}}{AFTER}"), is_card),
    "ip": PersonalPattern(
        compiled(
            r"(?<![0-9a-z.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9a-z])(?!\.[0-9])",
            r"(?<![0-9a-z:.])[0-9a-f:][0-9a-f:.]{0,43}[0-9a-f:](?![0-9a-z])",
        ),
        is_ip_address,
    ),
    "phone": PersonalPattern(
        compiled(
            # with the country's number; a Chinese mobile; with the 0 of long distance; French pairs; American
            rf"(?<![0-9a-z+])(?:\+ ?|00)[1-9][0-9]{{0,2}}(?:[ .()/-]{{0,3}}[0-9]){{6,13}}{AFTER}",
            rf"{BEFORE}(?:86[ -]?)?1[3-9][0-9][ -]?[0-9]{{4}}[ -]?[0-9]{{4}}{AFTER}",
            rf"{BEFORE}\(?0[1-9][0-9]{{1,4}}\)?[ /-]{{0,3}}[0-9]{{3,8}}(?:[ -][0-9]{{2,8}}){{0,3}}{AFTER}",
            rf"{BEFORE}0[1-9]([ .-])[0-9]{{2}}(?:\1[0-9]{{2}}){{3}}{AFTER}",
            rf"{BEFORE}(?:\([2-9][0-9]{{2}}\) ?|[2-9][0-9]{{2}}[ .-])[0-9]{{3}}[ .-][0-9]{{4}}{AFTER}",
        ),
        has_phone_length,
    ),
}
