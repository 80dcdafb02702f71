"""Lists that come as JSON, as other engines answer them: objects (`shared.tabular.objects`), each an address. Pure.

The names of the first object's fields are the heading, and each object is a row under it.
"""

from collections.abc import Iterator
from typing import Any

from services.suppression.moving.forms import MAX_LINE_BYTES, Form, Meaning
from services.suppression.moving.wishes import Wish
from shared.tabular.headings import NoHeading
from shared.tabular.objects import Objects
from shared.words.errors import Fault


class Dump:
    """Bytes in, wishes out, numbered from 1."""

    encoding = "utf-8"
    was_found = False

    def __init__(self, form: Form) -> None:
        self._form = form
        self._objects = Objects(MAX_LINE_BYTES)
        self._names: list[str] = []
        self._meaning: Meaning | None = None
        self._has_no_heading = False
        self.warnings: list[Fault] = []

    @property
    def is_over(self) -> bool:
        """Nothing that follows is read."""
        return self._has_no_heading or self._objects.is_over

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[tuple[int, Wish | Fault | None]]:
        for number, item in self._objects.feed(received, last=last):
            if self._has_no_heading:
                return
            yield number, item if isinstance(item, Fault) else self._wish(item, f"item {number}")

    def _wish(self, item: Any, at: str) -> Wish | Fault | None:
        if not isinstance(item, dict):
            return Fault(at, "not an object with an address")
        if self._meaning is None:
            try:
                self._names = list(item)
                self._meaning = self._form.read(self._names)
            except NoHeading as fault:
                self._has_no_heading = True
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
