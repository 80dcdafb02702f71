"""JSON objects of an array or of lines, cut anywhere. Pure.

    [{…}, {…}]      {"items": [{…}], "paging": …}      {"Suppressions": [{…}]}      {…}\n{…}

What stands around the array is not read. What is no JSON ends the reading: where the next object begins nobody could
know.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from shared.words.errors import Fault

_BEGINS = re.compile(r'\[|\{(?:[^\[]|\[(?!\s*[{\]]))*?"\w{1,60}"\s*:\s*\[(?=\s*[{\]])')
_BEGINS_BARE = re.compile(r"\[")
_BETWEEN = re.compile(r"[\s,\x1e\ufeff]*")
_decoder = json.JSONDecoder()


class Objects:
    """Bytes in, what stands between the brackets out, numbered from 1. `is_over`: nothing that follows is read.
    `wrapped`: the array may stand in an object; else an object is one of those that are read, whatever is in it."""

    def __init__(self, max_chars: int, *, wrapped: bool = True) -> None:
        self._max_chars = max_chars
        self._begins = _BEGINS if wrapped else _BEGINS_BARE
        self._text = ""
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")("replace")
        #: Before there is so much, another try would find what the last one found.
        self._enough_chars = 1
        self._has_begun = False
        self._number = 0
        self.is_over = False

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[tuple[int, Any | Fault]]:
        self._text += self._utf8.decode(received, last)
        if self.is_over or (len(self._text) < self._enough_chars and not last):
            return
        at = 0
        if not self._has_begun:
            self._text = self._text.lstrip("\ufeff \t\r\n")
            found = self._begins.match(self._text, 0, self._max_chars)
            is_open = not self._text or self._begins is _BEGINS
            if found is None and is_open and len(self._text) <= self._max_chars and not last:
                self._wait()
                return
            self._has_begun = True
            at = found.end() if found is not None else 0
        yield from self._items(at, last=last)

    def _items(self, at: int, *, last: bool) -> Iterator[tuple[int, Any | Fault]]:
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
                if last or len(self._text) - at > self._max_chars:
                    yield self._wrong(f"not JSON: {error}" if last else f"longer than {self._max_chars} characters")
                break
            at = end
            self._number += 1
            yield self._number, item
        self._text = "" if self.is_over else self._text[at:]
        self._wait()

    def _wait(self) -> None:
        self._enough_chars = 2 * len(self._text) if self._text else 1

    def _wrong(self, what: str) -> tuple[int, Fault]:
        self.is_over = True
        self._number += 1
        return self._number, Fault(f"item {self._number}", what)
