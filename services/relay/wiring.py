"""Puts parts of a relay together that are made of each other: its main path, and what decides on encryption."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from prometheus_client import Gauge

from services.relay import aside, permission, workers
from services.relay.aside import Aside
from services.relay.cancelling import Cancelling, Cancels
from services.relay.checks.admission import Admission
from services.relay.delivery.courier import Courier
from services.relay.delivery.dial import load_certificates
from services.relay.delivery.route import Routes
from services.relay.encryption.certificates import good_until_s
from services.relay.encryption.dane import Dane
from services.relay.encryption.dnssec import ValidatingResolver
from services.relay.encryption.policies import Policies
from services.relay.encryption.sts_policies import StsPolicies
from services.relay.held import Clock, Held, Limits
from services.relay.lines import Lines
from services.relay.message.retry import Retries
from services.relay.permission import Permission
from services.relay.recorder import Publisher, Recorder, Unsent
from services.relay.relay import Relay
from services.relay.reporting.tls_report import reporter
from services.relay.reporting.tls_reports import (
    Sending,
    TlsReports,
    deliver_by,
    signers_of,
)
from services.relay.words.outlet import Outlet
from services.relay.workers import Begun, Making, Workers
from shared.net import dns
from shared.net.web import Https
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle
from shared.process.tracing import Tracer
from shared.redis.ready import ReadyQueues
from shared.redis.redis import Client
from shared.redis.sending_domains import SendingDomains

CERTIFICATE_UNTIL = Gauge(
    "estafette_relay_certificate_until_timestamp_seconds", "When the certificate that we show to hosts is over; 0: none"
)


class Gate(permission.Gate, workers.Gate, Protocol):
    """What limits and addresses allow (`gate`)."""


class Stops(permission.Stops, aside.Stops, Protocol):
    """What is stopped (`checks.stops`)."""

    @property
    def cancels(self) -> Cancels: ...


def encryption(
    life: Lifecycle,
    client: Client,
    resolver: dns.Resolver,
    routes: Routes,
    domains: SendingDomains,
    new_courier: Callable[[Routes], Courier],
) -> tuple[Policies, TlsReports | None]:
    """With a fixed route there is none of it: the operator's own host is no recipient domain's.

    The policies for `Policies.secured`, and where connections are noted (None: nowhere), whose `run` is to be run.
    `routes` are those of the relay, without policies; `new_courier` makes a courier that takes them. ValueError if a
    setting is invalid."""
    settings = life.settings
    load_certificates(settings.tls.ca_file, settings.tls.client)
    if settings.tls.client:
        CERTIFICATE_UNTIL.set(good_until_s(Path(settings.tls.client[0]).read_bytes()))
    if settings.relay.route != "mx":
        return Policies(None, None), None
    tls, partitions = settings.tls, settings.redis.partitions
    web = Https(resolver, ca_file=tls.ca_file, allow_private=tls.private_networks)
    life.push_close(web.close)
    sending: Sending | None = None
    if tls.report_from:
        deliver = deliver_by(lambda: new_courier(routes))
        by = reporter(tls.report_from, tls.organization, tls.contact)
        sending = Sending(by, web, deliver, signers_of(domains))
    reports = TlsReports(client, partitions, resolver, time.time, sending)
    sts: StsPolicies | None = None
    if tls.mta_sts:
        sts = StsPolicies(resolver, web, client, partitions, now_ms, tls.mta_sts_port)
        life.push_close(sts.close)
    dane: Dane | None = None
    if tls.dane_resolver:
        validating = ValidatingResolver(tls.dane_resolver, settings.dns.timeout_ms, time.monotonic)
        life.push_close(validating.close)
        dane = Dane(validating)
    return Policies(dane, sts, reports.note), reports


def main_path(
    name: str,
    partitions: int,
    limits: Limits,
    *,
    queues: ReadyQueues,
    publisher: Publisher,
    admission: Admission,
    stops: Stops,
    begun: Begun,
    gate: Gate,
    making: Making,
    new_courier: Callable[[str, Outlet], Courier],
    retries: Retries,
    clock: Clock,
    tracer: Tracer | None = None,
    unsent: Unsent | None = None,
) -> Relay:
    """The relay `name`, that leases from `queues` and publishes what became of it."""
    held = Held(name, partitions, limits, queues, clock)
    lines = Lines(limits)
    recorder = Recorder(publisher, queues, name, held.recorded, tracer, unsent)
    put_aside = Aside(name, partitions, limits.lease_ms, queues, stops)
    allowed = Permission(held, lines, admission, stops, gate, retries, recorder, clock)
    working = Workers(held, lines, allowed, making, new_courier, begun, retries, recorder, gate, put_aside, clock)
    cancelling = partial(Cancelling, name, partitions, limits.lease_ms, queues, stops.cancels)
    return Relay(held, lines, working, allowed, admission, put_aside, recorder, cancelling, clock)
