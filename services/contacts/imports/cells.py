"""What a cell of a file says for a field of a kind, as spreadsheets and people write it in French and English. Pure.

    text       as it stands, without what is unseen around it
    number     1234.5, 1 234,5, 1.234,5, 1,234.5: of two signs the last is that of the fraction, and so is one alone
    date       2026-01-31, 31/01/2026, 31.01.2026; a time behind it is dropped. The day is before the month
    choice     one of the field's words, in any case
    choices    several of them, with | or ; or , between them
    yes_no     oui, non, 1, 0, vrai, faux …
    address    of e-mail, in its one form
    phone      as E.164 has it; without the country's code it is France's

A cell with nothing to see in it empties the field, whatever its kind (E9). What comes as JSON is read as if its text
stood in a cell, except that a list needs nothing between its parts.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from services.contacts.base import fields as kinds
from services.contacts.base.fields import MAX_TEXT_CHARS, NotSo
from services.contacts.base.folding import folded
from shared.mail import addresses
from shared.mail.addresses import AROUND
from shared.tabular.flags import FLAGS

Kind = Literal["text", "number", "date", "choice", "choices", "yes_no", "address", "phone"]
#: What stands in the field; None empties it. A number is its digits (`Decimal`), a date as ISO 8601 has it.
Value = str | bool | Decimal | list[str] | None

#: Digits of a number before and behind the point.
MAX_DIGITS = 15
MAX_DECIMALS = 6
#: ITU-T E.164, with the country's code.
_PHONE_DIGITS = range(7, 16)
_E164 = re.compile(r"\+[0-9]{7,15}")
#: Of a number without a code: nine digits, before which people write a 0 and spreadsheets lose it.
_NATIONAL = re.compile(r"0?([1-9]\d{8})")
_COUNTRY_CODE = "+33"
#: Shown of a cell that is wrong.
MAX_SHOWN_CHARS = 40
#: And of a field's words.
_MAX_WORDS_SHOWN = 12

_PLAIN_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:(?P<sign>[.,])\d{3})(?:(?P=sign)\d{3})*(?:(?!(?P=sign))[.,]\d+)?")
#: Between groups of three: spaces, those that do not break, and the Swiss sign.
_SPACES = re.compile(r"(?<=\d)[ \u00a0\u202f\u2009'’](?=\d{3}(?!\d))")
_ISO_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ].*)?", re.DOTALL)
_DAY_FIRST = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?:[T ].*)?", re.DOTALL)
_PHONE_SIGNS = re.compile(r"[\s.()/\u00a0\u202f-]+")
_BETWEEN_CHOICES = "|;,"


def reader(kind: Kind, choices: Iterable[str] = (), *, is_open: bool = False) -> Callable[[str], Value]:
    """What reads the cells of a field of that kind, with its words if it has some; `is_open`: others are taken as they
    are. NotSo."""
    if kind in ("choice", "choices"):
        known = {folded(word): word for word in choices}
        if kind == "choice":
            return lambda cell: _one(cell.strip(AROUND), known)
        return lambda cell: _several(cell.strip(AROUND), known, is_open=is_open)
    if kind == "text":
        return _text
    read_one = _READERS[kind]
    return lambda cell: read_one(text) if (text := cell.strip(AROUND)) else None


def of_json(value: Any) -> str | list[str]:
    """What comes as JSON, as a cell or the parts of one. NotSo if it is neither."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "1" if value else "0"
        case int() | float():
            return str(Decimal(str(value)))
        case list() if not any(isinstance(part, list | dict) for part in value):
            return [str(of_json(part)) for part in value]
    raise NotSo(f"expected text, a number, true, false, null or a list of them, got {_quoted(str(value))}")


def parts(words: Sequence[str], choices: Iterable[str], *, is_open: bool = False) -> Value:
    """Several words of a field that come one by one. NotSo."""
    known = {folded(word): word for word in choices}
    return _known_of([text for word in words if (text := word.strip(AROUND))], known, is_open=is_open)


def _text(cell: str) -> str | None:
    # The same characters: of all that is unseen ASCII has white space alone, and most cells are ASCII.
    text = cell.strip() if cell.isascii() else cell.strip(AROUND)
    if not text:
        return None
    return text if len(text) <= MAX_TEXT_CHARS and text.isprintable() else kinds.text(text)


def _number(text: str) -> Decimal:
    plain = _SPACES.sub("", text).replace("\u2212", "-")
    if not plain.isascii():
        raise NotSo(f"expected a number such as 1234.5, got {_quoted(text)}")
    if not _PLAIN_NUMBER.fullmatch(plain):
        found = _GROUPED.fullmatch(plain)
        if found is None:
            raise NotSo(f"expected a number such as 1234.5, got {_quoted(text)}")
        plain = plain.replace(found["sign"], "")
    whole, _, fraction = plain.replace(",", ".").partition(".")
    if len(whole.lstrip("+-0")) > MAX_DIGITS or len(fraction.rstrip("0")) > MAX_DECIMALS:
        raise NotSo(f"a number has {MAX_DIGITS} digits and {MAX_DECIMALS} behind the point at most: {_quoted(text)}")
    number = Decimal(f"{whole}.{fraction.rstrip('0')}" if fraction.rstrip("0") else whole)
    return number if number else Decimal(0)


def _date(text: str) -> str:
    if found := _ISO_DATE.fullmatch(text):
        year, month, day = map(int, found.groups())
    elif found := _DAY_FIRST.fullmatch(text):
        day, month, year = map(int, found.groups())
    else:
        raise NotSo(f"expected a date such as 2026-01-31 or 31/01/2026, got {_quoted(text)}")
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        raise NotSo(f"there is no such day: {_quoted(text)}") from None


def _yes_no(text: str) -> bool:
    found = FLAGS.get(text.casefold())
    if found is None:
        raise NotSo(f"expected oui or non, got {_quoted(text)}")
    return found


def _address(text: str) -> str:
    try:
        return addresses.normal(text)
    except addresses.InvalidAddress as fault:
        raise NotSo(f"not an address: {fault}: {_quoted(text)}") from None


def _phone(text: str) -> str:
    if _E164.fullmatch(text):
        return text
    plain = _PHONE_SIGNS.sub("", text.replace("(0)", "") if text.startswith(("+", "00")) else text)
    plain = "+" + plain[2:] if plain.startswith("00") else plain
    if plain.isascii() and (found := _NATIONAL.fullmatch(plain)):
        return _COUNTRY_CODE + found[1]
    if not plain.startswith("+") and plain.startswith(_COUNTRY_CODE[1:]):
        plain = "+" + plain
    digits = plain[1:]
    if not (plain.startswith("+") and digits.isascii() and digits.isdigit() and len(digits) in _PHONE_DIGITS):
        raise NotSo(f"expected a number such as +33612345678 or 06 12 34 56 78, got {_quoted(text)}")
    return plain


def _one(text: str, known: Mapping[str, str]) -> Value:
    return _known_word(text, known) if text else None


def _several(text: str, known: Mapping[str, str], *, is_open: bool = False) -> Value:
    if folded(text) in known:  # a word may have such a sign in it
        return [known[folded(text)]]
    sign = next((sign for sign in _BETWEEN_CHOICES if sign in text), "|")
    return _known_of([word for part in text.split(sign) if (word := part.strip(AROUND))], known, is_open=is_open)


def _known_of(words: Sequence[str], known: Mapping[str, str], *, is_open: bool = False) -> Value:
    """Each once, in the order in which they came; None for none of them."""
    if is_open:
        found = {folded(word): known.get(folded(word)) or kinds.word(word) or word for word in words}
        return list(found.values()) or None
    return list(dict.fromkeys(_known_word(word, known) for word in words)) or None


def _known_word(text: str, known: Mapping[str, str]) -> str:
    word = known.get(folded(text))
    if word is None:
        shown = ", ".join(map(repr, list(known.values())[:_MAX_WORDS_SHOWN]))
        more = f" and {len(known) - _MAX_WORDS_SHOWN} more" if len(known) > _MAX_WORDS_SHOWN else ""
        raise NotSo(f"{_quoted(text)} is none of {shown}{more}")
    return word


def _quoted(text: str) -> str:
    return repr(text[:MAX_SHOWN_CHARS])


_READERS: Mapping[str, Callable[[str], Value]] = {
    "number": _number,
    "date": _date,
    "yes_no": _yes_no,
    "address": _address,
    "phone": _phone,
}
