"""The list as a file: row by row as it is read, in cells that are safe in a spreadsheet and read back unchanged."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, Protocol

from services.suppression.moving.forms import OWN
from shared.redis.suppression import Said, entries
from shared.tabular.cells import quoted
from shared.words.scopes import Entry, has_expired
from shared.words.times import rfc3339

Delimiter = Literal["comma", "semicolon", "tab"]
DELIMITERS: dict[Delimiter, str] = {"comma": ",", "semicolon": ";", "tab": "\t"}
_BOM = "\ufeff"
#: Addresses that stand in a cell as they are, as nearly all do.
_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_.+\-]*@[a-z0-9.\-]+")
#: Seconds of which the text is remembered: entries of one import have one time.
_SECONDS_REMEMBERED = 16_384


class Pages(Protocol):
    """The list of a tenant, some rows at a time. RedisAway."""

    def lines(self, tenant: str, delimiter: str, now_ms: int) -> AsyncIterator[str]: ...


async def pieces(pages: Pages, tenant: str, delimiter: str, now_ms: int, *, bom: bool = False) -> AsyncIterator[bytes]:
    """The file, piece by piece, its heading with the first of them. RedisAway."""
    before = (_BOM if bom else "") + delimiter.join(OWN) + "\r\n"
    async for rows in pages.lines(tenant, delimiter, now_ms):
        yield (before + rows).encode()
        before = ""
    if before:
        yield before.encode()


class Writer:
    """Writes entries as rows. It has some ten microseconds for each, so what many entries share is written once."""

    def __init__(self, delimiter: str, now_ms: int) -> None:
        self._delimiter = delimiter
        self._now_ms = now_ms
        #: Channel, scope, reason and source as they stand in a row, by what an entry has for them.
        self._words: dict[tuple[int, int, int, str], str] = {}

    def rows(self, stored: Sequence[bytes], said: Mapping[bytes, Sequence[Said]]) -> str:
        """The rows of addresses and their entries, in turns, as they are stored; without what has expired."""
        delimiter, found = self._delimiter, list[str]()
        for at in range(0, len(stored), 2):
            raw = stored[at]
            address = raw.decode()
            if _PLAIN.fullmatch(address) is None:
                address = quoted(address, delimiter)
            words = said.get(raw, ())
            for one in entries(stored[at + 1]):
                if not has_expired(one, self._now_ms):
                    last = one.first_ms + one.lasted_ms
                    expires = _time(one.expires_ms) if one.expires_ms else ""
                    found.append(
                        f"{address}{self._words_of(one)}{self._said(one, words)}{delimiter}{_time(one.first_ms)}"
                        f"{delimiter}{_time(last)}{delimiter}{expires}\r\n"
                    )
        return "".join(found)

    def _words_of(self, entry: Entry) -> str:
        key = (entry.kind, entry.strength, entry.origin, entry.list)
        text = self._words.get(key)
        if text is None:
            cells = (entry.channel, quoted(entry.scope, self._delimiter), entry.reason, entry.source)
            text = self._words[key] = "".join(f"{self._delimiter}{cell}" for cell in cells) + self._delimiter
        return text

    def _said(self, entry: Entry, words: Sequence[Said]) -> str:
        for one in words:
            if one.kind == entry.kind and one.list == entry.list:
                return quoted(one.diagnostic, self._delimiter)
        return ""


def _time(ms: int) -> str:
    seconds, thousandths = divmod(ms, 1000)
    return f"{_second(seconds)}.{thousandths:03d}Z"


@lru_cache(_SECONDS_REMEMBERED)
def _second(seconds: int) -> str:
    return rfc3339(seconds * 1000)[:19]
