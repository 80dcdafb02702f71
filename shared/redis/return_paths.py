"""The domains of return paths that tenants have beside the installation's: agreed by who gives them (sending domains)
and who takes mail at them (bounces).

A domain is written down here before a mail has it as its return path, and mail to it is taken for `KEPT_MS` after the
last one had it: hosts keep trying for days (RFC 5321 section 4.5.4.1). A reader asks each second whether anything has
changed, by a counter, and reads all of it when something has, so that it knows a new one within a second or so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from shared.mail.dkim_rotation import Check
from shared.mail.domain_names import normalise, normalise_return_path
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import keys
from shared.redis.redis import Client, RedisAway, Script
from shared.words.sending_domain import SendingDomain

#: As long as a report may be on its way back.
KEPT_MS = 7 * 24 * 3600 * 1000
#: Relays use a new one so much later: every reader has looked by then.
KNOWN_MS = 5_000
LOOK_S = 1.0
#: Domains that a reader knows at most, some 20 MB; a tenant has as many as its quota of domains.
MOST = 100_000

#: Makes a change to what the tenant has under that name. LookupError if that is nothing.
Store = Callable[[str, str, Callable[[SendingDomain], Awaitable[SendingDomain]]], Awaitable[SendingDomain]]

_VERSION = "version"

_CHANGE = Script.of(__file__, "return_paths_change", kept=True)
_log = logs.get_logger()


async def change(client: Client, tenant: str, domain: str, return_path: str, now_ms: int) -> None:
    """Mail From the tenant's domain is about to have this one; "": none of its own from now on. RedisAway."""
    await _CHANGE(client, [keys.return_paths()], [f"{tenant}/{domain}", return_path, now_ms + KEPT_MS])


class OwnReturnPaths:
    """Of sending domains, whose store is `shared.redis.sending_domains`: `store` makes a change to what a tenant has
    there. `ours` are the hosts of the installation. RedisAway."""

    def __init__(self, client: Client, ours: Sequence[str], store: Store, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._ours = ours
        self._store = store
        self._now_ms = now_ms

    def normalised(self, return_path: str, domain: str) -> str:
        """The name if mail From the domain may come back to it. InvalidDomain, of either."""
        return normalise_return_path(return_path, normalise(domain), self._ours)

    async def set(self, tenant: str, domain: str, return_path: str) -> SendingDomain:
        """The domain with return paths at that name, "" for the installation's, as soon as DNS leads mail to it to us.
        What came before comes home for a while. LookupError; InvalidDomain, of either."""
        name, since = normalise(domain), self._now_ms()
        own = self.normalised(return_path, name) if return_path else ""
        if own:
            await change(self._client, tenant, name, own, since)

        async def with_own(found: SendingDomain) -> SendingDomain:
            if found.return_path == own:
                return found
            return msgspec.structs.replace(
                found, return_path=own, return_path_since=since if own else 0, returns=Check(), spf=Check()
            )

        try:
            changed = await self._store(tenant, name, with_own)
        except LookupError:
            await self.leave(tenant, name)
            raise
        if not own:
            await self.leave(tenant, name)
        return changed

    async def leave(self, tenant: str, domain: str) -> None:
        """None of its own from now on, or the domain is gone."""
        await change(self._client, tenant, domain, "", self._now_ms())


class KnownReturnPaths:
    """A reader's. `run` keeps it fresh until the event; what Redis does not tell meanwhile stays as it was."""

    def __init__(self, client: Client, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._now_ms = now_ms
        self._names: frozenset[str] = frozenset()
        self._version: bytes | None = None
        self.is_read = False

    def __contains__(self, domain: str) -> bool:
        return domain in self._names

    async def first(self, stopping: asyncio.Event) -> None:
        """Returns once they are known."""
        while not self.is_read and not stopping.is_set():
            try:
                await self.look()
            except RedisAway:
                await pause(stopping, LOOK_S)

    async def run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                await self.look()
            except RedisAway as away:
                _log.debug("return_paths_unknown", reason=str(away))
            await pause(stopping, LOOK_S)

    async def look(self) -> None:
        """RedisAway."""
        version = await self._client.hget(keys.return_paths(), _VERSION)
        if version == self._version and self.is_read:
            return
        now_ms, names, over = self._now_ms(), set[str](), list[str]()
        for packed, name in (await self._client.hgetall(keys.return_paths())).items():
            field = packed.decode("utf-8")
            _, is_former, until_ms = field.partition("@")
            if is_former and int(until_ms) <= now_ms:
                over.append(field)
            elif field != _VERSION and len(names) < MOST:
                names.add(name.decode("ascii"))
        if over:
            await self._client.hdel(keys.return_paths(), *over)
        self._names, self._version, self.is_read = frozenset(names), version, True
