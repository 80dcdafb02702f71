"""Runs one relay: parts from settings, wired from the end of the pipe backwards."""

import asyncio
import secrets
import socket
import sys
import time
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from random import Random
from typing import TypeVar

from services.relay.alone import Alone, Lone, end_when_idle
from services.relay.aside import Aside
from services.relay.checks.admission import Admission
from services.relay.checks.begun import Begun
from services.relay.checks.stops import Stops
from services.relay.delivery.courier import Courier
from services.relay.delivery.route import Hop, Routes
from services.relay.delivery.smtp import Connection, is_own, routed_versions
from services.relay.limits.limits import Limits
from services.relay.making.mails import Mails, Origin
from services.relay.making.making import Making
from services.relay.making.rendering import Rendering
from services.relay.message.retry import Retries, parse_schedule
from services.relay.recorder import Recorder
from services.relay.relay import Limits as RelayLimits
from services.relay.relay import Relay
from services.relay.signing.signatures import Signatures
from services.relay.traffic import shaping
from services.relay.traffic.egress import Egress, Source
from services.relay.traffic.gate import Gate, SecuredRoutes, Unlimited
from services.relay.traffic.hosts import Hosts
from services.relay.traffic.shaping import Shaping
from services.relay.wiring import encryption
from shared.mail.dkim_keys import Vault
from shared.net import dns
from shared.net.inside import is_inside
from shared.process import logs, master_secret
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, run, settle
from shared.process.sandbox import Sandbox, program
from shared.process.settings import Settings, SettingsError
from shared.redis import known_secret, start
from shared.redis.ready import ReadyQueues
from shared.redis.sending_domains import SendingDomains
from shared.redis.stops import StopList
from shared.redis.suppression import SuppressionList
from shared.words import sites
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys

#: What comes with the relay: limits and rules of the large providers.
SHAPING_FILE = Path(shaping.__file__).with_name("shaping.toml")

#: Addresses of which is remembered whether they are inside: those of a busy relay's hosts. About 150 bytes each.
ADDRESSES_JUDGED = 10_000

T = TypeVar("T")


def _read(setting: str, file: str, parse: Callable[[str], T]) -> T:
    """What an operator's file says. SettingsError with every fault of it."""
    try:
        return parse(Path(file).read_text("utf-8") if file else "")
    except (OSError, ValueError) as error:
        raise SettingsError([f"relay.{setting}: {file}: {fault}" for fault in str(error).splitlines()]) from None


def _shaping(settings: Settings) -> Shaping:
    shipped = SHAPING_FILE.read_text("utf-8")
    return _read("shaping_file", settings.relay.shaping_file, partial(Shaping.parse, shipped))


def _egress(settings: Settings) -> Egress:
    return _read("egress_file", settings.relay.egress_file, Egress.parse)


@lru_cache(ADDRESSES_JUDGED)
def _is_refused(address: str) -> bool:
    """Asked for every address of every message."""
    return is_inside(address) or is_own(address)


def _nothing(address: str) -> bool:
    return False


async def main(life: Lifecycle, lone: Lone | None = None) -> None:
    """With `lone` it is the child of another relay, and tries messages alone."""
    settings = life.settings
    partitions = settings.redis.partitions
    secret = master_secret.load(settings)
    client = start.connect(life)
    chance = Random(secrets.randbits(64))
    name = lone.name if lone else start.process_name()

    resolver = dns.of_settings(settings.dns, time.monotonic)
    life.push_close(resolver.close)
    fixed = sites.parse_route(settings.relay.route, settings.mailbox.host, settings.mailbox.port)
    helo = settings.relay.helo or socket.getfqdn()
    refused, own_names = (_nothing, ()) if settings.relay.private_networks else (_is_refused, (helo,))
    routes = Routes(
        resolver, fixed, settings.relay.mx_port, chance, routed_versions(), refused=refused, own_names=own_names
    )
    hosts = Hosts(time.monotonic)
    if fixed is None and ("." not in helo or helo.startswith("localhost")):
        # RFC 5321 section 4.1.1.1 asks for a name that is found in DNS, and many hosts insist.
        logs.get_logger().warning("helo_not_qualified", helo=helo, advice="set relay.helo")

    async def open_connection(hop: Hop, source: Source) -> Connection:
        return await Connection.open(
            hop.host,
            hop.port,
            address=hop.address,
            source_ip=source.address or None,
            helo=source.helo or helo,
            tls=hop.tls,
            client_certificate=settings.tls.client,
            ca_file=settings.tls.ca_file,
        )

    origin = Origin(
        base_url=settings.base_url,
        bounce_domain=settings.bounces.domain,
        tokens=TokenKeys(secret.current, secret.previous),
        verp=VerpKeys(secret.current, secret.previous),
        marks_key=secrets.token_bytes(32),
        sender_id=settings.relay.sender_id,
        dkim=settings.relay.dkim,
    )
    everybodys = ReadyQueues(client)
    queues = everybodys.alone() if lone else everybodys
    limits = Limits(client, name, settings.relay.lease_ms)
    gate = Gate(
        _shaping(settings),
        _egress(settings),
        limits,
        everybodys,
        partitions,
        settings.relay.connections_per_site,
        now_ms,
        time.monotonic,
    )
    domains = SendingDomains(client, Vault(secret.current, secret.previous), ours=settings.own_hosts)
    policies, reports = encryption(
        life,
        client,
        resolver,
        routes,
        domains,
        lambda unsecured: Courier(unsecured, Unlimited(), open_connection, hosts),
    )
    stops = Stops(client, partitions, StopList(client))

    def new_courier(site: str, pool: str) -> Courier:
        secured = SecuredRoutes(routes, policies, gate, site)
        return Courier(secured, gate.passage(site, pool), open_connection, hosts, reports)

    signatures = Signatures(settings.relay.signing_processes if settings.relay.dkim else 0, time.monotonic)
    rendering = program("services.relay.making.rendering")
    sandbox = Sandbox(rendering, "relay", settings.relay.rendering_processes, at_once=False)
    publisher = start.publisher(client, settings)
    relay = Relay(
        name,
        partitions,
        RelayLimits(
            in_flight=1 if lone else settings.relay.in_flight,
            batch=1 if lone else settings.relay.batch,
            connections_per_site=settings.relay.connections_per_site,
            lease_ms=settings.relay.lease_ms,
            alone=lone is not None,
        ),
        queues,
        Admission(client, partitions, SuppressionList(client, partitions)),
        Making(Mails(client, partitions, domains, origin, signatures, Rendering(sandbox), now_ms), time.monotonic),
        new_courier,
        Retries(chance, parse_schedule(settings.relay.retry_schedule)),
        partial(Recorder, publisher, queues, name),
        gate,
        stops,
        Aside(name, partitions, settings.relay.lease_ms, queues, stops),
        Begun(client, partitions),
        now_ms,
        time.monotonic,
    )
    hang_s = max(settings.lifecycle.hang_seconds, 2 * settings.relay.lease_ms / 1000)

    def hangs() -> str | None:
        silent_s = relay.silent_s()
        return None if silent_s <= hang_s else f"leases were not renewed for {silent_s:.0f} s"

    life.also_alive(hangs)
    alone = Alone(name, partitions, settings.relay.lease_ms, hang_s, everybodys.alone(), relay.tell, now_ms)

    async with life.serving(settings.relay.metrics_port):
        if not await start.is_ours(life, client) or not await known_secret.is_known(life, client, secret):
            return
        await stops.load()
        closed = asyncio.Event()

        async def relaying() -> None:
            try:
                await relay.run(life.stopping)
                await gate.finish()
            finally:
                closed.set()  # slots are counted for as long as their connections are open

        life.spawn(relaying(), "relay")
        if lone:
            ago_ms = settings.relay.lease_ms
            idle = end_when_idle(life, partitions, queues, lambda: now_ms() - ago_ms, lambda: relay.is_idle)
            life.spawn(idle, "idle")
        else:
            life.spawn(alone.run(life.stopping), "alone")
        life.spawn(limits.run(closed), "limits")
        life.spawn(stops.run(closed), "stops")
        life.spawn(signatures.run(closed), "signatures")
        life.spawn(sandbox.run(closed), "sandbox")
        if reports is not None:
            life.spawn(reports.run(closed), "tls reports")
        settle()
        life.ready()
        await life.stopping.wait()


if __name__ == "__main__":
    if lone := Lone.told(sys.argv[1:]):
        run(partial(main, lone=lone), "relay", beat=lone.beat)
    run(main, "relay")
