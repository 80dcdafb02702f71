"""A key of the sandbox where mail goes out into the world: its jobs go the whole way, no host is dialled, and nothing
of them counts."""

import asyncio
from pathlib import Path
from typing import Any

from tests.fakes.dns_server import DnsServer
from tests.flows.stack import Stack, job
from tests.servers import free_port

ZONE = """
real.test. 60 IN MX 10 mx.real.test.
mx.real.test. 60 IN A 127.0.0.1
"""
RECIPIENTS = [
    {"email": address, "variables": {"prenom": "Ana"}}
    for address in ("ana@real.test", "unknown@real.test", "greylist@real.test")
]


async def test_what_is_sent_with_a_key_of_the_sandbox_ends_as_by_the_mailbox_and_reaches_no_host(
    tmp_path: Path,
) -> None:
    dialled: list[object] = []

    async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialled.append(writer.get_extra_info("peername"))
        writer.close()

    port = free_port()
    async with await asyncio.start_server(listen, "127.0.0.1", port), DnsServer(ZONE) as dns:
        environ = {
            "ESTAFETTE_RELAY_ROUTE": "mx",
            "ESTAFETTE_RELAY_MX_PORT": str(port),
            "ESTAFETTE_RELAY_PRIVATE_NETWORKS": "true",
            "ESTAFETTE_DNS_SERVERS": dns.address,
            "ESTAFETTE_TRACKING_BASE_URL": "https://links.chouette.example",
            "ESTAFETTE_BOUNCES_DOMAIN": "bounces.chouette.example",
        }
        async with Stack.running(tmp_path, environ) as stack:
            words = ("keys", "create", "--tenant", "demo", "--scope", "send,read", "--sandbox")
            key = (await stack.console(*words)).split()[-1]
            status, sent = await stack.call("POST", "/v1/jobs", job(recipients=RECIPIENTS), key=key)
            report = await stack.done(sent["id"])
            facts = [await stack.facts(message["id"]) for message in sent["messages"]]
            paused, _ = await stack.call("POST", f"/v1/jobs/{sent['id']}/pause", key=key)
            used = await stack.until(lambda: with_calls(stack))

    assert (status, paused) == (202, 403)
    assert (report["sandbox"], report["test"]) == (True, True)
    assert facts == [["accepted", "delivered"], ["accepted", "bounced"], ["accepted", "deferred", "delivered"]]
    assert (used["accepted"], used["delivered"]) == (0, 0)
    assert dialled == []


async def with_calls(stack: Stack) -> dict[str, Any] | None:
    """What the tenant used in all, once its calls are counted."""
    total: dict[str, Any] = (await stack.call("GET", "/v1/usage"))[1]["total"]
    return total if total["calls"] else None
