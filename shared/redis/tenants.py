"""Tenants and API keys in Redis: who there is, whose a key is, and what it may do.

A key's text is `est_<id>_<secret>` and is shown once, when it is made; what is stored is its SHA-256, under the id. A
key has 190 bits of chance, so a plain hash is as good as a slow one. Records read for `verify` are remembered for
`CACHE_SECONDS`, and so a revoked key dies within that time in every process.
"""

import hmac
import re
import secrets
import string
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from ipaddress import ip_network
from typing import NamedTuple

import msgspec

from shared.mail import domain_names
from shared.net.remembered import Remembered
from shared.redis import keys
from shared.redis.redis import Client
from shared.words import quotas
from shared.words.principal import SANDBOX_SCOPES, SCOPES, Principal

#: How long a revoked key may live on in a process that has just used it.
CACHE_SECONDS = 10.0
#: Keys remembered at most; the whole cache is dropped beyond, which costs one read per key.
CACHE_KEYS = 10_000

#: Of a key: what is looked through for each request has an end, and a name fits on a line.
MAX_RIGHTS = 50
MAX_NAME_CHARS = 100

NAME_RULE = r"[a-z0-9][a-z0-9-]{0,31}"
_NAME = re.compile(NAME_RULE)
_KEY = re.compile(r"est_([a-z0-9]{10})_[A-Za-z0-9]{32}")
_ID_ALPHABET = string.ascii_lowercase + string.digits
_SECRET_ALPHABET = string.ascii_letters + string.digits


def is_name(text: str) -> bool:
    """Whether a tenant may be called so."""
    return _NAME.fullmatch(text) is not None


class TenantError(ValueError):
    """What was asked for cannot be: the message says why."""


class Tenant(msgspec.Struct, frozen=True, array_like=True):
    """`any_from_domain`: may write From any domain that is nobody else's (the demo); others add a domain first."""

    name: str
    created_at: int
    any_from_domain: bool = False
    #: Its own quotas (`shared.words.quotas`), by name.
    quotas: dict[str, int] = {}
    #: The tenant whose sub-account it is; "": nobody's. A sub-account has none of its own.
    parent: str = ""


class Family(NamedTuple):
    """A tenant and its sub-accounts, and its own quotas, which bound what all of them keep together."""

    parent: str
    quotas: Mapping[str, int]
    members: tuple[str, ...]


class Rights(msgspec.Struct, frozen=True, array_like=True):
    """What a key is for, beside its scopes. `name`: of the user or program that has it; `networks` (CIDR) from which it
    may be used and `domains` that it may send from, () for all; `expires_at` in ms, 0: never. `is_sandbox`: what it
    sends goes to no host of the world."""

    name: str = ""
    networks: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    expires_at: int = 0
    is_sandbox: bool = False


UNBOUND = Rights()


class ApiKey(msgspec.Struct, frozen=True, array_like=True):
    """What is stored of a key; `digest` is the SHA-256 of its text."""

    id: str
    tenant: str
    scopes: tuple[str, ...]
    created_at: int
    digest: bytes
    rights: Rights = UNBOUND

    def __repr__(self) -> str:
        return f"ApiKey({self.id}, {self.tenant}, {','.join(self.scopes)})"


class Tenants:
    """The store. Raises RedisAway when Redis does not answer."""

    def __init__(
        self,
        client: Client,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._now = now
        self._families = Remembered[str, tuple[Family]](CACHE_KEYS, monotonic)
        self._cache = Remembered[str, tuple[ApiKey, Principal]](CACHE_KEYS, monotonic)

    async def create(self, name: str, *, any_from_domain: bool = False, parent: str = "") -> Tenant:
        """TenantError if the name is not one (`NAME_RULE`) or is taken, or if there is no such `parent`, or it is a
        sub-account itself."""
        if not is_name(name):
            raise TenantError(f"a tenant's name is a-z, 0-9 and -, 32 at most, not {name!r:.60}")
        if parent:
            above = await self.get(parent)
            if above is None:
                raise TenantError(f"there is no tenant {parent!r:.60}")
            if above.parent:
                raise TenantError(f"{parent} is a sub-account, and has none of its own")
            # First: what is in the set, and not a tenant of that parent, is no sub-account.
            await self._client.sadd(keys.sub_accounts(parent), name)
        tenant = Tenant(name, int(self._now() * 1000), any_from_domain, {}, parent)
        if not await self._client.hsetnx(keys.tenants(), name, _packed(tenant)):
            raise TenantError(f"there is a tenant {name} already")
        return tenant

    async def get(self, name: str) -> Tenant | None:
        packed = await self._client.hget(keys.tenants(), name)
        return None if packed is None else msgspec.msgpack.decode(packed, type=Tenant)

    async def all(self) -> list[Tenant]:
        """By name."""
        packed = await self._client.hgetall(keys.tenants())
        return sorted((msgspec.msgpack.decode(one, type=Tenant) for one in packed.values()), key=lambda one: one.name)

    async def sub_accounts(self, parent: str) -> list[Tenant]:
        """By name."""
        names = sorted(name.decode() for name in await self._client.smembers(keys.sub_accounts(parent)))
        packed = await self._client.hmget(keys.tenants(), names) if names else []
        found = [msgspec.msgpack.decode(one, type=Tenant) for one in packed if one is not None]
        return [one for one in found if one.parent == parent]

    async def family(self, name: str) -> Family | None:
        """The tenant with those that it shares quotas with; None if there are none. Remembered as keys are."""
        (known,) = self._families.known(name) or (None,)
        if known is not None:
            return known if known.members else None
        tenant = await self.get(name)
        parent = await self.get(tenant.parent) if tenant is not None and tenant.parent else tenant
        below = await self.sub_accounts(parent.name) if parent is not None else []
        members = (parent.name, *(one.name for one in below)) if parent is not None and below else ()
        found = Family(members[0], parent.quotas, members) if parent is not None and members else Family("", {}, ())
        self._families.keep(name, (found,), CACHE_SECONDS)
        return found if members else None

    async def acting(self, principal: Principal, name: str) -> Principal | None:
        """The caller as one of its sub-accounts, with the rights of the key; None if there is no such one."""
        if not is_name(name) or principal.parent:
            return None
        tenant = await self.get(name)
        if tenant is None or tenant.parent != principal.tenant:
            return None
        return replace(
            principal, tenant=name, quotas=tenant.quotas, parent=principal.tenant, parent_quotas=principal.quotas
        )

    async def set_quota(self, name: str, quota: str, limit: int | None) -> Tenant:
        """Gives a tenant a quota of its own, or with None the default again. Every process follows within
        `CACHE_SECONDS`. TenantError for an unknown tenant or quota."""
        if quota not in quotas.NAMES:
            raise TenantError(f"there is no quota {quota!r:.60}; there are {', '.join(quotas.NAMES)}")
        if limit is not None and limit < 0:
            raise TenantError("a quota is 0 or more")
        found = await self.get(name)
        if found is None:
            raise TenantError(f"there is no tenant {name!r:.60}")
        own = {one: most for one, most in found.quotas.items() if one != quota}
        changed = msgspec.structs.replace(found, quotas=own if limit is None else {**own, quota: limit})
        await self._client.hset(keys.tenants(), name, _packed(changed))
        self._cache.clear()
        self._families.clear()
        return changed

    async def create_key(self, tenant: str, scopes: Iterable[str], rights: Rights = UNBOUND) -> tuple[ApiKey, str]:
        """A new key and its text, which cannot be had again. TenantError for an unknown tenant or scope, and for rights
        that are none."""
        wanted = tuple(dict.fromkeys(scopes))
        if unknown := [scope for scope in wanted if scope not in SCOPES]:
            raise TenantError(f"unknown scope {', '.join(unknown)}; there are {', '.join(SCOPES)}")
        if not wanted:
            raise TenantError(f"a key needs a scope of {', '.join(SCOPES)}")
        if await self.get(tenant) is None:
            raise TenantError(f"there is no tenant {tenant!r:.60}")
        known = _checked(rights, int(self._now() * 1000))
        if known.is_sandbox and (beyond := [scope for scope in wanted if scope not in SANDBOX_SCOPES]):
            raise TenantError(
                f"a key of the sandbox has no scope {', '.join(beyond)}; it may {', '.join(SANDBOX_SCOPES)}"
            )
        key_id = _chance(_ID_ALPHABET, 10)
        text = f"est_{key_id}_{_chance(_SECRET_ALPHABET, 32)}"
        key = ApiKey(key_id, tenant, wanted, int(self._now() * 1000), _digest(text), known)
        await self._client.hset(keys.api_keys(), key_id, _packed(key))
        return key, text

    async def keys_of(self, tenant: str | None = None) -> list[ApiKey]:
        """The keys of a tenant, or of all, the oldest first."""
        packed = await self._client.hgetall(keys.api_keys())
        found = (msgspec.msgpack.decode(one, type=ApiKey) for one in packed.values())
        return sorted((key for key in found if tenant in (None, key.tenant)), key=lambda key: (key.created_at, key.id))

    async def revoke_key(self, key_id: str) -> bool:
        """Whether there was one. Other processes follow within `CACHE_SECONDS`."""
        self._cache.forget(key_id)
        return bool(await self._client.hdel(keys.api_keys(), key_id))

    async def verify(self, text: str) -> Principal | None:
        """Whose key it is and what it may do; None if it is nobody's. Whether it may be used now, and from where, says
        `principal.refusal`: whoever lets somebody in by a key asks that."""
        form = _KEY.fullmatch(text)
        if form is None:
            return None
        found = await self._key(form[1])
        if found is None or not hmac.compare_digest(found[0].digest, _digest(text)):
            return None
        key, principal = found
        if 0 < key.rights.expires_at <= self._now() * 1000:
            return replace(principal, scopes=frozenset(), is_over=True)
        return principal

    async def _key(self, key_id: str) -> tuple[ApiKey, Principal] | None:
        # Only keys that exist are remembered: guesses must not fill the cache.
        if (known := self._cache.known(key_id)) is not None:
            return known
        packed = await self._client.hget(keys.api_keys(), key_id)
        if packed is None:
            return None
        key = msgspec.msgpack.decode(packed, type=ApiKey)
        tenant = await self.get(key.tenant)
        own = tenant.quotas if tenant is not None else {}
        above = await self.get(tenant.parent) if tenant is not None and tenant.parent else None
        networks = tuple(ip_network(one, strict=False) for one in key.rights.networks)
        rights = key.rights
        principal = Principal(
            key.tenant,
            frozenset(key.scopes),
            own,
            key.id,
            networks,
            rights.domains,
            is_bound=bool(rights.networks or rights.domains or rights.expires_at),
            is_sandbox=rights.is_sandbox,
            parent=above.name if above is not None else "",
            parent_quotas=above.quotas if above is not None else {},
        )
        self._cache.keep(key_id, (key, principal), CACHE_SECONDS)
        return key, principal


def _checked(rights: Rights, now_ms: int) -> Rights:
    """With names as they are compared. TenantError says all that is wrong."""
    faults = []
    networks, domains = [], []
    for network in rights.networks:
        try:
            networks.append(str(ip_network(network, strict=False)))
        except ValueError:
            faults.append(f"{network!r:.60} is no network (CIDR) and no address")
    for domain in rights.domains:
        try:
            domains.append(domain_names.normalise(domain))
        except domain_names.InvalidDomain as fault:
            faults.append(f"{domain!r:.60}: {fault}")
    if len(rights.name) > MAX_NAME_CHARS or not rights.name.isprintable():
        faults.append(f"a name is at most {MAX_NAME_CHARS} printable characters")
    if max(len(networks), len(domains)) > MAX_RIGHTS:
        faults.append(f"a key has at most {MAX_RIGHTS} networks, and as many domains")
    if 0 < rights.expires_at <= now_ms:
        faults.append("the key would be over before it is made")
    if faults:
        raise TenantError("; ".join(faults))
    return msgspec.structs.replace(
        rights, networks=tuple(dict.fromkeys(networks)), domains=tuple(dict.fromkeys(domains))
    )


def _packed(record: msgspec.Struct) -> bytes:
    return msgspec.msgpack.encode(record)


def _digest(text: str) -> bytes:
    return sha256(text.encode("ascii")).digest()


def _chance(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
