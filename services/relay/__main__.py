"""Runs one relay: parts from settings, wired from the end of the pipe backwards."""

import asyncio
import secrets
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from random import Random

from services.relay import figures, files
from services.relay import settings as own
from services.relay.alone import Alone, Lone, end_when_idle
from services.relay.checks.admission import CHANNEL, Admission
from services.relay.checks.begun import Begun
from services.relay.checks.stops import Stops
from services.relay.delivery.connection import Connection
from services.relay.delivery.courier import Courier
from services.relay.delivery.dial import is_own, routed_versions
from services.relay.delivery.named import Doors, Open
from services.relay.delivery.overheard import Dialogue
from services.relay.delivery.route import Routes
from services.relay.delivery.secured import SecuredRoutes
from services.relay.delivery.sink import Sink
from services.relay.encryption.policies import Policies
from services.relay.held import Limits as HeldLimits
from services.relay.limits.paces import Paces
from services.relay.limits.permits import Permits
from services.relay.limits.slots import Slots
from services.relay.limits.tending import tend
from services.relay.making.mails import Mails, Origin
from services.relay.making.making import Making
from services.relay.making.returning import Returning
from services.relay.message.retry import Retries, parse_schedule
from services.relay.relay import Relay
from services.relay.reload import Reload
from services.relay.reporting.tls_reports import TlsReports
from services.relay.reporting.unlimited import Unlimited
from services.relay.signing.signatures import Signatures
from services.relay.traffic.egress import Source
from services.relay.traffic.gate import Gate
from services.relay.traffic.hosts import Hosts
from services.relay.traffic.smarthosts import Smarthost
from services.relay.unsent import Unsent
from services.relay.wiring import encryption, main_path
from services.relay.words.hop import Hop
from services.relay.words.outlet import Outlet
from services.relay.words.reply import ConnectFailed
from services.settings import read
from shared.mail.dkim_keys import Vault
from shared.making.rendering import Rendering
from shared.net import dns
from shared.net.inside import is_inside
from shared.process import logs, master_secret, tracing
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, run, settle
from shared.process.sandbox import Sandbox, program
from shared.process.settings import Settings
from shared.redis import known_secret, start
from shared.redis.dialogues import Dialogues
from shared.redis.erased import Erased, ErasedToo
from shared.redis.heard import Heard
from shared.redis.link_keys import KnownLinkKeys
from shared.redis.moves import MoveList
from shared.redis.once import Once
from shared.redis.pressure import Pressure
from shared.redis.ready import ReadyQueues
from shared.redis.redis import Client
from shared.redis.sending_domains import SendingDomains
from shared.redis.stops import StopList
from shared.redis.suppression import SuppressionList
from shared.redis.untracked import Untracked
from shared.words import sites
from shared.words.erased import ErasureKeys
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys

#: Addresses of which is remembered whether they are inside: those of a busy relay's hosts. About 150 bytes each.
ADDRESSES_JUDGED = 10_000


@lru_cache(ADDRESSES_JUDGED)
def _is_refused(address: str) -> bool:
    """Asked for every address of every message."""
    return is_inside(address) or is_own(address)


def _nothing(address: str) -> bool:
    return False


class _Clock:
    """The machine's."""

    now_ms = staticmethod(now_ms)
    monotonic = staticmethod(time.monotonic)


def _helo(settings: Settings) -> str:
    """The name that EHLO says where its source has none."""
    helo = settings.of(own.Relay).helo or socket.getfqdn()
    if settings.relay.route == "mx" and ("." not in helo or helo.startswith("localhost")):
        # RFC 5321 section 4.1.1.1 asks for a name that is found in DNS, and many hosts insist.
        logs.get_logger().warning("helo_not_qualified", helo=helo, advice="set relay.helo")
    return helo


def _routes(settings: Settings, resolver: dns.Resolver, helo: str, chance: Random) -> Routes:
    fixed = sites.parse_route(settings.relay.route, settings.mailbox.host, settings.mailbox.port)
    refused, own_names = (_nothing, ()) if settings.relay.private_networks else (_is_refused, (helo,))
    return Routes(
        resolver, fixed, settings.relay.mx_port, chance, routed_versions(), refused=refused, own_names=own_names
    )


def _opening(settings: Settings, helo: str, dialogues: Dialogues) -> Open:
    """Opens connections to a site with this process's names and certificates, and the login of a named route. A session
    that an operator wants to see is overheard."""

    async def open_connection(site: str, hop: Hop, source: Source, smarthost: Smarthost | None) -> Connection:
        if dialogues.asked and (session := await dialogues.take(site, hop.host, source.name)) is not None:
            dialogue = Dialogue(session)
            try:
                return await opened(hop, source, smarthost, dialogue)
            except BaseException as why:
                dialogue.ended(str(why) if isinstance(why, ConnectFailed) else "given up")
                raise
        return await opened(hop, source, smarthost, None)

    async def opened(hop: Hop, source: Source, smarthost: Smarthost | None, dialogue: Dialogue | None) -> Connection:
        return await Connection.open(
            hop.host,
            hop.port,
            address=hop.address,
            source_ip=source.address or None,
            helo=source.helo or helo,
            tls=hop.tls,
            client_certificate=settings.tls.client,
            ca_file=settings.tls.ca_file,
            dialogue=dialogue,
            login=smarthost.login if smarthost is not None else None,
            implicit=hop.implicit,
        )

    return open_connection


def _origin(settings: Settings, secret: master_secret.MasterSecret) -> Origin:
    return Origin(
        base_url=settings.base_url,
        bounce_domain=settings.bounces.domain,
        tokens=TokenKeys(secret.current, secret.previous),
        verp=VerpKeys(secret.current, secret.previous),
        marks_key=secrets.token_bytes(32),
        sender_id=settings.of(own.Relay).sender_id,
        dkim=settings.of(own.Relay).dkim,
    )


def _held(settings: Settings, *, alone: bool) -> HeldLimits:
    """How much this process holds: alone, one message."""
    return HeldLimits(
        in_flight=1 if alone else settings.of(own.Relay).in_flight,
        batch=1 if alone else settings.of(own.Relay).batch,
        connections_per_site=settings.of(own.Relay).connections_per_site,
        lease_ms=settings.of(own.Relay).lease_ms,
        alone=alone,
    )


def _hangs(relay: Relay, hang_s: float) -> Callable[[], str | None]:
    """Says that its leases were not renewed for so long."""

    def hangs() -> str | None:
        silent_s = relay.held.silent_s()
        return None if silent_s <= hang_s else f"leases were not renewed for {silent_s:.0f} s"

    return hangs


@dataclass(frozen=True)
class _Parts:
    """What runs for as long as the process does."""

    relay: Relay
    gate: Gate
    slots: Slots
    paces: Paces
    heard: Heard
    dialogues: Dialogues
    stops: Stops
    untracked: Untracked
    link_keys: KnownLinkKeys
    signatures: Signatures
    sandbox: Sandbox
    reports: TlsReports | None
    policies: Policies
    hosts: Hosts
    everybodys: ReadyQueues
    queues: ReadyQueues


def _resolver(life: Lifecycle, clock: _Clock) -> dns.Resolver:
    of = life.settings.dns
    resolver = dns.resolver(of.servers, of.timeout_ms, of.at_a_time, clock.monotonic)
    life.push_close(resolver.close)
    return resolver


def _parts(life: Lifecycle, client: Client, secret: master_secret.MasterSecret, name: str, *, alone: bool) -> _Parts:
    """From the end of the pipe backwards."""
    settings, clock, chance = life.settings, _Clock(), Random(secrets.randbits(64))
    mine = settings.of(own.Relay)
    partitions, helo = settings.redis.partitions, _helo(settings)
    resolver = _resolver(life, clock)
    routes, hosts, sink = _routes(settings, resolver, helo, chance), Hosts(clock.monotonic), Sink()
    dialogues = Dialogues(client, name, clock.now_ms)
    everybodys = ReadyQueues(client, CHANNEL)
    stops = Stops(client, partitions, StopList(client))
    slots, paces, heard = Slots(client, name, mine.lease_ms), Paces(client), Heard(client)
    gate = Gate(
        files.read(settings), Permits(client), slots, paces, heard, stops, everybodys,
        partitions, mine.connections_per_site, clock.now_ms, clock.monotonic,
    )  # fmt: skip
    doors = Doors(lambda: gate.rules.smarthosts, _opening(settings, helo, dialogues), clock.monotonic)
    domains = SendingDomains(client, Vault(secret.current, secret.previous), ours=settings.own_hosts)

    def unlimited(unsecured: Routes) -> Courier:
        return Courier(unsecured, Unlimited(), partial(doors.open, ""), hosts)

    policies, reports = encryption(life, client, resolver, routes, domains, unlimited)

    def new_courier(site: str, outlet: Outlet) -> Courier:
        if site == sites.SANDBOX and settings.relay.route != "mailbox":
            return Courier(sink, gate.passage(site, outlet), sink.open, hosts)
        if sites.route_name(site):  # nobody but its operator has a say in it, and nobody is sent a report of it
            return Courier(doors.route(site), gate.passage(site, outlet), partial(doors.open, site), hosts)
        secured = SecuredRoutes(routes, policies, lambda: gate.shape(site).tls)
        return Courier(secured, gate.passage(site, outlet), partial(doors.open, site), hosts, reports)

    signatures = Signatures(mine.signing_processes if mine.dkim else 0, clock.monotonic)
    sandbox = Sandbox(program("shared.making.rendering"), "relay", mine.rendering_processes, at_once=False)
    origin, rendering = _origin(settings, secret), Rendering(sandbox)
    returning = Returning(settings.bounces.domain, resolver, clock.now_ms)
    untracked, link_keys = Untracked(client), KnownLinkKeys(client, origin.tokens.generations)
    mails = Mails(client, partitions, domains, origin, signatures, rendering, clock.now_ms, returning, untracked)
    queues = everybodys.alone() if alone else everybodys
    erased = Erased(client, partitions, ErasureKeys(secret.current, secret.previous))
    relay = main_path(
        name,
        partitions,
        _held(settings, alone=alone),
        queues=queues,
        publisher=start.publisher(client, settings),
        admission=Admission(client, partitions, ErasedToo(SuppressionList(client, partitions), erased)),
        stops=stops,
        begun=Begun(client, partitions),
        gate=gate,
        making=Making(mails, clock.monotonic, lambda site: gate.rules.signs(site)),
        new_courier=new_courier,
        retries=Retries(chance, parse_schedule(mine.retry_schedule)),
        clock=clock,
        tracer=tracing.start(life),
        unsent=Unsent(Pressure(client, partitions, clock.now_ms, clock.monotonic), Once(client, partitions)),
    )
    return _Parts(
        relay, gate, slots, paces, heard, dialogues, stops, untracked, link_keys, signatures, sandbox, reports,
        policies, hosts, everybodys, queues,
    )  # fmt: skip


async def _relaying(life: Lifecycle, parts: _Parts, closed: asyncio.Event) -> None:
    try:
        await parts.relay.run(life.stopping)
        await parts.gate.finish()
    finally:
        closed.set()  # slots are counted for as long as their connections are open


def _start(life: Lifecycle, parts: _Parts, reload: Reload) -> None:
    """All but what tries messages alone. Slots, stops and processes are needed until the last connection is closed."""
    closed = asyncio.Event()
    life.spawn(_relaying(life, parts, closed), "relay")
    life.spawn(tend((parts.slots, parts.paces, parts.heard, parts.dialogues, reload), closed), "limits")
    life.spawn(parts.stops.run(closed), "stops")
    life.spawn(parts.untracked.run(closed), "untracked")
    life.spawn(parts.link_keys.run(closed), "link keys")
    told = figures.tell_forever(parts.relay.lines, parts.paces, parts.gate.shape, parts.policies.oldest_ms, closed)
    life.spawn(told, "figures")
    life.spawn(parts.signatures.run(closed), "signatures")
    life.spawn(parts.sandbox.run(closed), "sandbox")
    if parts.reports is not None:
        life.spawn(parts.reports.run(closed), "tls reports")


async def main(life: Lifecycle, lone: Lone | None = None) -> None:
    """With `lone` it is the child of another relay, and tries messages alone."""
    settings = life.settings
    partitions, lease_ms = settings.redis.partitions, settings.of(own.Relay).lease_ms
    secret = master_secret.load(settings)
    client = start.connect(life)
    name = lone.name if lone else start.process_name()
    parts = _parts(life, client, secret, name, alone=lone is not None)
    held = parts.relay.held
    hang_s = max(settings.lifecycle.hang_seconds, settings.of(own.Relay).patience_seconds)
    life.also_alive(_hangs(parts.relay, hang_s))
    alone = None if lone else Alone(name, partitions, lease_ms, hang_s, parts.everybodys.alone(), held.tell, now_ms)
    pools = MoveList(client)
    hang_up = alone.hang_up if alone else lambda: None
    reload = Reload(files.read, parts.gate, parts.relay, pools, parts.hosts, hang_up)
    life.also_reload(reload)

    async with life.serving(settings.relay.metrics_port):
        if not await start.is_ours(life, client) or not await known_secret.is_known(life, client, secret):
            return
        await parts.stops.load()
        await parts.untracked.load()
        await parts.link_keys.look()
        await pools.know_pools(parts.gate.pools)
        _start(life, parts, reload)
        if alone is not None:
            life.spawn(alone.run(life.stopping), "alone")
        else:
            idle = end_when_idle(life, partitions, parts.queues, lambda: now_ms() - lease_ms, lambda: held.is_empty)
            life.spawn(idle, "idle")
        settle()
        life.ready()
        await life.stopping.wait()


if __name__ == "__main__":
    if lone := Lone.told(sys.argv[1:]):
        run(partial(main, lone=lone), "relay", read, lone.beat)
    run(main, "relay", read)
