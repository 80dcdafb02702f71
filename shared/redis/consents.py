"""What addresses have agreed to, as everybody reads it; only the service `suppression` writes it.

    map      normalised address → its state (`shared.words.consent.State`), which is all that queueing asks for
    log      of each address, who said what, when, from where, and under which text: the proof, appended to alone

Which tenants have any states at all is known: of one that has none, nothing is asked but that, once a second.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from shared.net.remembered import Remembered
from shared.redis import addressed, keys
from shared.redis.addressed import Addressed
from shared.redis.redis import Client, Script
from shared.redis.suppression import normalised
from shared.words import consent
from shared.words.consent import NOTHING_SAID, Rules, State
from shared.words.ids import address_partition

#: How old a tenant's rules may be: a change holds within the second, as a first consent does.
RULES_S = 0.5
TENANTS_KEPT = 10_000


class Entry(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One line of the proof. `answers` by topic; `joined` and `left` are lists. `text` names the text under which it
    was said, `digest` is the SHA-256 of its words in hex; `who` is in the words of whoever told us; `message` the mail
    that led there. At most `most` mails in `days`, -1: any number, 0: not said."""

    at_ms: int
    event_id: str
    by: str
    answers: dict[str, str] = {}
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    purpose: str = ""
    text: str = ""
    digest: str = ""
    ip: str = ""
    user_agent: str = ""
    who: str = ""
    message: str = ""
    most: int = 0
    days: int = 0


class Known(NamedTuple):
    """The state of an address, and all of its log."""

    state: State
    log: list[Entry]

    @property
    def pressure(self) -> tuple[int, int]:
        """At most how many mails they want in how many days, as they said last; 0 for any number."""
        said = max((one for one in self.log if one.most), key=lambda one: one.at_ms, default=None)
        return (said.most, said.days) if said is not None and said.most > 0 else (0, 0)


_KNOWN = Script.of(__file__, "consents_known", begins=addressed.LUA)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)
_rules_decoder = msgspec.msgpack.Decoder(Rules)


def encode(entry: Entry) -> bytes:
    return _encoder.encode(entry)


def decode(stored: bytes) -> Entry:
    """ValueError if it is not an entry."""
    return _decoder.decode(stored)


class ConsentRules:
    """What tenants decided. `monotonic` is a clock in seconds. Raises RedisAway."""

    def __init__(self, client: Client, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._known = Remembered[str, tuple[bool, Rules]](TENANTS_KEPT, monotonic)
        self._used: set[str] = set()

    async def of(self, tenant: str) -> tuple[bool, Rules]:
        """Whether the tenant has, or may have, consents or rules; and these. Half a second old at most."""
        known = self._known.known(tenant)
        if known is None:
            stored = await self._client.hget(keys.consent_rules(), tenant)
            known = stored is not None, _rules_decoder.decode(stored) if stored else Rules()
            self._known.keep(tenant, known, RULES_S)
        return known

    async def put(self, tenant: str, rules: Rules) -> None:
        await self._client.hset(keys.consent_rules(), tenant, _encoder.encode(rules))
        self._known.forget(tenant)

    async def use(self, tenant: str) -> None:
        """The tenant is about to have consents."""
        if tenant not in self._used:
            await self._client.hsetnx(keys.consent_rules(), tenant, "")
            if len(self._used) >= TENANTS_KEPT:
                self._used.clear()
            self._used.add(tenant)


class Consents:
    """The look-up. Raises RedisAway."""

    def __init__(self, client: Client, partitions: int, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._partitions = partitions
        self._states = Addressed(client, partitions, keys.consents)
        self.rules = ConsentRules(client, monotonic)

    async def of(self, tenant: str, addresses: Sequence[str]) -> tuple[Rules, list[State] | None]:
        """The tenant's rules and the state of each address, however it is spelt: in one round trip. None for a tenant
        that has neither consents nor rules of its own: that is known without one."""
        has_any, rules = await self.rules.of(tenant)
        if not has_any:
            return rules, None
        found = await self._states.get_many([(tenant, normalised(address)) for address in addresses])
        return rules, [NOTHING_SAID if stored is None else consent.decode(stored) for stored in found]

    async def known(self, tenant: str, address: str) -> Known | None:
        """All that is known of a normalised address; None if that is nothing."""
        p = address_partition(tenant, address, self._partitions)
        stored, log = await _KNOWN(
            self._client, [keys.consents(p, tenant), keys.consent_log(p, tenant, address)], [address]
        )
        state = consent.decode(stored) if stored else NOTHING_SAID
        return Known(state, [decode(entry) for entry in log]) if stored or log else None

    async def log(self, tenant: str, address: str, first: int, last: int) -> list[Entry]:
        """The entries at these places, both included, the oldest at 0; -1 is the last."""
        p = address_partition(tenant, address, self._partitions)
        found = await self._client.lrange(keys.consent_log(p, tenant, address), first, last)
        return [decode(stored) for stored in found]
