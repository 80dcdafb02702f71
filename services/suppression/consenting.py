"""Writes down what recipients said of consent on their pages, and sees to it that it holds: trackers know who withdrew,
and who objects is on the suppression list."""

from collections.abc import Sequence
from typing import Protocol

from prometheus_client import Counter

from services.suppression.consents import NAMES, Saying, of_fact, told_of
from shared.process import logs
from shared.redis import bus
from shared.redis.untracked import Told
from shared.words import events

RECORDED = Counter("estafette_suppression_consents_total", "Sayings about consent that were written down", ["by"])
#: Whatever else stands in a fact is counted as this.
_BYS = ("api", "button", "page", "double_opt_in")

_log = logs.get_logger()


class Store(Protocol):
    async def record(self, sayings: Sequence[Saying]) -> list[bool]:
        """For each whether it was news. RedisAway."""


class Objections(Protocol):
    async def settle(self, sayings: Sequence[Saying]) -> None:
        """The suppression list is as these addresses' objections are. RedisAway."""

    async def restore(self, whose: Sequence[tuple[str, str]]) -> None:
        """Of these tenants and addresses entries went: not for who still objects. RedisAway."""


class Trackers(Protocol):
    async def tell(self, told: Sequence[Told]) -> None:
        """RedisAway."""


class Consenting:
    """Whatever says something about consent comes by here. Everything may be done twice."""

    def __init__(self, store: Store, trackers: Trackers, objections: Objections) -> None:
        self._store = store
        self._trackers = trackers
        self._objections = objections

    async def apply(self, entries: Sequence[bus.Entry]) -> None:
        """Entries of `events`. DeadLetter if one cannot be understood. RedisAway."""
        facts = [fact for entry in entries if entry.name in NAMES and isinstance(fact := entry.message(), events.Fact)]
        gone = [entry.message() for entry in entries if entry.name == "Reactivated"]
        if gone:
            await self._objections.restore(
                [(fact.tenant, fact.email) for fact in gone if isinstance(fact, events.Reactivated) and fact.email]
            )
        if facts:
            await self._trackers.tell([told for fact in facts for told in _told(fact)])
            await self.record([saying for fact in facts if (saying := of_fact(fact)) is not None])

    async def record(self, sayings: Sequence[Saying]) -> list[bool]:
        """What the API was told, with trackers told of it."""
        news = await self._store.record(sayings)
        await self._objections.settle(sayings)
        await self._trackers.tell([told for saying in sayings for fact in saying.facts for told in _told(fact)])
        for saying, is_news in zip(sayings, news, strict=True):
            if is_news:
                by = saying.entry.by if saying.entry.by in _BYS else "other"
                RECORDED.labels(by).inc()
                _log.info("consent_recorded", tenant=saying.tenant, by=by, answers=len(saying.entry.answers))
        return news


def _told(fact: events.Fact) -> list[Told]:
    try:
        return told_of(fact)
    except ValueError as fault:
        raise bus.DeadLetter(f"{type(fact).__name__}: {fault}") from fault
