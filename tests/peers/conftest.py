"""An instance among real peers: Postfix is where mail goes, nsd tells where that is, opendkim checks what arrives."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.flows.stack import Stack
from tests.peers import opendkim, postfix, zone
from tests.peers.postfix import ADDRESS, Domains, Postfix
from tests.peers.zone import Zone
from tests.servers import free_port

BOUNCES_DOMAIN = "bounces.test"
USERS = ("ana", "ben", "cleo", "dora", "emil", "fay", "gus", "hana")

DOMAINS = Domains(
    # The last one is bücher.test in DNS and in SMTP without SMTPUTF8 (RFC 5891).
    accepting=("peer.test", "failover.test", "bare.test", "xn--bcher-kva.test"),
    strict=("strict.test",),
    refused=("refused.test",),
    greylisted=("greylisted.test",),
    users=[
        *(f"{user}@peer.test" for user in USERS),
        *("ben@failover.test", "ben@bare.test", "ben@xn--bcher-kva.test", "zoë@peer.test"),
    ],
)

RECORDS = (
    f"mx1.peer.test. A {ADDRESS}",
    # A host where nobody listens.
    "dead.peer.test. A 127.0.0.26",
    "peer.test. MX 10 mx1.peer.test.",
    "failover.test. MX 5 dead.peer.test.",
    "failover.test. MX 10 mx1.peer.test.",
    f"bare.test. A {ADDRESS}",
    "strict.test. MX 10 mx1.peer.test.",
    # By another name: a host that refuses us for our address is left alone for hours, and all its domains with it.
    "refused.test. MX 10 mx-strict.peer.test.",
    f"mx-strict.peer.test. A {ADDRESS}",
    "greylisted.test. MX 10 mx1.peer.test.",
    "xn--bcher-kva.test. MX 10 mx1.peer.test.",
    "nomail.test. MX 0 .",
)


@dataclass(frozen=True)
class Peers:
    """What the tests of a module share."""

    stack: Stack
    postfix: Postfix
    zone: Zone

    async def timeline(self, message_id: str) -> list[dict[str, Any]]:
        return list((await self.stack.message(message_id))["timeline"])

    async def suppression(self, address: str) -> dict[str, Any] | None:
        """Why the address is listed, if it is."""
        status, answer = await self.stack.call("GET", f"/v1/suppressions/{address}")
        return answer if status == 200 else None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Peers]:
    """With opendkim in a module that says FILTERED. There mails come one by one: when many came at once, a scanner
    failed ("end of buffer missed") and no mail was taken any more; most likely its resolver's configuration."""
    bounces_port = free_port()
    ways = {BOUNCES_DOMAIN: f"127.0.0.1:{bounces_port}"}
    with ExitStack() as started:
        served = started.enter_context(zone.serving("test", RECORDS))
        milter = ""
        if getattr(request.module, "FILTERED", False):
            milter = started.enter_context(opendkim.filtering(served.unbound_conf)).address
        host = started.enter_context(postfix.running(DOMAINS, ways, milter))
        environ = {
            "ESTAFETTE_RELAY_ROUTE": "mx",
            "ESTAFETTE_RELAY_PRIVATE_NETWORKS": "true",
            "ESTAFETTE_RELAY_MX_PORT": str(host.port),
            "ESTAFETTE_DNS_SERVERS": served.address,
            "ESTAFETTE_BOUNCES_DOMAIN": BOUNCES_DOMAIN,
            "ESTAFETTE_BOUNCES_PORT": str(bounces_port),
        }
        async with Stack.running(tmp_path_factory.mktemp("stack"), environ) as stack:
            yield Peers(stack, host, served)
