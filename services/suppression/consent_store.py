"""Consents in Redis: state, log and facts of a saying are written in one step, and once.

All of an address is in one partition. The log is appended to and nothing in it is ever changed. It is kept as long as
the state that it proves: a consent has to be shown for as long as somebody is mailed on its word, and as long after as
claims may come of it, so nothing of it goes by age; it goes with the person, when they are erased by request or by
retention (`forget`).
"""

from collections import defaultdict
from collections.abc import Sequence

from services.suppression.consents import Saying
from shared.redis import addressed, bus, consents, keys, lua
from shared.redis.redis import Client, Script
from shared.words import consent, events
from shared.words.ids import address_partition

#: How long it is known that a fact was written down: longer than any consumer repeats one.
REMEMBER_MS = 7 * 86_400_000
#: Entries of one address: nobody changes their mind more often, but programs may. Beyond, the first half stays, and of
#: the other half what came last.
MOST_ENTRIES = 1_000
#: Sayings of one script call.
_BATCH = 250

_RECORD = Script.of(
    __file__, "consent_store_record", begins=addressed.LUA, names=lua.places(STATE=consent.State), kept=True
)
_FORGET = Script.of(__file__, "consent_store_forget", begins=addressed.LUA, kept=True)
_told = {name: bus.PUBLISHED.labels(name) for name in ("OptedIn", "PreferencesChanged")}


class ConsentStore:
    """Raises RedisAway: what was asked may or may not have happened, and may be asked again."""

    def __init__(self, client: Client, partitions: int, rules: consents.ConsentRules) -> None:
        self._client = client
        self._partitions = partitions
        self._rules = rules

    async def record(self, sayings: Sequence[Saying]) -> list[bool]:
        """For each whether it was news; sayings of one address in their order."""
        for tenant in dict.fromkeys(saying.tenant for saying in sayings):
            await self._rules.use(tenant)
        news = [False] * len(sayings)
        places: dict[int, list[int]] = defaultdict(list)
        for index, saying in enumerate(sayings):
            places[address_partition(saying.tenant, saying.address, self._partitions)].append(index)
        for p, indexes in places.items():
            for start in range(0, len(indexes), _BATCH):
                part = indexes[start : start + _BATCH]
                found = await self._record(p, [sayings[index] for index in part])
                for index, number in zip(part, found, strict=True):
                    news[index] = number == 1
        for saying, is_news in zip(sayings, news, strict=True):
            for fact in saying.facts if is_news else ():
                _told[type(fact).__name__].inc()
        return news

    async def _record(self, p: int, sayings: Sequence[Saying]) -> list[int]:
        names = [keys.events(p)]
        withdrawn = consent.ANSWERS.index("no")
        args: list[str | bytes | int] = [REMEMBER_MS, MOST_ENTRIES, events.MAJOR_VERSION, withdrawn]
        for saying in sayings:
            tenant, address = saying.tenant, saying.address
            names += [
                keys.consents(p, tenant),
                keys.consent_log(p, tenant, address),
                keys.consent_applied(p, saying.event_id),
                keys.usual_hours(p, tenant),
            ]
            args += [address, consent.encode(saying.change), consents.encode(saying.entry), len(saying.facts)]
            for fact in saying.facts:
                args += [type(fact).__name__, events.encode(fact)]
            names += [keys.consent_applied(p, fact.event_id) for fact in saying.facts]
        found: list[int] = await _RECORD(self._client, names, args)
        return found


async def forget(client: Client, partitions: int, tenant: str, address: str) -> int:
    """Everything of a normalised address, its proof too; how many lines of proof there were. Raises RedisAway, and may
    be repeated."""
    p = address_partition(tenant, address, partitions)
    names = [keys.consents(p, tenant), keys.consent_log(p, tenant, address)]
    lines: int = await _FORGET(client, names, [address])
    return lines
