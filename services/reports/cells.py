"""Where in the statistics a fact counts: its cell. Pure.

A cell is the hour of a fact, its code, and what else tells it from others: by which provider and source it was sent,
and why or with what. Many facts share one, so the script that counts adds up by cell, and writes each number once a
batch (`store_statistics_common.lua`).

A number is kept under one byte: the code of the fact (`services.reports.state.Code`) for how often, and beside it

    code + UNIQUE    messages of which it was the first
    code + RAW       messages of which it was the first by anybody, a person or a machine; under the code of the person

What is kept of names are numbers, of a partition, at most `MOST_NAMES` of a kind and for ever: providers, sources, and
words for why and with what are few, and the engine's and the operator's. Beyond, it is `OTHER`.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from services.reports.agents import agent_of
from services.reports.state import Code
from shared.words import events
from shared.words.sites import provider_label

UNIQUE, RAW = 64, 128
HOUR_MS = 3_600_000
#: Of each kind, but for the one that stands for all others (`shared.redis.statistics`). A number is a byte, and 0 is
#: none.
MOST_NAMES = 254
#: Combinations of stream, sending domain, list, category and tags, of a tenant, a day and a partition; beyond, they
#: are counted together.
MOST_GROUPS = 250

#: What names begin with.
PROVIDER, SOURCE, REASON, AGENT = "p", "s", "r", "a"

_WORD = re.compile(r"[a-z0-9_]{1,40}")
#: Codes that are not counted here: what people do on a tenant's site has its own part of a job's report.
_LEFT_OUT = frozenset(
    (
        Code.PAGE_VIEWED,
        Code.VISITOR_ACTED,
        Code.MACHINE_PAGE_VIEWED,
        Code.MACHINE_VISITOR_ACTED,
        Code.VISITOR_CONSENTED,
    )
)


class Cell(NamedTuple):
    """`hour` since 1970. Of what is said by no host, `provider` and `source` are "": they are those of its message.
    `detail`: why, or with what."""

    hour: int
    code: int
    provider: str = ""
    source: str = ""
    detail: str = ""


def cell_of(fact: events.Fact, code: Code, written_ms: int) -> Cell | None:
    """Where the fact counts; None if nowhere. It did not happen after it was written: clocks of hosts differ, and no
    hour to come has statistics."""
    if code in _LEFT_OUT:
        return None
    hour = min(fact.occurred_at, written_ms) // HOUR_MS
    if isinstance(fact, events.Opened | events.Clicked | events.DocumentOpened):
        counted = Code.DOCUMENT_OPENED if code == Code.OTHER_DOCUMENT_OPENED else code
        return Cell(hour, int(counted), "", "", _agent_name(fact.user_agent))
    site, source, reason = getattr(fact, "site", ""), getattr(fact, "source", ""), getattr(fact, "reason", "")
    return Cell(
        hour,
        int(code),
        _provider_name(site) if site else "",
        SOURCE + source[:100] if source else "",
        _reason_name(reason) if reason else "",
    )


@lru_cache(maxsize=4096)
def _provider_name(site: str) -> str:
    return PROVIDER + provider_label(site)


@lru_cache(maxsize=4096)
def _reason_name(reason: str) -> str:
    """A word; what somebody wrote is none."""
    return REASON + (reason if _WORD.fullmatch(reason) else "other")


@lru_cache(maxsize=8192)
def _agent_name(user_agent: str) -> str:
    return f"{AGENT}{'/'.join(agent_of(user_agent))}"


class Cells:
    """The cells of a batch, each once, and the names in them, as the script takes them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.all: list[tuple[int, int, int, int, int]] = []
        self._names: dict[str, int] = {"": 0}
        self._places: dict[Cell, int] = {}

    def at(self, cell: Cell | None) -> int:
        """The place of a cell, from 1; 0 of none."""
        if cell is None:
            return 0
        place = self._places.get(cell)
        if place is None:
            hour, code, provider, source, detail = cell
            self.all.append((hour, code, self._name(provider), self._name(source), self._name(detail)))
            place = self._places[cell] = len(self.all)
        return place

    def _name(self, name: str) -> int:
        number = self._names.get(name)
        if number is None:
            self.names.append(name)
            number = self._names[name] = len(self.names)
        return number
