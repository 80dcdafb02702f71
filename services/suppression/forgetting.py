"""What is kept of an address in maps, and its removal from all of them at once.

Each map of addresses that a tenant has is named here, and whoever adds another one names it here, too: a test erases
somebody and then looks through all of Redis (`tests/redis/test_people.py`).

    suppressions, suppressions_said    why it is stopped, and what was said; but for an operator's entries, for the law
    bounce_counts                      soft bounces in a row
    consents, consent_log              what it agreed to, and the proof of it
    interactions                       when it was last heard of
    usual_hours                        at which hours of the day somebody opens and clicks
    list_map                           lists that it joined or left
    pressure                           when it got marketing lately, under a digest of it
    once                               when it got a message of an operation, under a digest of it; what is under that
                                       of a key goes with the recipient's row in the job (`mentions.py`)
    rules                              the one rule that is the address itself; rules of names and domains name nobody

The proof of consent goes with the person: it is their address, their network address and the program that they used.
What is left, and shows to nobody but who holds the master secret and knows the address, are two keyed hashes: that it
was erased, by which it is never mailed again; and, of who asked for it or withdrew their consent to be tracked, the
mark of their links (`shared.redis.untracked`), by which nothing is recorded from the mails that they still have.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from services.suppression import consent_store, escalation
from services.suppression.changing import Value, change
from services.suppression.rules import By, Rules
from shared.redis import keys, suppression
from shared.redis.addressed import Addressed
from shared.redis.members import Members
from shared.redis.once import Once
from shared.redis.pressure import Reached
from shared.redis.redis import Client
from shared.words import scopes

#: Who takes the rule of an address away, as it would be told.
BY = "erasure"

_encoder = msgspec.msgpack.Encoder()


class Removed(NamedTuple):
    """What an erasure has taken away at once."""

    suppressions: int = 0
    soft_bounces: int = 0
    consents: int = 0
    lists: int = 0
    rules: int = 0


class Forgetting:
    """Every method raises RedisAway, and may be repeated."""

    def __init__(self, client: Client, partitions: int, rules: Rules) -> None:
        self._client = client
        self._partitions = partitions
        self._rules = rules
        self._members = Members(client, partitions)

    async def forget(self, tenant: str, address: str) -> Removed:
        """All that is kept of a normalised address of the tenant, but for its recipients in jobs."""
        entries = await self._take_entries(tenant, address)
        bounces = await self._take(keys.bounce_counts, tenant, address)
        await self._take(keys.suppressions_said, tenant, address)
        await self._take(keys.interactions, tenant, address)
        await self._take(keys.usual_hours, tenant, address)
        consents = await consent_store.forget(self._client, self._partitions, tenant, address)
        lists = await self._members.forget(tenant, address)
        await Reached(self._client, self._partitions).forget(tenant, address)
        await Once(self._client, self._partitions).forget(tenant, address)
        rules = await self._rules.delete(tenant, address, By(tenant, BY))
        counted = len(escalation.unpack(bounces).bounces) if bounces else 0
        return Removed(entries, counted, consents, lists, int(rules))

    async def _take(self, key: Callable[[int, str], str], tenant: str, address: str) -> bytes:
        """What the map had of the address."""
        while True:
            known = await Addressed(self._client, self._partitions, key).get(tenant, address) or b""
            if not known:
                return known
            if all(await change(self._client, self._partitions, [Value(key, tenant, address, known, b"")])):
                return known

    async def _take_entries(self, tenant: str, address: str) -> int:
        """Of the suppression list, but those that an operator alone takes away; how many there were."""
        while True:
            known = await Addressed(self._client, self._partitions, keys.suppressions).get(tenant, address) or b""
            entries = suppression.entries(known or None)
            kept = [entry for entry in entries if entry.reason in scopes.PROTECTED]
            if len(kept) == len(entries):
                return 0
            new = _encoder.encode(kept) if kept else b""
            value = Value(keys.suppressions, tenant, address, known, new)
            if all(await change(self._client, self._partitions, [value])):
                return len(entries) - len(kept)
