"""Reads a table of TOML key by key, and collects all that is wrong with it in words for the operator."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")
D = TypeVar("D")

_SPAN = re.compile(r"([0-9]{1,9}) ?(s|m|h|d)")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
#: Longer than this is a mistake: nothing waits for more than a month.
MAX_SPAN_S = 31 * 86_400


class Table:
    """One table of a file: each key is taken once; `end` says which were not. A fault is `<where>: <key> <what>`, and
    the value is then the default, so that reading goes on to the next fault."""

    def __init__(self, raw: object, where: str, faults: list[str]) -> None:
        self._where = where
        self._faults = faults
        self._known: list[str] = []
        self._raw: Mapping[str, object] = raw if isinstance(raw, dict) else {}
        if not isinstance(raw, dict):
            self.fault("is a table of keys and values")

    def __contains__(self, key: str) -> bool:
        return key in self._raw

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def fault(self, what: str) -> None:
        self._faults.append(f"{self._where}: {what}" if self._where else what)

    def take(self, key: str, default: D, read: Callable[[object], T]) -> T | D:
        """The value of `key` as `read` makes it; `read` raises ValueError in words that follow the key's name."""
        self._known.append(key)
        if key not in self._raw:
            return default
        try:
            return read(self._raw[key])
        except ValueError as error:
            self.fault(f"{key} {error}")
            return default

    def tables(self, key: str, named: str = "{}") -> dict[str, "Table"]:
        """The tables below `key`, by their names: `[source.a1]` and `[source.a2]` for `source`."""
        found: Mapping[str, object] = self.take(key, {}, _mapping)
        return {name: Table(raw, self._below(named.format(_quoted(name))), self._faults) for name, raw in found.items()}

    def table(self, key: str) -> "Table":
        """The one table `[key]`; empty where there is none."""
        return Table(self.take(key, {}, _mapping), self._below(f"[{key}]"), self._faults)

    def rows(self, key: str, named: str) -> list["Table"]:
        """The tables `[[key]]`, in their order, counted from 1."""
        found: Sequence[object] = self.take(key, [], _sequence)
        return [Table(raw, self._below(f"{named} {number}"), self._faults) for number, raw in enumerate(found, 1)]

    def called(self, name: str) -> None:
        """Add a name to what faults of this table begin with."""
        self._where = f"{self._where} ({name})"

    def end(self) -> None:
        """Each key that nobody took is a fault: a mistyped limit would be no limit."""
        for key in self._raw:
            if key not in self._known:
                near = get_close_matches(key, self._known, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(self._known))}"
                self.fault(f"there is no key {_quoted(key)}; {hint}")

    def _below(self, name: str) -> str:
        return f"{self._where}, {name}" if self._where else name


def whole(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        raise ValueError(f"is a whole number from {least} to {most}, not {shown(value)}")

    return read


def text(value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError(f"is a text, not {shown(value)}")


def flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"is true or false, not {shown(value)}")


def texts(value: object) -> tuple[str, ...]:
    """One text, or a list of them."""
    listed = [value] if isinstance(value, str) else value
    if isinstance(listed, list) and listed and all(isinstance(item, str) and item for item in listed):
        return tuple(listed)
    raise ValueError(f"is a text or a list of texts, not {shown(value)}")


def one_of(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value in words:
            return str(value)
        raise ValueError(f"is one of {', '.join(words)}, not {shown(value)}")

    return read


def some_of(*words: str) -> Callable[[object], tuple[str, ...]]:
    """One of these words, or a list of them."""
    one = one_of(*words)
    return lambda value: tuple(one(item) for item in texts(value))


def span_s(value: object) -> int:
    """Seconds of `90s`, `15m`, `2h`, `1d`."""
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found and 0 < (seconds := int(found[1]) * _UNIT_S[found[2]]) <= MAX_SPAN_S:
        return seconds
    raise ValueError(f"is a time up to 31 days like 90s, 15m, 2h or 1d, not {shown(value)}")


def shown(value: object) -> str:
    """A value as it may stand in a message: its beginning."""
    return f"{value!r:.80}"


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name) else f'"{name:.80}"'


def _mapping(value: object) -> Mapping[str, object]:
    if isinstance(value, dict):
        return value
    raise ValueError(f"is a table, not {shown(value)}")


def _sequence(value: object) -> Sequence[object]:
    if isinstance(value, list):
        return value
    raise ValueError(f"is a list of tables, not {shown(value)}")
