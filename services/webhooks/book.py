"""The endpoints of all tenants, as this process knows them: read anew once they changed.

A change is known a second later at most; who chooses what to tell looks before, so that whatever is recorded once an
endpoint was answered for is told to it. An endpoint whose secrets no master secret of this process opens is left out,
and the log says so: nothing would be sent that its receiver could verify.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import Gauge

from services.webhooks import signing
from services.webhooks.destination import Destination, parse
from services.webhooks.endpoints import Endpoint
from services.webhooks.signing import Sign
from shared.mail.dkim_keys import CannotOpen, Vault
from shared.net.outside import Policy, Refused
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis.redis import RedisAway

LOOK_S = 1.0
#: By what a secret is bound to its endpoint in the vault.
SEALED_AS = "webhook"

ENDPOINTS = Gauge("estafette_webhooks_endpoints", "Endpoints of all tenants that are to be told something")

_log = logs.get_logger()


class Store(Protocol):
    async def latest(self) -> bytes | None: ...
    async def versions(self) -> dict[str, bytes]: ...
    async def of_tenant(self, tenant: str) -> list[Endpoint]: ...


@dataclass(frozen=True)
class Known:
    """An endpoint, where it is, and what signs for it, each until then (ms; 0: for good)."""

    endpoint: Endpoint
    destination: Destination
    signers: Sequence[tuple[int, Sign]]

    def signing(self, now_ms: int) -> list[Sign]:
        """The signers of now."""
        return [sign for until_ms, sign in self.signers if not until_ms or until_ms > now_ms]


class Book:
    def __init__(self, store: Store, vault: Vault, policy: Policy) -> None:
        self._store = store
        self._vault = vault
        self._policy = policy
        self._latest: bytes | None = None
        self._versions: dict[str, bytes] = {}
        self._of_tenant: dict[str, dict[str, Known]] = {}
        self._by_id: dict[str, Known] = {}

    def of_tenant(self, tenant: str) -> Mapping[str, Known]:
        """Those that are to be told something, by id."""
        return self._of_tenant.get(tenant, {})

    def get(self, endpoint: str) -> Known | None:
        return self._by_id.get(endpoint)

    async def look(self) -> None:
        """Reads what has changed, if anything has. RedisAway."""
        if self._latest != await self._store.latest():
            await self.read()

    async def read(self) -> None:
        """What has changed. RedisAway."""
        latest = await self._store.latest()
        versions = await self._store.versions()
        changed = [tenant for tenant, version in versions.items() if self._versions.get(tenant) != version]
        for tenant in changed:
            found = await self._store.of_tenant(tenant)
            self._of_tenant[tenant] = {one.id: known for one in found if one.enabled and (known := self._known(one))}
            self._versions[tenant] = versions[tenant]
        if changed:
            self._by_id = {name: one for of_one in self._of_tenant.values() for name, one in of_one.items()}
            ENDPOINTS.set(len(self._by_id))
        self._latest = latest

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`."""
        while not stopping.is_set():
            try:
                await self.read()
            except RedisAway as away:
                _log.warning("endpoints_not_read", reason=str(away))
            await pause(stopping, LOOK_S)

    def _known(self, endpoint: Endpoint) -> Known | None:
        try:
            secrets = [(one.until_ms, opened(self._vault, endpoint.id, one.sealed)) for one in endpoint.secrets]
            destination = parse(endpoint.url, self._policy)
        except (CannotOpen, Refused) as fault:
            _log.error("endpoint_left_out", endpoint=endpoint.id, tenant=endpoint.tenant, reason=str(fault))
            return None
        return Known(endpoint, destination, [(until_ms, signing.signer(secret)) for until_ms, secret in secrets])


def opened(vault: Vault, endpoint: str, sealed: bytes) -> str:
    """The text of a secret. CannotOpen."""
    return vault.open(sealed, endpoint, SEALED_AS)
