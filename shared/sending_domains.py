"""Sending domains: which tenant may write From a domain, and the DKIM key that signs for it.

Queueing asks before it takes a job, the relay before it signs.

A domain has one owner. A tenant adds it; a tenant with `any_from_domain` (the demo) takes a free one by using it, and
loses it to whoever adds it: having used a name is no claim to it.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec

from shared import dkim_keys, keys
from shared.redis import Client, Script, answer

#: How long a process goes on with what it knew of a domain: a removed one is refused within this time.
CACHE_SECONDS = 10.0
#: Domains remembered at most; beyond, the whole cache is dropped.
CACHE_DOMAINS = 10_000

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")

# KEYS[1] the domains · ARGV domain, the record expected ("" for none), the new record ("" removes).
_REPLACE = Script("""
local found = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if found ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return 1
""")


class InvalidDomain(ValueError):
    """Not a domain name in its ASCII form (RFC 1035 section 2.3.1, RFC 1123 section 2.1; `xn--` for others)."""


class DomainTaken(Exception):
    """Another tenant's."""


class SendingDomain(msgspec.Struct, frozen=True, array_like=True):
    """`pem` is the private key, never shown; `dkim` the TXT record for it (deriving it anew takes 26 ms);
    `by_use`: taken by using it, not added."""

    domain: str
    tenant: str
    selector: str
    pem: str
    dkim: str
    created_at: int
    by_use: bool = False

    def __repr__(self) -> str:
        return f"SendingDomain({self.domain}, {self.tenant}, {self.selector})"


class DnsRecord(msgspec.Struct, frozen=True):
    """What the owner of the domain publishes. A TXT value is one text: many DNS forms split it themselves at 255."""

    type: str
    name: str
    value: str
    why: str


def records(domain: SendingDomain) -> list[DnsRecord]:
    """What has to be in DNS for the domain's mail to be believed."""
    return [
        DnsRecord(
            "TXT",
            f"{domain.selector}._domainkey.{domain.domain}",
            domain.dkim,
            "the public key that receivers check signatures with (DKIM)",
        ),
        DnsRecord(
            "TXT",
            f"_dmarc.{domain.domain}",
            "v=DMARC1; p=none",
            "the large providers require a DMARC policy of bulk senders; keep a stricter one if there is one",
        ),
    ]


def normalise(domain: str) -> str:
    """In lower case, without a dot at the end. InvalidDomain if it is none."""
    name = domain.strip().lower().removesuffix(".")
    if not _DOMAIN.fullmatch(name):
        raise InvalidDomain(f"not a domain name: {domain!r:.100}")
    return name


class SendingDomains:
    """The store. Raises RedisAway when Redis does not answer."""

    def __init__(
        self,
        client: Client,
        *,
        make_key: Callable[[], str] = dkim_keys.make,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._make_key = make_key
        self._now = now
        self._monotonic = monotonic
        self._cache: dict[str, tuple[float, SendingDomain]] = {}

    async def add(self, tenant: str, domain: str) -> tuple[SendingDomain, bool]:
        """The tenant's domain, and whether it is new. A second time changes nothing. InvalidDomain, DomainTaken."""
        return await self._take(tenant, normalise(domain), by_use=False)

    async def of_tenant(self, tenant: str) -> list[SendingDomain]:
        """By name."""
        packed = await self._ask(self._client.hgetall(keys.domains()))
        found = (msgspec.msgpack.decode(one, type=SendingDomain) for one in packed.values())
        return sorted((one for one in found if one.tenant == tenant), key=lambda one: one.domain)

    async def get(self, tenant: str, domain: str) -> SendingDomain | None:
        """The domain if it is the tenant's; None if it is another's or nobody's. InvalidDomain."""
        _, found = await self._read(normalise(domain))
        return found if found is not None and found.tenant == tenant else None

    async def remove(self, tenant: str, domain: str) -> bool:
        """Whether it was the tenant's. InvalidDomain."""
        name = normalise(domain)
        self._cache.pop(name, None)
        while True:
            packed, found = await self._read(name)
            if found is None or found.tenant != tenant:
                return False
            if await _REPLACE(self._client, [keys.domains()], [name, packed, b""]):
                return True

    async def for_sending(self, tenant: str, domain: str, *, any_from_domain: bool) -> SendingDomain:
        """The domain with its key, if the tenant may write From it, remembered for `CACHE_SECONDS`. With
        `any_from_domain` a free one is taken. InvalidDomain; DomainTaken if another owns it; LookupError if nobody
        does and the tenant has to add it."""
        name = normalise(domain)
        known = self._cache.get(name)
        if known is None or self._monotonic() >= known[0] or known[1].tenant != tenant:
            known = (self._monotonic() + CACHE_SECONDS, await self._find(tenant, name, any_from_domain))
            if len(self._cache) >= CACHE_DOMAINS:
                self._cache.clear()
            self._cache[name] = known
        return known[1]

    async def _find(self, tenant: str, name: str, any_from_domain: bool) -> SendingDomain:
        _, found = await self._read(name)
        if found is not None and found.tenant == tenant:
            return found
        if any_from_domain or (found is not None and not found.by_use):
            return (await self._take(tenant, name, by_use=True))[0]
        raise LookupError(f"{name} is not among the sending domains of {tenant}")

    async def _take(self, tenant: str, name: str, *, by_use: bool) -> tuple[SendingDomain, bool]:
        """Several processes may do so at once: the first one's key stays, the others read it."""
        made: SendingDomain | None = None
        while True:
            packed, found = await self._read(name)
            if found is not None and found.tenant == tenant:
                if by_use or not found.by_use:
                    return found, False
                taken = msgspec.structs.replace(found, by_use=False)  # used before, added now: the key stays
            elif found is not None and (by_use or not found.by_use):
                raise DomainTaken(f"{name} belongs to another tenant")
            else:
                taken = made = made or await self._make(tenant, name, by_use)
            if await _REPLACE(self._client, [keys.domains()], [name, packed, msgspec.msgpack.encode(taken)]):
                self._cache.pop(name, None)
                return taken, True

    async def _make(self, tenant: str, name: str, by_use: bool) -> SendingDomain:
        pem, selector, dkim = await asyncio.to_thread(self._make_key_and_record)
        return SendingDomain(name, tenant, selector, pem, dkim, int(self._now() * 1000), by_use)

    def _make_key_and_record(self) -> tuple[str, str, str]:
        pem = self._make_key()
        return pem, dkim_keys.selector(pem), dkim_keys.record(pem)

    async def _read(self, name: str) -> tuple[bytes, SendingDomain | None]:
        packed = await self._ask(self._client.hget(keys.domains(), name))
        return (b"", None) if packed is None else (packed, msgspec.msgpack.decode(packed, type=SendingDomain))

    async def _ask(self, call: object) -> Any:
        return await answer(cast(Awaitable[Any], call))
