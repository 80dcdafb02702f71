"""Lists that come as JSON, as other engines answer them: the objects of an array, cut anywhere. Pure.

    [{…}, {…}]      {"items": [{…}], "paging": …}      {"Suppressions": [{…}]}      {…}\n{…}

The names of the first object's fields are the heading, and each object is a row under it. What stands around the array
is not read. An object that is none ends the reading: where the next one begins nobody could know.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from services.suppression.moving.forms import MAX_LINE_BYTES, Form, Meaning
from services.suppression.moving.wishes import Wish
from shared.tabular.headings import NoHeading
from shared.words.errors import Fault

_BEGINS = re.compile(r'\[|\{(?:[^\[]|\[(?!\s*[{\]]))*?"\w{1,60}"\s*:\s*\[(?=\s*[{\]])')
_BETWEEN = re.compile(r"[\s,\x1e\ufeff]*")
_decoder = json.JSONDecoder()


class Dump:
    """Bytes in, wishes out, numbered from 1."""

    encoding = "utf-8"
    was_found = False

    def __init__(self, form: Form) -> None:
        self._form = form
        self._text = ""
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")("replace")
        #: Before there is so much, another try would find what the last one found.
        self._enough_chars = 1
        self._has_begun = False
        self._number = 0
        self._names: list[str] = []
        self._meaning: Meaning | None = None
        self.is_over = False
        self.warnings: list[Fault] = []

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[tuple[int, Wish | Fault | None]]:
        self._text += self._utf8.decode(received, last)
        if self.is_over or (len(self._text) < self._enough_chars and not last):
            return
        at = 0
        if not self._has_begun:
            self._text = self._text.lstrip("\ufeff \t\r\n")
            found = _BEGINS.match(self._text, 0, MAX_LINE_BYTES)
            if found is None and len(self._text) <= MAX_LINE_BYTES and not last:
                self._wait()
                return
            self._has_begun = True
            at = found.end() if found is not None else 0
        yield from self._items(at, last=last)

    def _items(self, at: int, *, last: bool) -> Iterator[tuple[int, Wish | Fault | None]]:
        while not self.is_over:
            found = _BETWEEN.match(self._text, at)
            at = found.end() if found is not None else at
            if at == len(self._text):
                break
            if self._text[at] == "]":
                self.is_over = True  # as it should be: behind the array stands what is not read
                break
            try:
                item, end = _decoder.raw_decode(self._text, at)
            except RecursionError:
                yield self._wrong("nested too deeply")
                break
            except ValueError as error:
                if last or len(self._text) - at > MAX_LINE_BYTES:
                    yield self._wrong(f"not JSON: {error}" if last else f"longer than {MAX_LINE_BYTES} characters")
                break
            at = end
            self._number += 1
            yield self._number, self._wish(item)
        self._text = "" if self.is_over else self._text[at:]
        self._wait()

    def _wait(self) -> None:
        self._enough_chars = 2 * len(self._text) if self._text else 1

    def _wrong(self, what: str) -> tuple[int, Fault]:
        self.is_over = True
        self._number += 1
        return self._number, Fault(f"item {self._number}", what)

    def _wish(self, item: Any) -> Wish | Fault | None:
        at = f"item {self._number}"
        if not isinstance(item, dict):
            return Fault(at, "not an object with an address")
        if self._meaning is None:
            try:
                self._names = list(item)
                self._meaning = self._form.read(self._names)
            except NoHeading as fault:
                self.is_over = True
                return Fault(at, str(fault))
        return self._meaning.row([_cell(item.get(name)) for name in self._names], at)


def _cell(value: Any) -> str:
    match value:
        case str():
            return value
        case bool() | None:
            return ""
        case int() | float():
            return str(value)
        case list():
            return ",".join(_cell(one) for one in value)
    return ""
