"""Puts together from settings what decides how mail hosts are encrypted to, and what reports on it.

With a fixed route there is none of it: the operator's own host is no recipient domain's.
"""

import time
from collections.abc import Callable

from services.relay.delivery.courier import Courier
from services.relay.delivery.route import Routes
from services.relay.delivery.smtp import load_certificates
from services.relay.encryption.dane import Dane
from services.relay.encryption.dnssec import ValidatingResolver
from services.relay.encryption.https import Https
from services.relay.encryption.policies import Policies
from services.relay.encryption.sts_policies import StsPolicies
from services.relay.reporting.tls_report import reporter
from services.relay.reporting.tls_reports import (
    Sending,
    TlsReports,
    deliver_by,
    signers_of,
)
from shared.net import dns
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle
from shared.redis.redis import Client
from shared.redis.sending_domains import SendingDomains


def encryption(
    life: Lifecycle,
    client: Client,
    resolver: dns.Resolver,
    routes: Routes,
    domains: SendingDomains,
    new_courier: Callable[[Routes], Courier],
) -> tuple[Policies, TlsReports | None]:
    """The policies for `Policies.secured`, and where connections are noted (None: nowhere), whose `run` is to be run.
    `routes` are those of the relay, without policies; `new_courier` makes a courier that takes them. ValueError if a
    setting is none."""
    settings = life.settings
    load_certificates(settings.tls.ca_file, settings.tls.client)
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
