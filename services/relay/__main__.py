"""Runs one relay: parts from settings, wired from the end of the pipe backwards."""

import os
import secrets
import socket
import time
from functools import partial
from random import Random

from services.relay.admission import Admission
from services.relay.courier import Courier, Shunned
from services.relay.mails import Mails, Origin
from services.relay.recorder import Recorder
from services.relay.relay import Limits, Relay
from services.relay.retry import Retries, parse_schedule
from services.relay.route import Hop, Routes
from services.relay.smtp import Connection, routed_versions
from shared import bus, dns, logs, master_secret, sites, storage
from shared.dkim_keys import Vault
from shared.lifecycle import Lifecycle, run
from shared.ready import ReadyQueues
from shared.sending_domains import SendingDomains
from shared.suppression import SuppressionList
from shared.tokens import TokenKeys
from shared.verp import VerpKeys


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def main(life: Lifecycle) -> None:
    settings = life.settings
    partitions = settings.redis.partitions
    secret = master_secret.load(settings)
    client = storage.connect(life)
    chance = Random(secrets.randbits(64))
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    resolver = dns.Resolver(dns.DnsClient(settings.dns.servers, settings.dns.timeout_ms), time.monotonic)
    life.push_close(resolver.close)
    fixed = sites.parse_route(settings.relay.route, settings.mailbox.host, settings.mailbox.port)
    routes = Routes(resolver, fixed, settings.relay.mx_port, chance, routed_versions())
    shunned = Shunned(time.monotonic)
    helo = settings.relay.helo or socket.getfqdn()
    if fixed is None and ("." not in helo or helo.startswith("localhost")):
        # RFC 5321 section 4.1.1.1 asks for a name that is found in DNS, and many hosts insist.
        logs.get_logger().warning("helo_not_qualified", helo=helo, advice="set relay.helo")

    async def open_connection(hop: Hop) -> Connection:
        return await Connection.open(
            hop.host,
            hop.port,
            address=hop.address,
            helo=helo,
            tls=hop.tls,
            client_certificate=settings.tls.client,
            ca_file=settings.tls.ca_file,
        )

    origin = Origin(
        base_url=settings.base_url,
        bounce_domain=settings.bounces.domain,
        tokens=TokenKeys(secret.current, secret.previous),
        verp=VerpKeys(secret.current, secret.previous),
        sender_id=settings.relay.sender_id,
        dkim=settings.relay.dkim,
    )
    queues = ReadyQueues(client)
    publisher = bus.Publisher(client, partitions, lambda: secrets.token_hex(8))
    relay = Relay(
        name,
        partitions,
        Limits(
            in_flight=settings.relay.in_flight,
            batch=settings.relay.batch,
            connections_per_site=settings.relay.connections_per_site,
            lease_ms=settings.relay.lease_ms,
        ),
        queues,
        Admission(client, partitions, SuppressionList(client, partitions)),
        Mails(client, partitions, SendingDomains(client, Vault(secret.current, secret.previous)), origin, _now_ms),
        partial(Courier, routes, open_connection, shunned),
        Retries(chance, parse_schedule(settings.relay.retry_schedule)),
        partial(Recorder, publisher, queues, name),
        _now_ms,
        time.monotonic,
    )
    async with life.serving(settings.relay.metrics_port):
        if not await storage.is_ours(life, client):
            return
        life.spawn(relay.run(life.stopping), "relay")
        life.ready()
        await life.stopping.wait()


if __name__ == "__main__":
    run(main, "relay")
