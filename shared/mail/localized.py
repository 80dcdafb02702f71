"""Filters that write dates, numbers, money and plurals as the recipient's language does (CLDR, by Babel).

    {{ day|date }}  {{ day|date("long") }}  {{ day|date("EEEE d MMMM") }}
    {{ at|datetime("short", "Europe/Paris") }}  {{ at|time }}
    {{ total|money("EUR") }}  {{ n|number }}  {{ n|number(2) }}  {{ share|percent(1) }}
    {{ n|plural("{n} article", "{n} articles") }}  {{ n|plural(one="…", few="…", many="…", other="…") }}

- The language is the variable `language` where the filter stands, a tag such as `de` or `pt-BR`; else that of the job;
  else French. One that nobody knows is the job's.
- What nothing defines stays empty, as it is without a filter. Anything else that is no number or no date is a
  `BadValue`, which says of what filter.
- Days are ISO 8601 (`2026-02-01`, `2026-02-01T07:00:00Z`), never guessed at. A moment is shown in the zone that the
  filter names, else in that of the variable `time_zone`, else in its own.
- Work is bounded by the lengths of what comes in: `MAX_DIGITS`, `MAX_PATTERN_CHARS`, `MAX_PLURAL_CHARS`. Half is
  rounded up, as on bills.

This module is imported where a template has such a filter, and nowhere else: Babel with one language takes 8 MB and
90 ms of processor time, once a process; each further language 1 MB and 5 to 10 ms. A filter takes some 50 µs.
"""

import re
from collections.abc import Callable, Mapping
from copy import copy
from datetime import UTC, date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError, dates, numbers

#: Before the decimal sign and behind it.
MAX_DIGITS = 20
#: Of `number`, `percent`: more is noise.
MAX_DECIMALS = 10
MAX_VALUE_CHARS = 60
MAX_PATTERN_CHARS = 60
MAX_PLURAL_CHARS = 2_000
_STYLES = ("short", "medium", "long", "full")
_CATEGORIES = ("zero", "one", "two", "few", "many", "other")
_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,30}(?:/[A-Za-z0-9_+-]{1,30}){0,2}")
#: Letters of patterns (UTS 35, part 4).
_OF_DAYS = frozenset("GyYuQqMLwWdDFgEec")
_OF_TIMES = frozenset("abBhHKkmsSAzZOvVxX")
_QUOTED = re.compile("'[^']*'")
_DEFAULT = "fr"

#: What a name stands for where the filter is; None if nothing.
LookUp = Callable[[str], object]


class BadValue(ValueError):
    """What a filter was given is not what it takes."""

    def __init__(self, filter_name: str, what: str) -> None:
        super().__init__(f"{filter_name}: {what}")
        self.filter_name = filter_name


def warm(language: str) -> None:
    """Loads what the first rendering would take its time for."""
    locale = locale_of(language, "")
    for style in _STYLES:
        dates.format_datetime(datetime(2026, 1, 1, tzinfo=UTC), style, locale=locale)
    numbers.format_currency(Decimal(1), "EUR", locale=locale)


def filtered(name: str, look_up: LookUp, job_language: str, value: object, args: Any, named: Mapping[str, Any]) -> str:
    """What the filter of this name writes. BadValue."""
    if value is None:
        return ""
    said = look_up("language")
    locale = locale_of(said if isinstance(said, str) else "", job_language)
    try:
        return _FILTERS[name](locale, look_up, value, *args, **named)
    except TypeError:
        raise BadValue(name, f"it does not take these words: it is written {_WRITTEN[name]}") from None
    except _Wrong as wrong:
        raise BadValue(name, str(wrong)) from None
    except (ArithmeticError, AttributeError, LookupError, ValueError):
        # What Babel says of days and numbers at the ends of their ranges is nothing for people.
        raise BadValue(name, f"{_shown(value)} cannot be written in {locale}") from None


@lru_cache(256)
def locale_of(tag: str, otherwise: str) -> Locale:
    """That of a language tag, as far as it is known; else of the other one; else French."""
    for one in (tag, otherwise, _DEFAULT):
        parts = one.strip().replace("-", "_").split("_") if _TAG.fullmatch(one.strip()) else []
        for end in range(len(parts), 0, -1):
            try:
                return Locale.parse("_".join(parts[:end]))
            except (ValueError, UnknownLocaleError):
                continue
    raise AssertionError(_DEFAULT)


class _Wrong(ValueError):
    """In words; which filter it is says `filtered`."""


# Numbers


def _number(locale: Locale, _: LookUp, value: object, decimals: object = None) -> str:
    return _applied(locale, locale.decimal_formats[None], _decimal(value), decimals)


def _percent(locale: Locale, _: LookUp, value: object, decimals: object = None) -> str:
    return _applied(locale, locale.percent_formats[None], _decimal(value), decimals)


def _applied(locale: Locale, pattern: numbers.NumberPattern, number: Decimal, decimals: object) -> str:
    with localcontext(rounding=ROUND_HALF_UP, prec=2 * MAX_DIGITS + MAX_DECIMALS):
        if decimals is None:
            return str(pattern.apply(number, locale))
        if isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals <= MAX_DECIMALS:
            raise _Wrong(f"decimals are a number from 0 to {MAX_DECIMALS}")
        fixed = copy(pattern)
        fixed.frac_prec = decimals, decimals
        return str(fixed.apply(number, locale))


def _money(locale: Locale, _: LookUp, value: object, currency: object) -> str:
    number = _decimal(value)
    if not isinstance(currency, str) or not numbers.is_currency(currency):
        raise _Wrong(f"{_shown(currency)} is not a currency: it takes a code of ISO 4217, such as EUR")
    with localcontext(rounding=ROUND_HALF_UP, prec=2 * MAX_DIGITS + MAX_DECIMALS):
        return numbers.format_currency(number, currency, locale=locale)


def _plural(locale: Locale, _: LookUp, value: object, one: object = None, other: object = None, **forms: object) -> str:
    """By the categories of CLDR, or what stands for one, and for what has no form of its own."""
    number = _decimal(value)
    given = {"one": one, "other": other, **forms}
    given = {name: form for name, form in given.items() if form is not None}
    if unknown := sorted(set(given) - set(_CATEGORIES)):
        raise _Wrong(f"{unknown[0]} is none of {', '.join(_CATEGORIES)}")
    form = given.get(locale.plural_form(abs(number)), given.get("other"))
    if form is None or "other" not in given:
        raise _Wrong("it needs a form for `other`")
    if not isinstance(form, str) or len(form) > MAX_PLURAL_CHARS:
        raise _Wrong(f"a form is a text of at most {MAX_PLURAL_CHARS} characters")
    written = _applied(locale, locale.decimal_formats[None], number, None)
    if len(form) + form.count("{n}") * len(written) > 2 * MAX_PLURAL_CHARS:
        raise _Wrong("a form has `{n}` too often")
    return form.replace("{n}", written)


def _decimal(value: object) -> Decimal:
    """A number, or a text that is one as programs write it (`1234.5`)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise _Wrong(f"{_shown(value)} is not a number")
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise _Wrong(f"a number of more than {MAX_DIGITS} digits")
    text = str(value).strip()
    if len(text) > MAX_VALUE_CHARS or not text.isascii() or "_" in text:
        raise _Wrong(f"{_shown(value)} is not a number")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise _Wrong(f"{_shown(value)} is not a number; one is written 1234.5") from None
    if not number.is_finite():
        raise _Wrong(f"{_shown(value)} is not a number")
    if not number or number.adjusted() < -MAX_DIGITS:
        return Decimal(0)
    if number.adjusted() >= MAX_DIGITS:
        raise _Wrong(f"a number of more than {MAX_DIGITS} digits")
    return number


# Days and times


def _date(locale: Locale, look_up: LookUp, value: object, style: object = "medium", zone: object = None) -> str:
    day = _moment(value, _zone(look_up, zone))
    return dates.format_date(day, _style(style, _OF_DAYS), locale=locale)


def _time(locale: Locale, look_up: LookUp, value: object, style: object = "short", zone: object = None) -> str:
    at = _at(_moment(value, _zone(look_up, zone)))
    return dates.format_time(at, _style(style, _OF_TIMES), tzinfo=at.tzinfo, locale=locale)


def _datetime(locale: Locale, look_up: LookUp, value: object, style: object = "medium", zone: object = None) -> str:
    at = _at(_moment(value, _zone(look_up, zone)))
    return dates.format_datetime(at, _style(style, _OF_DAYS | _OF_TIMES), tzinfo=at.tzinfo, locale=locale)


def _at(moment: date) -> datetime:
    if not isinstance(moment, datetime):
        raise _Wrong("a day has no time: `date` shows it")
    return moment


def _moment(value: object, zone: tzinfo | None) -> date:
    """A day; or a moment, in the zone if one is named."""
    text = value.strip() if isinstance(value, str) else ""
    if not text or len(text) > MAX_VALUE_CHARS or not text.isascii():
        raise _Wrong(f"{_shown(value)} is not a date; one is written 2026-02-01, or 2026-02-01T07:00:00Z")
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            return moment.replace(tzinfo=zone or UTC)
        return moment.astimezone(zone) if zone is not None else moment
    except (ValueError, OverflowError):
        raise _Wrong(f"{_shown(value)} is not a date; one is written 2026-02-01, or 2026-02-01T07:00:00Z") from None


def _zone(look_up: LookUp, named: object) -> tzinfo | None:
    """A wrong one that the template names is a fault of the template's; a recipient's is as if there were none."""
    own = look_up("time_zone") if named is None else named
    if own is None:
        return None
    found = zone_of(own) if isinstance(own, str) else None
    if found is None and named is not None:
        raise _Wrong(f"{_shown(named)} is not a time zone; one is Europe/Paris")
    return found


@lru_cache(256)
def zone_of(name: str) -> tzinfo | None:
    """None if there is no such zone."""
    if not _ZONE.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None


def _style(style: object, allowed: frozenset[str]) -> Any:
    """One of CLDR's four, or a pattern of its letters."""
    if style in _STYLES:
        return style
    letters = _QUOTED.sub("", style) if isinstance(style, str) else "?"
    is_pattern = all(sign in allowed for sign in letters if sign.isalpha()) and len(letters) > 1
    if not isinstance(style, str) or len(style) > MAX_PATTERN_CHARS or "'" in letters or not is_pattern:
        raise _Wrong(f"{_shown(style)} is none of {', '.join(_STYLES)}, and no pattern, such as d MMMM y")
    return style


def _shown(value: object) -> str:
    kind = type(value)
    return f"{value!r:.40}" if kind in (str, int, float, bool) else "what it was given"


_FILTERS: Mapping[str, Callable[..., str]] = {
    "date": _date,
    "time": _time,
    "datetime": _datetime,
    "number": _number,
    "percent": _percent,
    "money": _money,
    "plural": _plural,
}
_WRITTEN = {
    "date": 'date("long")',
    "time": 'time("short", "Europe/Paris")',
    "datetime": 'datetime("short", "Europe/Paris")',
    "number": "number, or number(2)",
    "percent": "percent, or percent(1)",
    "money": 'money("EUR")',
    "plural": 'plural("{n} article", "{n} articles")',
}

__all__ = ["BadValue", "filtered", "locale_of", "warm", "zone_of"]
