"""The main path of suppression: facts that say that an address must not be mailed put it on the list."""

from collections.abc import Callable, Sequence
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram

from services.suppression.choices import NAMES as CHOSEN_NAMES
from services.suppression.reasons import NAMES, listing
from services.suppression.stated import NAMES as STATED_NAMES
from services.suppression.store import Addition
from shared.process import logs
from shared.redis import bus
from shared.redis.recipients import Recipient
from shared.redis.suppression import normalised
from shared.words import events, ids, scopes

APPLIED = Counter("estafette_suppression_facts_total", "Facts applied to the lists", ["reason"])
LISTED = Counter("estafette_suppression_listed_total", "Addresses that entered a list", ["reason"])
UNKNOWN = Counter("estafette_suppression_unknown_total", "Facts without an address, about jobs that were removed")
AGE = Gauge("estafette_suppression_age_seconds", "Age of the latest batch of facts when it was applied")
EFFECT_SECONDS = Histogram(
    "estafette_suppression_effect_seconds",
    "From an unsubscription to the moment from which nothing more is sent to the address",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600),
)

#: Most facts are passed over, so a batch is large; what is applied of it is a script call per partition.
BATCH = 500
#: Who leaves has left within a second.
GATHER_MS = 200

_log = logs.get_logger()


class Recipients(Protocol):
    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]: ...

    async def tenant_of(self, job: str) -> str | None:
        """None if the job is not kept any more."""

    async def list_of(self, job: str) -> str:
        """The list of a job, "" if it has none or is not kept any more."""


class Store(Protocol):
    async def add(self, additions: Sequence[Addition]) -> list[bool]:
        """For each whether the address was not on the list before. Repeats of an event do nothing. RedisAway."""


class Consents(Protocol):
    async def apply(self, entries: Sequence[bus.Entry]) -> None:
        """Those that say something about consent. RedisAway."""


class Choices(Protocol):
    async def apply(self, fact: events.Message) -> None:
        """What a recipient chose. RedisAway."""


class Stated(Protocol):
    async def apply(self, facts: Sequence[events.AddressStated]) -> None:
        """What a base of contacts says of addresses, in their order. RedisAway."""


class Suppression:
    """Applies facts. `now_ms` is the clock."""

    def __init__(
        self,
        store: Store,
        recipients: Recipients,
        now_ms: Callable[[], int],
        consents: Consents | None = None,
        choices: Choices | None = None,
        stated: Stated | None = None,
    ) -> None:
        self._store = store
        self._recipients = recipients
        self._now_ms = now_ms
        self._consents = consents
        self._choices = choices
        self._stated = stated

    async def apply(self, _partition: int, entries: Sequence[bus.Entry]) -> None:
        """The call of the consumer of `events`. DeadLetter if one of the entries cannot be understood."""
        if self._consents is not None:
            await self._consents.apply(entries)
        waiting: list[Addition] = []
        said: list[events.AddressStated] = []
        for entry in entries:
            # In the order in which it was said: who leaves, comes back and leaves again has left.
            if said and entry.name in NAMES | CHOSEN_NAMES:
                said = await self._state(said)
            if entry.name in NAMES and (addition := await self._addition(entry)):
                waiting.append(addition)
            elif entry.name in CHOSEN_NAMES and self._choices is not None:
                waiting = await self._list(waiting)
                await self._choices.apply(entry.message())
            elif entry.name in STATED_NAMES:
                waiting = await self._list(waiting)
                fact = entry.message()
                said += [fact] if isinstance(fact, events.AddressStated) else []
        await self._list(waiting)
        await self._state(said)
        AGE.set(max(0, self._now_ms() - int(entries[-1].stream_id.partition("-")[0])) / 1000)

    async def _state(self, said: Sequence[events.AddressStated]) -> list[events.AddressStated]:
        """None of them wait any more."""
        if self._stated is not None and said:
            await self._stated.apply(said)
        return []

    async def _list(self, additions: Sequence[Addition]) -> list[Addition]:
        """None of them wait any more."""
        for addition, entered in zip(additions, await self._store.add(additions), strict=True):
            reason = addition.reason
            APPLIED.labels(reason).inc()
            if reason == "unsubscribed":
                EFFECT_SECONDS.observe(max(0, self._now_ms() - addition.at_ms) / 1000)
            if entered:
                LISTED.labels(reason).inc()
                _log.info("listed", **_named(addition), tenant=addition.tenant, reason=reason, scope=addition.scope)
        return []

    async def _addition(self, entry: bus.Entry) -> Addition | None:
        fact = entry.message()
        found = listing(fact)
        if found is None or not isinstance(fact, events.Fact):
            return None
        address = await self._address(fact)
        if address is None:
            return None
        return Addition(
            fact.tenant,
            normalised(address),
            found.reason,
            fact.occurred_at,
            scope=found.scope or scopes.usual(found.reason, await self._recipients.list_of(fact.job)),
            diagnostic=found.diagnostic,
            event=fact.event_id,
            job=fact.job,
            ordinal=-1 if fact.ordinal is None else fact.ordinal,
        )

    async def _address(self, fact: events.Fact) -> str | None:
        """Bounces name the message alone. None if its job was removed meanwhile: who leaves by a link then has the
        address in it."""
        if fact.email:
            return fact.email
        found = await self._recipients.find(fact.job, [] if fact.ordinal is None else [fact.ordinal])
        if fact.ordinal in found:
            return found[fact.ordinal].email or None  # who was erased has none, and is suppressed by the hash
        if fact.ordinal is not None and await self._recipients.tenant_of(fact.job) is None:
            UNKNOWN.inc()
            named = {"message": ids.message_id(fact.job, fact.ordinal), "job": fact.job, "tenant": fact.tenant}
            _log.warning("address_not_kept", **named, fact=type(fact).__name__)
            return None
        raise bus.DeadLetter(f"{type(fact).__name__}: nobody knows the address of {fact.job or '-'}.{fact.ordinal}")


def _named(addition: Addition) -> dict[str, str]:
    """The message because of which an address was listed, where there is one."""
    if addition.ordinal < 0:
        return {"job": addition.job} if addition.job else {}
    return {"message": ids.message_id(addition.job, addition.ordinal), "job": addition.job}
