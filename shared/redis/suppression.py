"""The suppression list as everybody reads it: whether a message is stopped, and what the entries of an address say.

A tenant's list is a map of addresses (`shared.redis.addressed`), each with its entries (`shared.words.scopes`); what
listed an entry, and what was said, stands in a second map for those that have it. The operator's list, which holds for
every tenant, is that of the tenant "". Only the service `suppression` writes. All of an address is compared in lower
case: a local part may be case-sensitive (RFC 5321, 2.4), but nobody who left under one spelling is mailed under
another.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from shared.process import clock
from shared.redis import keys
from shared.redis.addressed import Addressed
from shared.redis.redis import Client
from shared.redis.rules import RuleBook, tenants_of
from shared.words import scopes
from shared.words.scopes import Channel, Entry, Reason

#: The tenant of entries that hold for every tenant: no tenant's name is empty.
EVERYBODY = ""
#: How often it is asked whether there is an operator's list at all, until there is one.
LOOK_MS = 1000


class Said(msgspec.Struct, frozen=True, array_like=True):
    """What is known of an entry beside the entry: the fact that listed it for its reason, "" for none; `job` and
    `ordinal` of the message that it was about, "" and -1 for none; `diagnostic`, what was said about the address last
    (an SMTP reply, a reporter, a note). `kind` and `list` are those of the entry. No field is nil: scripts keep these
    arrays, too."""

    kind: int
    list: str
    event: str = ""
    job: str = ""
    ordinal: int = -1
    diagnostic: str = ""


class Listed(NamedTuple):
    """An address and its entries, the strongest first; what is known of each, by its place."""

    address: str
    entries: tuple[Entry, ...]
    said: Mapping[tuple[int, str], Said]

    def said_of(self, entry: Entry) -> Said:
        return self.said.get(entry.place) or Said(*entry.place)


_entries = msgspec.msgpack.Decoder(list[Entry])
_said = msgspec.msgpack.Decoder(list[Said])


def entries(stored: bytes | None) -> list[Entry]:
    """What a map has of an address. ValueError if it is not that."""
    return [] if stored is None else _entries.decode(stored)


def said_of(stored: bytes) -> list[Said]:
    """What the second map has of an address. ValueError if it is not that."""
    return _said.decode(stored)


def normalised(address: str) -> str:
    """How an address is spelt on the list."""
    return address.lower()


class Asked(NamedTuple):
    """Who is about to be mailed, by whom, and as what: by which channel, in which stream, as a member of which list
    ("": of none)."""

    tenant: str
    address: str
    channel: Channel
    stream: str
    list: str


class SuppressionList:
    """The look-up: one round trip for any number of addresses; in a cluster one to each server, at the same time. Every
    method raises RedisAway."""

    def __init__(self, client: Client, partitions: int, now_ms: Callable[[], int] = clock.now_ms) -> None:
        self._client = client
        self._map = Addressed(client, partitions, keys.suppressions)
        self._said = Addressed(client, partitions, keys.suppressions_said)
        self._now_ms = now_ms
        self._has_operators = False
        self._look_at_ms = 0
        self._rules = RuleBook(client)

    async def check(self, asked: Sequence[Asked]) -> list[str | None]:
        """For each the reason it is not to be mailed, or None. What the operator lists for everybody holds within a
        second where nothing was listed so before, and else at once."""
        now_ms = self._now_ms()
        await self._look_for_operators(now_ms)
        wanted = [(tenant, address.lower()) for tenant, address, *_ in asked]
        if self._has_operators:
            wanted += [(EVERYBODY, address) for _, address in wanted]
        reasons: list[Reason | None] = [None] * len(asked)
        tenants = tenants_of(asked)
        found_of, versions = await self._map.get_many_and(wanted, ("HMGET", keys.rule_versions(), *tenants))
        for at, stored in enumerate(found_of):
            if stored is not None:
                index = at % len(asked)
                _, _, channel, stream, list_ = asked[index]
                found = scopes.stops(_entries.decode(stored), channel, stream, list_, now_ms)
                reasons[index] = scopes.stronger(reasons[index], found)
        addresses = [address for _, address in wanted[: len(asked)]]
        by_rule = await self._rules.stopped(asked, addresses, dict(zip(tenants, versions, strict=True)))
        return [reason or rule for reason, rule in zip(reasons, by_rule, strict=True)]

    async def _look_for_operators(self, now_ms: int) -> None:
        """Whether an operator has ever listed anybody: most never do, and nobody is asked about twice then."""
        if not self._has_operators and now_ms >= self._look_at_ms:
            self._has_operators = bool(await self._client.exists(keys.suppressions_for_all()))
            self._look_at_ms = now_ms + LOOK_MS

    async def listed(self, tenant: str, addresses: Sequence[str]) -> list[Listed]:
        """The entries of each address in one list, none where there are none."""
        wanted = [(tenant, normalised(address)) for address in addresses]
        stored = await self._map.get_many(wanted)
        found = [(address, entries(one)) for (_, address), one in zip(wanted, stored, strict=True)]
        return await self.told(tenant, found)

    async def told(self, tenant: str, found: Sequence[tuple[str, Sequence[Entry]]]) -> list[Listed]:
        """Addresses and their entries, as they are stored, with what is known of them; without what has expired."""
        now_ms = self._now_ms()
        said = await self._said.get_many([(tenant, address) for address, _ in found])
        return [
            Listed(address, scopes.alive(some, now_ms), _by_place(words))
            for (address, some), words in zip(found, said, strict=True)
        ]


def _by_place(stored: bytes | None) -> dict[tuple[int, str], Said]:
    return {} if stored is None else {(one.kind, one.list): one for one in _said.decode(stored)}
