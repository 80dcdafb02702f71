"""Whoever writes an address, or owns a domain, cannot choose a host of ours: nothing inside is dialled."""

import asyncio
from pathlib import Path

from tests.fakes.dns_server import DnsServer
from tests.flows.stack import Stack
from tests.servers import free_port

ZONE = """
inner.test. 60 IN MX 10 mx.inner.test.
mx.inner.test. 60 IN A 127.0.0.1
any.test. 60 IN MX 10 mx.any.test.
mx.any.test. 60 IN A 0.0.0.0
named.test. 60 IN MX 10 localhost.
localhost. 60 IN A 127.0.0.1
alias.test. 60 IN MX 10 mx.alias.test.
mx.alias.test. 60 IN CNAME localhost.
hostless.test. 60 IN A 127.0.0.1
mapped.test. 60 IN AAAA ::ffff:7f00:1
cloud.test. 60 IN A 169.254.169.254
"""
INSIDE = (
    "x@inner.test", "x@any.test", "x@named.test", "x@alias.test", "x@hostless.test", "x@mapped.test", "x@cloud.test",
    "x@[127.0.0.1]", "x@[0.0.0.0]", "x@[IPv6:::1]", "x@[IPv6:::ffff:7f00:1]", "x@[10.0.0.1]",
)  # fmt: skip


async def test_promise_7_mail_does_not_reach_a_listener_of_this_machine(tmp_path: Path) -> None:
    dialled: list[object] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialled.append(writer.get_extra_info("peername"))
        writer.write(b"554 a secret of an inner host\r\n")
        await writer.drain()
        writer.close()

    port = free_port()
    listener = await asyncio.start_server(listen, ["127.0.0.1", "::1"], port)
    async with listener, DnsServer(ZONE) as dns:
        environ = {
            "ESTAFETTE_RELAY_ROUTE": "mx",
            "ESTAFETTE_RELAY_MX_PORT": str(port),
            "ESTAFETTE_DNS_SERVERS": dns.address,
            "ESTAFETTE_TRACKING_BASE_URL": "https://links.chouette.example",
            "ESTAFETTE_BOUNCES_DOMAIN": "bounces.chouette.example",
        }
        async with Stack.running(tmp_path, environ) as stack:
            job = await stack.send(*INSIDE, stream="transactional")
            await stack.done(job)
            facts = [event for event in await stack.events(job) if event["type"] == "message.bounced"]

    assert sorted(fact["email"] for fact in facts) == sorted(INSIDE)
    assert {(fact["details"]["reason"], fact["details"]["kind"]) for fact in facts} == {("loop", "soft")}
    assert not any("secret" in str(fact) for fact in facts)
    assert dialled == []
