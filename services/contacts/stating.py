"""What a base says of addresses is told to suppression, as facts: whoever a contact's opt-in or status keeps from being
mailed is mailed by no job, whatever way it came, and whoever is back is back there too (E11, E12).

    contacts.py, imports/writing.py ──→ table `stated` ──→ here ──→ AddressStated ──→ suppression

Most of what files say is known already: a file of a million lines that all opt in is no million facts. So where a
contact stood so before, or is new, the list is looked at, and only what it does not have is told. What changed a
contact is told in any case: what was said before it may still be on its way to the list.

Facts have ids of what was said, and are stored once under its number; whoever is killed before it is removed tells it
again, which is the same.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from services.contacts.base import stated
from services.contacts.base.database import Database, DatabaseAway
from services.contacts.base.stated import Said, Stated
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis.bus import BusUnavailable
from shared.redis.redis import RedisAway
from shared.redis.suppression import Listed
from shared.words import events, scopes
from shared.words.scopes import Entry

#: Between two looks where there was nothing.
LOOK_S = 0.2
#: After Redis or PostgreSQL was away.
_RETRY_S = 2.0
#: Addresses that are looked up at a time.
_AT_ONCE = 500

#: An opt-in as a fact says it.
_STATES = {"yes": "opted_in", "no": "opted_out", "": ""}

_log = logs.get_logger()


class Publisher(Protocol):
    async def publish(self, facts: Sequence[events.Fact], patience_s: float = 2.0, batch: str = "") -> None: ...


class Lookup(Protocol):
    async def listed(self, tenant: str, addresses: Sequence[str]) -> list[Listed]: ...


class Stating:
    """Of one process."""

    def __init__(self, database: Database, publisher: Publisher, lookup: Lookup) -> None:
        self._database = database
        self._publisher = publisher
        self._lookup = lookup

    async def work(self, stopping: asyncio.Event) -> None:
        """Until it is to stop."""
        while not stopping.is_set():
            try:
                if not await self.tell():
                    await pause(stopping, LOOK_S)
            except (DatabaseAway, RedisAway, BusUnavailable):
                await pause(stopping, _RETRY_S)  # nothing is lost: it is told when they are back

    async def tell(self) -> bool:
        """What was said first; whether there was something. DatabaseAway, RedisAway, BusUnavailable."""
        oldest = await stated.oldest(self._database)
        if oldest is None:
            return False
        unknown, back = await self._unknown(oldest)
        # Before it is told: the list does not say afterwards that they had left.
        await stated.report(self._database, oldest, back)
        async with stated.held(self._database, oldest) as found:
            if found is None:
                return True
            facts = [_fact(found, one) for one in found.said if one.sure or one in unknown]
            if facts:
                await self._publisher.publish(facts, batch=f"stated.{found.tenant}.{found.number}")
                _log.info("addresses_stated", tenant=found.name, source=found.source, addresses=len(facts))
        return True

    async def _unknown(self, found: Stated) -> tuple[set[Said], list[Said]]:
        """Of what may be known to the list what is not, and of that by what somebody is mailed again."""
        asked = [one for one in found.said if not one.sure]
        unknown: set[Said] = set()
        back: list[Said] = []
        for start in range(0, len(asked), _AT_ONCE):
            some = asked[start : start + _AT_ONCE]
            listed = await self._lookup.listed(found.name, [one.address for one in some])
            for one, there in zip(some, listed, strict=True):
                if takes_back(one, there.entries):
                    back.append(one)
                if changes(one, there.entries):
                    unknown.add(one)
        return unknown, back


def changes(one: Said, entries: Iterable[Entry]) -> bool:
    """Whether what is said is something else than the list has."""
    mail = _of_mail(entries)
    return (
        (one.optin == "no" and not mail)
        or (one.status == "hard" and not any(entry.scope == scopes.ALL for entry in mail))
        or takes_back(one, mail)
    )


def takes_back(one: Said, entries: Iterable[Entry]) -> bool:
    """Whether the list has something that is taken off it by this."""
    mail = _of_mail(entries)
    left = [entry for entry in mail if entry.scope == scopes.MARKETING and entry.reason in scopes.LEFT]
    bounced = [entry for entry in mail if entry.reason in scopes.BOUNCED]
    return (one.optin == "yes" and bool(left)) or (one.status == "valid" and bool(bounced))


def _of_mail(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.channel == "email" and entry.scope in (scopes.ALL, scopes.MARKETING)]


def _fact(found: Stated, one: Said) -> events.AddressStated:
    return events.AddressStated(
        **events.about(found.name, found.at_ms, "stated", found.number, one.address, email=one.address),
        state=_STATES[one.optin],
        kind=one.status,
        source=found.source,
    )
