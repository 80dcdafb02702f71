"""The suppression list of a tenant as a file: rows in cells that are safe in a spreadsheet and read back unchanged.

What is exported, and what is dropped, is imported as it is.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import lru_cache

from shared.redis import keys
from shared.redis.addressed import Addressed
from shared.redis.redis import Client
from shared.redis.suppression import Said, entries, said_of
from shared.tabular.cells import quoted
from shared.tabular.headings import SUPPRESSIONS
from shared.words.scopes import Entry, has_expired
from shared.words.times import rfc3339

#: Addresses that stand in a cell as they are, as nearly all do.
_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_.+\-]*@[a-z0-9.\-]+")
#: Seconds of which the text is remembered: entries of one import have one time.
_SECONDS_REMEMBERED = 16_384


def heading(delimiter: str) -> str:
    """The first line."""
    return delimiter.join(SUPPRESSIONS) + "\r\n"


class SuppressionFile:
    """Every method raises RedisAway."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._map = Addressed(client, partitions, keys.suppressions)
        self._said = Addressed(client, partitions, keys.suppressions_said)

    async def lines(self, tenant: str, delimiter: str, now_ms: int, before_ms: int | None = None) -> AsyncIterator[str]:
        """The whole list as rows of CSV, some at a time; what is on it all the time is in it once. Without what had
        expired at `now_ms`, and without what was listed at `before_ms` or later."""
        writer = _Writer(delimiter, now_ms, before_ms)
        has_said = await self._said.count(tenant) > 0
        steps = self._map.whole(tenant)
        following = asyncio.ensure_future(anext(steps, None))
        try:
            while (step := await following) is not None:
                following = asyncio.ensure_future(anext(steps, None))  # Redis reads on while rows are written
                said = await self._said_of(tenant, step[::2]) if has_said else {}
                yield writer.rows(step, said)
        finally:
            following.cancel()

    async def _said_of(self, tenant: str, addresses: Sequence[bytes]) -> dict[bytes, list[Said]]:
        found = await self._said.get_many([(tenant, address.decode()) for address in addresses])
        return {
            address: said_of(stored) for address, stored in zip(addresses, found, strict=True) if stored is not None
        }


class _Writer:
    """Writes entries as rows. It has some ten microseconds for each, so what many entries share is written once."""

    def __init__(self, delimiter: str, now_ms: int, before_ms: int | None) -> None:
        self._delimiter = delimiter
        self._now_ms = now_ms
        self._before_ms = before_ms
        #: Channel, scope, reason and source as they stand in a row, by what an entry has for them.
        self._words: dict[tuple[int, int, int, str], str] = {}

    def rows(self, stored: Sequence[bytes], said: Mapping[bytes, Sequence[Said]]) -> str:
        """The rows of addresses and their entries, in turns, as they are stored."""
        delimiter, before_ms, found = self._delimiter, self._before_ms, list[str]()
        for at in range(0, len(stored), 2):
            raw = stored[at]
            address = raw.decode()
            if _PLAIN.fullmatch(address) is None:
                address = quoted(address, delimiter)
            words = said.get(raw, ())
            for one in entries(stored[at + 1]):
                if not has_expired(one, self._now_ms) and (before_ms is None or one.first_ms < before_ms):
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
