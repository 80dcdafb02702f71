"""Who agrees to marketing again, by the word of the API: that takes back that they left, if it can be proved.

A form of the tenant's own is as good as a page of ours (B3 of what such a platform does), and as a file that says `Oui`
(B4): the later word of the recipient takes back their own earlier one. What is asked for is the proof: the text under
which they agreed, by its name or in its words. Without it the opt-in is noted and who left has left; so it is where
they left later than they agreed, and where something else than their leaving stops them. Each case is told in a
warning.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from services.suppression.consents import Saying
from services.suppression.store import Removal, Removed
from shared.process import logs
from shared.redis.suppression import Listed
from shared.words import consent, events, scopes
from shared.words.consent import OptInChannel
from shared.words.scopes import Entry, Reason
from shared.words.times import rfc3339

#: On whose word an entry goes.
BY = "optin"
_THEIRS: frozenset[Reason] = frozenset(("unsubscribed",))

_log = logs.get_logger()


class Store(Protocol):
    async def remove(self, removals: Sequence[Removal]) -> list[Removed]: ...


class Lookup(Protocol):
    async def listed(self, tenant: str, addresses: Sequence[str]) -> list[Listed]: ...


class Warned(NamedTuple):
    """What somebody should know of one opt-in: the place among the sayings, the channel, and the words."""

    place: int
    channel: OptInChannel
    what: str


class Verdict(NamedTuple):
    """What becomes of an entry that stops who agrees again."""

    goes: bool
    what: str


def verdict(entry: Entry, saying: Saying) -> Verdict:
    """Of an entry that stops marketing by a channel to which the saying is an opt-in."""
    when = rfc3339(entry.last_ms)
    if entry.reason not in _THEIRS or entry.scope != scopes.MARKETING:
        return Verdict(False, f"is noted, and still stopped: {entry.reason}, since {rfc3339(entry.first_ms)}")
    if entry.last_ms > saying.entry.at_ms:
        return Verdict(False, f"is noted, and still stopped: they left later, at {when}")
    if not (saying.entry.text or saying.entry.digest):
        return Verdict(False, f"is noted, and still stopped: they left at {when}; no `text` or `words` shows otherwise")
    return Verdict(True, f"takes back that they left at {when}: they get marketing again")


class Returning:
    """Raises RedisAway; may be repeated."""

    def __init__(self, store: Store, lookup: Lookup) -> None:
        self._store = store
        self._lookup = lookup

    async def settle(self, sayings: Sequence[Saying]) -> list[Warned]:
        """Takes back what these opt-ins take back, and says of each that somebody had left what came of it."""
        places: dict[str, list[int]] = defaultdict(list)
        for index, saying in enumerate(sayings):
            if any(saying.entry.answers.get(channel) == "yes" for channel in consent.CHANNELS):
                places[saying.tenant].append(index)
        warned: list[Warned] = []
        removals: list[Removal] = []
        for tenant, indexes in places.items():
            found = await self._lookup.listed(tenant, [sayings[index].address for index in indexes])
            for index, listed in zip(indexes, found, strict=True):
                for entry, channel in _standing(sayings[index], listed):
                    goes, what = verdict(entry, sayings[index])
                    warned.append(Warned(index, channel, what))
                    removals += [_removal(sayings[index], channel)] if goes else []
        if removals:
            await self._store.remove(removals)
            for tenant in places:
                count = sum(one.tenant == tenant for one in removals)
                _log.info("leaving_taken_back", tenant=tenant, by=BY, addresses=count)
        return warned


def _standing(saying: Saying, listed: Listed) -> Iterator[tuple[Entry, OptInChannel]]:
    for channel in consent.CHANNELS:
        if saying.entry.answers.get(channel) == "yes":
            for entry in listed.entries:
                if entry.channel == channel and entry.scope in (scopes.ALL, scopes.MARKETING):
                    yield entry, channel


def _removal(saying: Saying, channel: OptInChannel) -> Removal:
    event = events.event_id(saying.event_id, channel)
    return Removal(saying.tenant, saying.address, saying.entry.at_ms, BY, event, channel, scopes.MARKETING, _THEIRS)
