"""Sending domains: which tenant may write From a domain, and the DKIM keys that sign for it.

Queueing asks before it takes a job, the relay before it signs.

A domain has one owner. A tenant adds it; a tenant with `any_from_domain` (the demo) takes a free one by using it, and
loses it to whoever adds it: having used a name is no claim to it. The installation itself may own one too, that of its
return paths: no tenant writes From it, and its key signs beside the tenants' (RFC 9477 section 3.1.3).

A domain has a key of each kind, RSA and Ed25519; `shared.dkim_rotation` is how they are replaced. Private keys are
encrypted under the master secret; each change of a domain encrypts them anew where the secret has changed since.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, cast

import msgspec

from shared import dkim_keys, dkim_rotation, keys
from shared.dkim_keys import Algorithm, CannotOpen, Vault
from shared.dkim_rotation import Check, Dns, Key, NotPublished, State
from shared.quotas import exceeded
from shared.redis import Client, Script, answer
from shared.times import rfc3339

#: How long a process goes on with what it knew of a domain. A relay asks again each second (`services.relay.mails`), so
#: that a domain removed, or new keys, are known everywhere within ten.
CACHE_SECONDS = 8.0
#: Domains remembered at most; beyond, the whole cache is dropped.
CACHE_DOMAINS = 10_000
#: A removed domain, and new keys of one that stays, count for so long: making keys is what costs.
COUNTED_MS = 24 * 3600 * 1000
#: Of a refusal for want of room: the tenant may remove one, or ask the operator.
RETRY_AFTER_S = 3600
#: The owner that is no tenant.
INSTALLATION = ""
#: Of the first keys of a domain, and of each rotation.
ALGORITHMS: tuple[Algorithm, ...] = ("rsa-sha256", "ed25519-sha256")

#: Asks DNS for the TXT records of each of these names, now: what was remembered does not count.
LookUp = Callable[[Sequence[str]], Awaitable[Mapping[str, Sequence[str] | None]]]

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")

# KEYS[1] the domains, [2] those counted of its owner of before, [3] of its owner from now on · ARGV domain, the record
# expected ("" for none), the new record ("" removes), now, how long a removed one counts, most domains ("": any
# number). Answers -1 where it would be one too many.
_REPLACE = Script("""
local found = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if found ~= ARGV[2] then return 0 end
if ARGV[3] ~= '' and ARGV[6] ~= '' and not redis.call('ZSCORE', KEYS[3], ARGV[1]) then
  if redis.call('ZCOUNT', KEYS[3], ARGV[4], '+inf') >= tonumber(ARGV[6]) then return -1 end
end
if ARGV[3] == '' or KEYS[2] ~= KEYS[3] then
  if redis.call('ZREM', KEYS[2], ARGV[1]) == 1 and ARGV[3] == '' then
    redis.call('ZADD', KEYS[2], ARGV[4] + ARGV[5], ARGV[1] .. '@' .. ARGV[4])
  end
end
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[3], '+inf', ARGV[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[4])
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return 1
""")


class InvalidDomain(ValueError):
    """Not a domain name in its ASCII form (RFC 1035 section 2.3.1, RFC 1123 section 2.1; `xn--` for others)."""


class DomainTaken(Exception):
    """Another tenant's."""


class SendingDomain(msgspec.Struct, frozen=True, array_like=True):
    """`by_use`: taken by using it, not added. `dmarc` is what DNS showed of its policy. What is `former` is from when a
    domain had one key, not encrypted: empty since."""

    domain: str
    tenant: str
    former_selector: str = ""
    former_pem: str = ""
    former_record: str = ""
    created_at: int = 0
    by_use: bool = False
    keys: tuple[Key, ...] = ()
    dmarc: Check = Check()

    def __repr__(self) -> str:
        return f"SendingDomain({self.domain}, {self.tenant!r}, {list(self.keys)})"

    @property
    def selector(self) -> str:
        """That of the first key that signs."""
        return self.signing[0].selector

    @property
    def signing(self) -> list[Key]:
        return dkim_rotation.signing(self.keys)


class DnsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of the domain publishes, and what DNS showed of it when asked last. A TXT value is one text: many
    DNS forms split it themselves at 255. `key` is `waiting` (publish it, then activate), `signing` or `retiring`
    (leave it until `keep_until`), null of what is no key."""

    type: str
    name: str
    value: str
    why: str
    key: State | None = None
    keep_until: str | None = None
    dns: Dns = "unchecked"
    detail: str = ""
    checked_at: str | None = None


def records(domain: SendingDomain, now_ms: int) -> list[DnsRecord]:
    """What has to be in DNS for the domain's mail to be believed."""
    keys_now = dkim_rotation.kept(domain.keys, now_ms)
    dmarc = _record(
        f"_dmarc.{domain.domain}",
        "v=DMARC1; p=none",
        "the large providers require a DMARC policy of bulk senders; keep a stricter one if there is one",
        domain.dmarc,
    )
    return [*(_key_record(key, domain.domain) for key in keys_now), dmarc]


def _key_record(key: Key, domain: str) -> DnsRecord:
    kind = "RSA" if key.algorithm == "rsa-sha256" else "Ed25519"
    return msgspec.structs.replace(
        _record(
            dkim_rotation.name_of(key, domain),
            key.record,
            f"the public {kind} key that receivers check signatures with (DKIM)",
            key.check,
        ),
        key=key.state,
        keep_until=rfc3339(key.until) if key.state == "retiring" else None,
    )


def _record(name: str, value: str, why: str, check: Check) -> DnsRecord:
    checked_at = rfc3339(check.checked_at) if check.checked_at else None
    return DnsRecord(
        type="TXT", name=name, value=value, why=why, dns=check.dns, detail=check.detail, checked_at=checked_at
    )


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
        vault: Vault,
        *,
        make_key: Callable[[Algorithm], str] = dkim_keys.make,
        chance: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._vault = vault
        self._make_key = make_key
        self._chance = chance
        self._now = now
        self._monotonic = monotonic
        self._cache: dict[str, tuple[float, SendingDomain | None]] = {}
        # An RSA key takes a tenth of a second of a core or more: one after the other, whoever asks for how many.
        self._making = ThreadPoolExecutor(1, "making-keys")

    # What there is

    async def of_tenant(self, tenant: str) -> list[SendingDomain]:
        """By name."""
        return [one for one in await self.all() if one.tenant == tenant]

    async def all(self) -> list[SendingDomain]:
        """Everybody's, by name."""
        packed = await self._ask(self._client.hgetall(keys.domains()))
        return sorted((_decode(one) for one in packed.values()), key=lambda one: one.domain)

    async def get(self, tenant: str, domain: str) -> SendingDomain | None:
        """The domain if it is the tenant's; None if it is another's or nobody's. InvalidDomain."""
        found = await self.find(domain)
        return found if found is not None and found.tenant == tenant else None

    async def find(self, domain: str) -> SendingDomain | None:
        """The domain, whoever owns it. InvalidDomain."""
        return (await self._read(normalise(domain)))[1]

    # To sign with

    async def for_sending(
        self, tenant: str, domain: str, *, any_from_domain: bool, most: int | None = None
    ) -> SendingDomain:
        """The domain with its keys, if the tenant may write From it, remembered for `CACHE_SECONDS`. With
        `any_from_domain` a free one is taken. InvalidDomain; DomainTaken if another owns it; LookupError if nobody
        does and the tenant has to add it."""
        name = normalise(domain)
        known = self._remembered(name)
        if known is None or known.tenant != tenant:
            known = await self._find(tenant, name, any_from_domain, most)
            self._remember(name, known)
        return known

    async def of_installation(self, domain: str) -> SendingDomain | None:
        """The domain if it is the installation's own, remembered for `CACHE_SECONDS`, as is that it is not."""
        name = normalise(domain)
        if name not in self._cache or self._monotonic() >= self._cache[name][0]:
            self._remember(name, (await self._read(name))[1])
        known = self._remembered(name)
        return known if known is not None and known.tenant == INSTALLATION else None

    def private_key(self, domain: str, key: Key) -> str:
        """The PEM text of a domain's key. CannotOpen."""
        return self._vault.open(key.sealed, domain, key.selector)

    # To change them

    async def add(self, tenant: str, domain: str, most: int | None = None) -> tuple[SendingDomain, bool]:
        """The tenant's domain, and whether it is new. A second time changes nothing. `most`: the tenant's quota of
        domains. InvalidDomain, DomainTaken; Problem 429 beyond the quota."""
        return await self._take(tenant, normalise(domain), by_use=False, most=most)

    async def remove(self, tenant: str, domain: str) -> bool:
        """Whether it was the tenant's. InvalidDomain."""
        name = normalise(domain)
        self._cache.pop(name, None)
        while True:
            packed, found = await self._read(name)
            if found is None or found.tenant != tenant:
                return False
            if await self._swap(name, packed, b"", tenant, tenant, None):
                return True

    async def rotate(self, tenant: str, domain: str, most: int | None = None) -> SendingDomain:
        """With new keys to publish, which sign nothing yet; a second time, the same. New keys count as a domain for a
        day. LookupError, InvalidDomain; Problem 429 beyond the quota `most`."""
        made: tuple[Key, ...] = ()

        async def with_new(found: SendingDomain) -> SendingDomain:
            nonlocal made
            kept = dkim_rotation.kept(found.keys, self._now_ms())
            if dkim_rotation.waiting(kept):
                return found
            if not made:
                await self._check_room(tenant, most)
                made = await self._new_keys(found.domain, "waiting")
                counts = cast(Any, {f"{found.domain}@{self._now_ms()}": self._now_ms() + COUNTED_MS})
                await self._ask(self._client.zadd(keys.tenant_domains(tenant), counts))
            return msgspec.structs.replace(found, keys=(*kept, *made))

        return await self._change(tenant, domain, with_new)

    async def check(self, tenant: str, domain: str, look_up: LookUp) -> SendingDomain:
        """With what DNS shows now. LookupError, InvalidDomain."""

        async def with_checks(found: SendingDomain) -> SendingDomain:
            now_ms = self._now_ms()
            texts = await look_up([record.name for record in records(found, now_ms)])
            return msgspec.structs.replace(
                found,
                keys=dkim_rotation.checked(dkim_rotation.kept(found.keys, now_ms), found.domain, texts, now_ms),
                dmarc=dkim_rotation.judge_dmarc(texts[f"_dmarc.{found.domain}"], now_ms),
            )

        return await self._change(tenant, domain, with_checks)

    async def activate(self, tenant: str, domain: str, look_up: LookUp | None) -> SendingDomain:
        """With the waiting keys signing, and the former ones retiring. DNS is asked first; without `look_up` it is not,
        and the caller answers for it. NotPublished, NothingWaiting, LookupError, InvalidDomain."""
        if look_up is not None:
            await self.check(tenant, domain, look_up)

        async def with_active(found: SendingDomain) -> SendingDomain:
            faults = dkim_rotation.faults(found.keys, found.domain) if look_up is not None else []
            if faults:
                raise NotPublished(faults)
            return msgspec.structs.replace(found, keys=dkim_rotation.activated(found.keys, self._now_ms()))

        return await self._change(tenant, domain, with_active)

    async def reencrypt(self) -> tuple[int, list[str]]:
        """Encrypts all keys under the current secret; how many domains had others, and which keys cannot be opened."""
        changed, failed = 0, []
        for domain in await self.all():
            if all(self._vault.is_current(key.sealed) for key in domain.keys):
                continue
            with suppress(LookupError):  # removed in the meantime
                now = await self._change(domain.tenant, domain.domain, _as_it_is)
                changed += 1
                failed += [
                    f"{key.selector} of {now.domain}" for key in now.keys if not self._vault.is_current(key.sealed)
                ]
        return changed, failed

    async def _change(
        self, tenant: str, domain: str, change: Callable[[SendingDomain], Awaitable[SendingDomain]]
    ) -> SendingDomain:
        """The tenant's domain, changed; several may do so at once, and each change is made to what is there."""
        name = normalise(domain)
        while True:
            packed, found = await self._read(name)
            if found is None or found.tenant != tenant:
                raise LookupError(f"{name} is not among the sending domains of {tenant or 'the installation'}")
            changed = self._resealed(await change(found))
            if changed == found or await self._replace(name, packed, changed, found.tenant, None):
                return changed

    async def _find(self, tenant: str, name: str, any_from_domain: bool, most: int | None) -> SendingDomain:
        _, found = await self._read(name)
        if found is not None and found.tenant == tenant:
            return found
        if any_from_domain or (found is not None and not found.by_use):
            return (await self._take(tenant, name, by_use=True, most=most))[0]
        raise LookupError(f"{name} is not among the sending domains of {tenant}")

    async def _take(self, tenant: str, name: str, *, by_use: bool, most: int | None) -> tuple[SendingDomain, bool]:
        """Several processes may do so at once: the first one's keys stay, the others read them."""
        made: SendingDomain | None = None
        while True:
            packed, found = await self._read(name)
            if found is not None and found.tenant == tenant:
                if by_use or not found.by_use:
                    return found, False
                taken = msgspec.structs.replace(found, by_use=False)  # used before, added now: the keys stay
            elif found is not None and (by_use or not found.by_use):
                raise DomainTaken(f"{name} belongs to another tenant")
            else:
                await self._check_room(tenant, most)  # before keys are made: they are what a domain costs
                taken = made = made or await self._make(tenant, name, by_use)
            if await self._replace(name, packed, taken, found.tenant if found is not None else tenant, most):
                return taken, True

    async def _check_room(self, tenant: str, most: int | None) -> None:
        if most is not None and (used := await self._counted(tenant)) >= most:
            raise exceeded("domains", most, used, RETRY_AFTER_S)

    async def _counted(self, tenant: str) -> int:
        return int(await self._ask(self._client.zcount(keys.tenant_domains(tenant), self._now_ms(), "+inf")))

    async def count(self) -> None:
        """Counts the domains of before they were counted, for the quotas of their owners."""
        for domain in await self.all():
            names = cast(Any, {domain.domain: float("inf")})
            await self._ask(self._client.zadd(keys.tenant_domains(domain.tenant), names, nx=True))

    async def _make(self, tenant: str, name: str, by_use: bool) -> SendingDomain:
        made = await self._new_keys(name, "signing")
        return SendingDomain(name, tenant, created_at=self._now_ms(), by_use=by_use, keys=made)

    async def _new_keys(self, name: str, state: State) -> tuple[Key, ...]:
        return await asyncio.get_running_loop().run_in_executor(
            self._making,
            lambda: tuple(self._new_key(name, self._make_key(algorithm), state) for algorithm in ALGORITHMS),
        )

    def _new_key(self, name: str, pem: str, state: State) -> Key:
        selector = dkim_keys.selector(pem)
        sealed = self._vault.seal(pem, name, selector, self._chance(dkim_keys.NONCE_BYTES))
        return Key(selector, dkim_keys.algorithm(pem), sealed, dkim_keys.record(pem), state, self._now_ms())

    def _resealed(self, domain: SendingDomain) -> SendingDomain:
        """With its keys under the current secret; what cannot be opened stays as it is."""
        return msgspec.structs.replace(
            domain, keys=tuple(self._resealed_key(domain.domain, key) for key in domain.keys)
        )

    def _resealed_key(self, domain: str, key: Key) -> Key:
        if self._vault.is_current(key.sealed):
            return key
        try:
            pem = self.private_key(domain, key)
        except CannotOpen:
            return key
        sealed = self._vault.seal(pem, domain, key.selector, self._chance(dkim_keys.NONCE_BYTES))
        return msgspec.structs.replace(key, sealed=sealed)

    async def _read(self, name: str) -> tuple[bytes, SendingDomain | None]:
        packed = await self._ask(self._client.hget(keys.domains(), name))
        return (b"", None) if packed is None else (packed, _decode(packed))

    async def _replace(
        self, name: str, packed: bytes, changed: SendingDomain, owner_before: str, most: int | None
    ) -> bool:
        """Whether nobody else was faster. Problem 429 if its owner has `most` others."""
        self._cache.pop(name, None)
        return await self._swap(name, packed, msgspec.msgpack.encode(changed), owner_before, changed.tenant, most)

    async def _swap(
        self, name: str, packed: bytes, changed: bytes, owner_before: str, owner: str, most: int | None
    ) -> bool:
        places = [keys.domains(), keys.tenant_domains(owner_before), keys.tenant_domains(owner)]
        args: list[str | bytes | int] = [
            name,
            packed,
            changed,
            self._now_ms(),
            COUNTED_MS,
            "" if most is None else most,
        ]
        word = await _REPLACE(self._client, places, args)
        if word == -1:
            raise exceeded("domains", most or 0, await self._counted(owner), RETRY_AFTER_S)
        return bool(word)

    def _remembered(self, name: str) -> SendingDomain | None:
        expires_at, known = self._cache.get(name, (0.0, None))
        return known if self._monotonic() < expires_at else None

    def _remember(self, name: str, known: SendingDomain | None) -> None:
        if len(self._cache) >= CACHE_DOMAINS:
            self._cache.clear()
        self._cache[name] = (self._monotonic() + CACHE_SECONDS, known)

    def _now_ms(self) -> int:
        return int(self._now() * 1000)

    async def _ask(self, call: object) -> Any:
        return await answer(cast(Awaitable[Any], call))


def _decode(packed: bytes) -> SendingDomain:
    """A domain of before there were several keys has its one key, which signs."""
    found = msgspec.msgpack.decode(packed, type=SendingDomain)
    if not found.former_pem:
        return found
    algorithm: Algorithm = "rsa-sha256" if "k=rsa" in found.former_record else "ed25519-sha256"
    key = Key(
        found.former_selector,
        algorithm,
        found.former_pem.encode("ascii"),
        found.former_record,
        "signing",
        found.created_at,
    )
    return msgspec.structs.replace(found, former_selector="", former_pem="", former_record="", keys=(key,))


async def _as_it_is(found: SendingDomain) -> SendingDomain:
    return found
