"""The MTA-STS policies of recipient domains: fetched, kept in memory and in Redis, fetched again in time.

Theory of operation. The TXT record is asked for with each mail (the resolver remembers it); its id tells whether the
kept policy is still the domain's. A policy that is not expired is applied whatever becomes of the record or of its web
server (RFC 8461 section 3.3): who suppresses them must not open the way. Redis has it too, so that neither a restart
nor a new relay begins without. A fetch that failed is tried again after `RETRY_MS`; a kept policy is fetched anew each
day, beside the mail.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
from prometheus_client import Counter

from services.relay.encryption.mta_sts import (
    MAX_POLICY_BYTES,
    StsPolicy,
    parse_policy,
    policy_id,
)
from services.relay.words.tls import TlsFailure
from shared.net.dns import DnsUnavailable
from shared.net.web import Failed, Why
from shared.process import logs
from shared.redis import keys
from shared.redis.redis import Client
from shared.words import ids

#: RFC 8461 section 3.3 suggests to look once a day, and to leave a failed fetch alone for five minutes.
REFRESH_MS = 86_400_000
RETRY_MS = 300_000
#: A policy that is to be forgotten at once would be fetched for every mail.
MIN_AGE_MS = 300_000
#: About 500 bytes each.
CACHE_DOMAINS = 100_000
#: Name servers that do not answer for such names are not waited for with every mail (RFC 2308 section 7.1).
UNAVAILABLE_MS = 300_000
#: That Redis has nothing of a domain is believed for so long: another relay may have learnt of it.
ABSENT_MS = 600_000

#: The result types of RFC 8460 section 4.3.2.2 for what can be wrong with a policy's web server, and with its answer.
FAILURES: Mapping[Why, TlsFailure] = {
    "unreachable": "sts-policy-fetch-error",
    "status": "sts-policy-fetch-error",
    "unproven": "sts-webpki-invalid",
    "media_type": "sts-policy-invalid",
    "too_long": "sts-policy-invalid",
}

FETCHES = Counter("estafette_relay_mta_sts_fetches_total", "MTA-STS policies asked for", ["result"])
_FETCHED, _FAILED = FETCHES.labels("fetched"), FETCHES.labels("failed")


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A policy as it is in Redis."""

    id: str
    policy: StsPolicy
    fetched_at: int

    @property
    def expires_at(self) -> int:
        return self.fetched_at + max(self.policy.max_age_s * 1000, MIN_AGE_MS)


@dataclass(frozen=True, slots=True)
class NotFetched:
    """There is a policy, and it could not be had: mail goes as if there was none, and the domain is told."""

    failure: TlsFailure


@dataclass(slots=True)
class _Domain:
    """`kept` as far as this process knows, and whether Redis has it, which is asked again at `look_at` while there is
    none. `name` is the id that the record's `texts` tell; DNS is not asked before `ask_at`. `failure` is that of the
    last fetch, which is not repeated before `retry_at`."""

    look_at: int = 0
    ask_at: int = 0
    texts: list[str] = field(default_factory=list)
    name: str | None = None
    kept: Kept | None = None
    failure: TlsFailure | None = None
    retry_at: int = 0
    saved: bool = True
    loading: asyncio.Task[None] | None = None
    fetching: asyncio.Task[None] | None = None


class Resolver(Protocol):
    async def texts(self, name: str) -> list[str] | DnsUnavailable: ...


class Web(Protocol):
    async def get(self, url: str, media_type: str, max_bytes: int) -> bytes: ...


class StsPolicies:
    """`now_ms` is the time of day: policies outlive the process. `port` is the web's."""

    def __init__(
        self,
        resolver: Resolver,
        web: Web,
        client: Client,
        partitions: int,
        now_ms: Callable[[], int],
        port: int = 443,
        cache_domains: int = CACHE_DOMAINS,
    ) -> None:
        self._resolver = resolver
        self._web = web
        self._client = client
        self._partitions = partitions
        self._now_ms = now_ms
        self._port = port
        self._cache_domains = cache_domains
        self._domains: OrderedDict[str, _Domain] = OrderedDict()
        self._log = logs.get_logger()

    def oldest_ms(self) -> int:
        """When the oldest policy in memory was fetched (ms); 0: there is none."""
        return min((known.kept.fetched_at for known in self._domains.values() if known.kept is not None), default=0)

    async def policy(self, domain: str) -> StsPolicy | NotFetched | None:
        """What holds for the mail of a domain (a name in ASCII, in lower case) now. Raises RedisAway."""
        if domain.startswith("["):
            return None
        known = await self._known(domain)
        name = await self._policy_id(domain, known)
        now_ms = self._now_ms()
        if name is not None and now_ms >= known.retry_at:
            if known.kept is None or known.kept.id != name:
                await self._fetched(domain, name, known)
            elif now_ms >= known.kept.fetched_at + min(REFRESH_MS, known.kept.policy.max_age_s * 500):
                self._fetch(domain, name, known)
        if known.kept is not None:
            if not known.saved:
                await self._save(domain, known, known.kept)
            return known.kept.policy
        return NotFetched(known.failure) if name is not None and known.failure is not None else None

    async def close(self) -> None:
        tasks = [task for known in self._domains.values() for task in (known.loading, known.fetching) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _policy_id(self, domain: str, known: _Domain) -> str | None:
        if self._now_ms() < known.ask_at:
            return None
        texts = await self._resolver.texts(f"_mta-sts.{domain}")
        if isinstance(texts, DnsUnavailable):
            known.ask_at = self._now_ms() + UNAVAILABLE_MS
            return None
        if texts != known.texts:
            known.texts, known.name = texts, policy_id(texts)
        return known.name

    async def _known(self, domain: str) -> _Domain:
        known = self._domains.get(domain)
        if known is None:
            known = self._domains[domain] = _Domain()
            while len(self._domains) > self._cache_domains:
                self._domains.popitem(last=False)
        else:
            self._domains.move_to_end(domain)
        if known.kept is None and self._now_ms() >= known.look_at:
            if known.loading is None:
                known.loading = asyncio.create_task(self._load(domain, known))
            await asyncio.shield(known.loading)
        if known.kept is not None and self._now_ms() >= known.kept.expires_at:
            known.kept = None
        return known

    async def _load(self, domain: str, known: _Domain) -> None:
        try:
            packed = await self._client.get(self._key(domain))
            known.look_at = self._now_ms() + ABSENT_MS
            if packed and known.kept is None:
                known.kept = msgspec.msgpack.decode(packed, type=Kept)
        finally:
            known.loading = None

    async def _fetched(self, domain: str, name: str, known: _Domain) -> None:
        # Who stops waiting does not take the policy away from the others.
        await asyncio.shield(self._fetch(domain, name, known))

    def _fetch(self, domain: str, name: str, known: _Domain) -> asyncio.Task[None]:
        """Once, however many mails of a domain wait for it."""
        if known.fetching is None:
            known.fetching = asyncio.create_task(self._learn(domain, name, known))
        return known.fetching

    async def _learn(self, domain: str, name: str, known: _Domain) -> None:
        try:
            port = "" if self._port == 443 else f":{self._port}"
            url = f"https://mta-sts.{domain}{port}/.well-known/mta-sts.txt"
            policy = parse_policy(await self._web.get(url, "text/plain", MAX_POLICY_BYTES))
        except (Failed, ValueError) as fault:
            _FAILED.inc()
            known.failure = FAILURES[fault.why] if isinstance(fault, Failed) else "sts-policy-invalid"
            known.retry_at = self._now_ms() + RETRY_MS
            self._log.warning("mta_sts_not_fetched", domain=domain, failure=known.failure, reason=str(fault)[:300])
        else:
            _FETCHED.inc()
            known.kept, known.saved = Kept(name, policy, self._now_ms()), False
            known.failure, known.retry_at = None, 0
        finally:
            known.fetching = None

    async def _save(self, domain: str, known: _Domain, kept: Kept) -> None:
        life_ms = max(kept.expires_at - self._now_ms(), 1)
        await self._client.set(self._key(domain), msgspec.msgpack.encode(kept), px=life_ms)
        known.saved = known.kept is kept

    def _key(self, domain: str) -> str:
        return keys.mta_sts(ids.name_partition(domain, self._partitions), domain)
