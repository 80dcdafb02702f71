"""How lists are read page by page, on every route that has one: at most `limit`, and `after` where the last page ended.

A page says in `next` what `after` takes to go on. What that text is, each list decides: the id of the last one, or a
place packed into letters. Whoever sends another text is told the same everywhere: 422 `invalid_query`.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from shared.words.described import says
from shared.words.errors import Fault, Problem

#: On one page, unless the caller says.
DEFAULT_LIMIT = 100
#: And at most.
MAX_LIMIT = 1_000

T = TypeVar("T")


class InvalidCursor(ValueError):
    """Not what a page of this list gave as `next`."""

    def __init__(self) -> None:
        super().__init__("not a cursor of this list: send the `next` of a page")


def limit(most: int = MAX_LIMIT) -> msgspec.Meta:
    """The note of a parameter that says how many there are on a page."""
    return msgspec.Meta(ge=1, le=most, description="How many are listed at most.", examples=[10])


def after(example: str) -> msgspec.Meta:
    """The note of a parameter that says where the page begins."""
    return says("The `next` of the page before; without it the list begins.", example)


def following(example: str) -> msgspec.Meta:
    """The note of the field `next` of a page that may be the last one."""
    return says("What `after` takes to go on; null at the end.", example)


def cut(found: Sequence[T], most: int, cursor: Callable[[T], str]) -> tuple[list[T], str | None]:
    """The page, and its `next`, of a list that was read one further than the page goes, if it goes on."""
    page = list(found[:most])
    return page, cursor(page[-1]) if len(found) > most else None


def pack(place: object) -> str:
    """A place in a list as letters that may stand in a URL."""
    return urlsafe_b64encode(msgspec.msgpack.encode(place)).decode().rstrip("=")


def unpack(text: str, shape: type[T]) -> T:
    """The place that was packed. InvalidCursor if it is invalid of that shape."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        return msgspec.msgpack.decode(raw, type=shape)
    except (UnicodeEncodeError, binascii.Error, msgspec.DecodeError):
        raise InvalidCursor from None


def refused(fault: InvalidCursor, name: str = "after") -> Problem:
    """The answer to a cursor that only the list itself can tell from one of its own."""
    return Problem("invalid_query", "the query does not fit", [Fault(f"?{name}", str(fault))])


def matching(pattern: Any) -> Callable[[str], str]:
    """A reader of cursors that are ids of that pattern (a compiled one)."""

    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise InvalidCursor
        return text

    return read
