"""Sending domains as Redis has them: whose is whose, who claims what, and the names of one registered domain together.

What is to change is told as `Swap`s, and all of them happen or none: `shared.redis.sending_domains` decides.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from shared.mail import domain_names
from shared.mail.dkim_rotation import Key
from shared.redis import keys
from shared.redis.redis import Client, Script
from shared.words.quotas import exceeded
from shared.words.sending_domain import SendingDomain

#: A removed domain, and new keys of one that stays, count for so long: making keys is what costs.
COUNTED_MS = 24 * 3600 * 1000
#: Of a refusal for want of room: the tenant may remove one, or ask the operator.
RETRY_AFTER_S = 3600

_SWAP = Script.of(__file__, "domain_tables_swap", kept=True)
_RESERVE = Script.of(__file__, "domain_tables_reserve", kept=True)


class Swap(NamedTuple):
    """A field of a hash, what it has now, and what it shall have."""

    key: str
    field: str
    expected: bytes
    new: bytes


async def keys_of_all(client: Client) -> list[Key]:
    """Every key of every domain that is somebody's, as it was stored. Raises RedisAway."""
    return [key for packed in (await client.hgetall(keys.domains())).values() for key in _decoded(packed).keys]


class DomainTables:
    """Raises RedisAway when Redis does not answer."""

    def __init__(self, client: Client) -> None:
        self._client = client

    # Domains and claims, each with its bytes: b"" where there is none

    async def owned(self, name: str) -> tuple[bytes, SendingDomain | None]:
        """Whoever's it is."""
        return self._found(await self._client.hget(keys.domains(), name))

    async def claim(self, tenant: str, name: str) -> tuple[bytes, SendingDomain | None]:
        return self._found(await self._client.hget(keys.domain_claims(tenant), name))

    async def own(self, tenant: str, name: str) -> tuple[str, bytes, SendingDomain | None]:
        """The hash that has the tenant's domain or claim, and what stands there."""
        packed, found = await self.owned(name)
        if found is not None and found.tenant == tenant:
            return keys.domains(), packed, found
        return keys.domain_claims(tenant), *await self.claim(tenant, name)

    async def all_owned(self) -> list[SendingDomain]:
        return [_decoded(packed) for packed in (await self._client.hgetall(keys.domains())).values()]

    async def claims(self, tenant: str) -> list[SendingDomain]:
        return [_decoded(packed) for packed in (await self._client.hgetall(keys.domain_claims(tenant))).values()]

    async def all_claims(self) -> list[SendingDomain]:
        tenants = await self._client.hkeys(keys.tenants())
        return [one for tenant in tenants for one in await self.claims(tenant.decode("ascii"))]

    async def is_taken_back(self, tenant: str, name: str) -> bool:
        """Whether an operator took this name, or one above it, from the tenant."""
        taken = [one.domain for one in await self.claims(tenant) if one.proof == "taken_back"]
        return domain_names.at_or_below(name, taken) is not None

    async def kin(self, name: str) -> tuple[bytes, dict[str, str]]:
        """Whose the names of the same registered domain are, of those that are somebody's for good."""
        packed = await self._client.hget(keys.domain_kin(), domain_names.organisation(name))
        return (b"", {}) if packed is None else (packed, msgspec.msgpack.decode(packed, type=dict[str, str]))

    def _found(self, packed: bytes | None) -> tuple[bytes, SendingDomain | None]:
        return (b"", None) if packed is None else (packed, _decoded(packed))

    # What they shall be

    async def kin_swap(self, name: str, tenant: str | None) -> Swap:
        """The name is this tenant's among its kin, or nobody's."""
        return kin_swap(name, tenant, *await self.kin(name))

    async def swap(self, swaps: Sequence[Swap]) -> bool:
        """Whether nobody else was faster."""
        arguments = [part for one in swaps for part in (one.field, one.expected, one.new)]
        return bool(await _SWAP(self._client, [one.key for one in swaps], arguments))

    # What counts for a tenant's quota

    async def count(self, tenant: str, name: str) -> None:
        await self._client.zadd(keys.tenant_domains(tenant), {name: float("inf")})

    async def count_no_more(self, tenant: str, name: str, now_ms: int) -> None:
        """But for the keys that were made for it."""
        await self._client.zrem(keys.tenant_domains(tenant), name)
        counts = {f"{name}@{now_ms}": now_ms + COUNTED_MS}
        await self._client.zadd(keys.tenant_domains(tenant), counts)

    async def reserve(self, tenant: str, name: str, most: int | None, now_ms: int) -> None:
        """Before keys are made: they are what a domain costs. Problem 429 if the tenant has `most` already."""
        args: list[str | bytes | int] = [name, now_ms, now_ms + COUNTED_MS, "" if most is None else most]
        used = int(await _RESERVE(self._client, [keys.tenant_domains(tenant)], args))
        if used >= 0:
            raise exceeded("domains", most or 0, used, RETRY_AFTER_S)


def owned_swap(before: bytes, after: SendingDomain | None, name: str) -> Swap:
    """The domain is this one, or nobody's."""
    return Swap(keys.domains(), name, before, b"" if after is None else packed(after))


def claim_swap(tenant: str, before: bytes, after: SendingDomain | None, name: str) -> Swap:
    """The tenant's claim is this one, or there is none: it has become more."""
    return Swap(keys.domain_claims(tenant), name, before, b"" if after is None else packed(after))


def kin_swap(name: str, tenant: str | None, before: bytes, kin: Mapping[str, str]) -> Swap:
    others = {other: owner for other, owner in kin.items() if other != name}
    after = others if tenant is None else {**others, name: tenant}
    new = msgspec.msgpack.encode(after) if after else b""
    return Swap(keys.domain_kin(), domain_names.organisation(name), before, new)


def packed(domain: SendingDomain) -> bytes:
    return msgspec.msgpack.encode(domain)


def _decoded(found: bytes) -> SendingDomain:
    return msgspec.msgpack.decode(found, type=SendingDomain)
